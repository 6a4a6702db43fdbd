"""Language-neutral vectors: runs, and what may come out of them, as JSON that anybody can read.

A file a clause, beside ``ids.lock``, which keeps every id that was ever published and a digest of
its inputs, and ``GUIDE.md``, for those who implement without Python. An id is never given another
meaning: it retires, and a new one takes its place.
"""

from adamax_conformance.vectors.vector import FOLDER, Vector, load

__all__ = ["FOLDER", "Vector", "load"]
