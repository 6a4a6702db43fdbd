"""JSON Lines between the judge and a program in any language; docs/protocol.md describes it.

`client` is the side of the judge, on top of an untrusted `process`; `server` is that of a program.
"""

VERSION = 1
"""Version of the messages; schemas/protocol.schema.json defines them."""

TIMEOUT = 10.0
"""Default time for one answer of a program, in seconds."""
