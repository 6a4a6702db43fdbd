"""JSON Lines between the judge and a program in any language; docs/protocol.md describes it.

`client` is the judge's side, on top of a `process` that may do anything; `server` is a program's.
"""

VERSION = 1
"""Of the messages; schemas/protocol.schema.json has their form."""

TIMEOUT = 10.0
"""Seconds that a program has for one answer, unless told otherwise."""
