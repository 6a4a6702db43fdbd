"""Language-neutral vectors: runs, and what may come out of them, as JSON Lines for any reader.

``vectors.jsonl`` is generated from the cases of the judge, ``GUIDE.md`` is for those who implement
Adamax without Python. An id never gets another meaning, and never goes away unnoticed.
"""

from adamax_conformance.vectors.vector import FILE, Vector, load

__all__ = ["FILE", "Vector", "load"]
