"""Language-neutral vectors: runs and their allowed results, as JSON Lines for any reader.

``vectors.jsonl`` is generated from the cases of the judge; ``GUIDE.md`` is for implementers who do
not use Python. An id never changes its meaning, and is never lost unnoticed.
"""

from adamax_conformance.vectors.vector import FILE, Vector, load

__all__ = ["FILE", "Vector", "load"]
