"""Whether the kernel can be had in this process, and why not where it cannot.

Importing this imports neither Numba nor what needs it.
"""

import functools
import importlib.util
import os
import sys
import warnings

Dtypes = tuple[str, str, str, str]
"""Of parameter, gradient, first moment and infinity norm."""

DTYPES = ("float32", "float64", "bfloat16", "float16")
"""What the kernel takes, of real numbers and of the parts of complex ones."""


@functools.cache
def missing(dtypes: Dtypes) -> str | None:
    """Why there is no kernel for these dtypes; None where it is compiled and loaded.

    The first call for some dtypes compiles, which takes seconds, or loads what an earlier process
    kept on disk, which takes a fraction of one. What fails is warned of, once in a process, but not
    that Numba is missing: who calls knows whether somebody asked for it.
    """
    if not _has_numba():
        return "Numba is not installed: pip install 'adamax-spec[fused]'"
    if _forked:
        return "the process was forked from one that had used the threads of the kernel"
    try:
        from adamax_fused.table import prepare  # noqa: PLC0415 - imports Numba, which takes time

        prepare(dtypes)
    except Exception as error:  # noqa: BLE001 - whatever Numba, LLVM or the disk have to say
        reason = f"it could not be compiled and kept: {type(error).__name__}: {error}"
        warn_once(reason, 3)
        return reason
    return None


def _has_numba() -> bool:
    try:
        return importlib.util.find_spec("numba") is not None
    except ValueError:  # what is loaded under that name came from no file
        return False


def warn_once(reason: str, stacklevel: int) -> None:
    """Say that steps are slower, and why, unless it was said; levels as of `warnings.warn`."""
    if reason not in _told:
        _told.add(reason)
        text = f"the fused kernel of Adamax is not used, and steps are slower: {reason}"
        warnings.warn(text, RuntimeWarning, stacklevel=stacklevel + 1)


_told: set[str] = set()


_forked = False


def _after_fork() -> None:
    """See whether threads can be used here: not GNU OpenMP's, nor those of a step under way."""
    global _forked  # noqa: PLW0603 - a property of the process
    numba, table = (sys.modules.get(name) for name in ("numba", "adamax_fused.table"))
    try:
        layer = numba.threading_layer() if numba is not None else None
    except ValueError:
        layer = None  # no thread has been started
    _forked = layer == "omp" or (table is not None and table.LOCK.locked())
    missing.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
