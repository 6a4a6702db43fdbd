"""Whether the kernel can be had in this process, and why not where it cannot.

Importing this imports neither Numba nor what needs it.
"""

import functools
import importlib.util
import logging  # noqa: F401 - Numba takes its lock; a fork takes first what was registered last
import os
import threading

DTYPES = ("float32", "float64", "bfloat16", "float16")
"""What the kernel takes, of real numbers and of the parts of complex ones."""

_COMPILING = threading.RLock()
"""Held while Numba compiles. A fork waits for it: the child would wait for Numba's own lock."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_COMPILING.acquire,
        after_in_parent=_COMPILING.release,
        after_in_child=_COMPILING.release,
    )


@functools.cache
def missing(dtypes: tuple[str, str, str, str]) -> str | None:
    """Why there is no kernel for these dtypes; None where it is compiled and loaded.

    The first call for some dtypes compiles, which takes seconds, or loads what an earlier process
    kept on disk, which takes a fraction of one.

    Args:
        dtypes: of parameter, gradient, first moment and infinity norm, each one of `DTYPES`.
    """
    if not has_numba():
        return "Numba is not installed: pip install 'adamax-spec[fused]'"
    with _COMPILING:
        try:
            from adamax_fused.rows import prepare  # noqa: PLC0415 - imports Numba, which takes time

            prepare(dtypes)
        except Exception as error:  # noqa: BLE001 - whatever Numba, LLVM or the disk have to say
            return (
                f"it could not be compiled and kept: {type(error).__name__}: {error} "
                "(NUMBA_CACHE_DIR names a folder of your own to keep it in)"
            )
    return None


def has_numba() -> bool:
    """Whether Numba is installed; does not import it."""
    try:
        return importlib.util.find_spec("numba") is not None
    except ValueError:  # what is loaded under that name came from no file
        return False
