"""Is the fused kernel usable in this process? If not, why?

Importing this module does not import Numba.
"""

import functools
import importlib.util
import logging  # noqa: F401 - registers its fork hook first; Numba takes its lock, and hooks run in reverse
import os
import threading

DTYPES = ("float32", "float64", "bfloat16", "float16")
"""Supported dtypes of real numbers, and of the parts of complex numbers."""

_COMPILING = threading.RLock()
"""Held while Numba compiles. A fork waits for it; else the child could deadlock on Numba's lock."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_COMPILING.acquire,
        after_in_parent=_COMPILING.release,
        after_in_child=_COMPILING.release,
    )


@functools.cache
def missing(dtypes: tuple[str, str, str, str]) -> str | None:
    """The reason why the kernel is not usable for these dtypes; None if it is.

    The first call for some dtypes compiles the kernel, which takes seconds, or loads it from the
    cache on disk, which takes a fraction of a second.

    Args:
        dtypes: of parameter, gradient, first moment and infinity norm, each in `DTYPES`.
    """
    if not has_numba():
        return "Numba is not installed; from a checkout: pip install -c constraints.txt '.[fused]'"
    with _COMPILING:
        try:
            from adamax_fused.rows import prepare  # noqa: PLC0415 - imports Numba, which takes time

            prepare(dtypes)
        except Exception as error:  # noqa: BLE001 - Numba, LLVM and the file system raise many kinds
            return (
                f"compiling or caching it failed: {type(error).__name__}: {error} "
                "(set NUMBA_CACHE_DIR to a writable folder)"
            )
    return None


def has_numba() -> bool:
    """Return whether Numba is installed, without importing it."""
    try:
        return importlib.util.find_spec("numba") is not None
    except ValueError:  # a module of that name is loaded, without a spec
        return False
