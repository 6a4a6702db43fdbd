"""What an exception of a stranger's code says, and where it was raised."""

import sysconfig
import traceback
from pathlib import Path

_OURS = str(Path(__file__).parent)
_INSTALLED = sysconfig.get_path("purelib")


def location(error: BaseException) -> str:
    """``kernel.py:14``: the innermost line that is neither the judge's nor an installed package's.

    Empty where there is none.

    >>> location(ValueError("never raised"))
    ''
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((_OURS, _INSTALLED, "<")):
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return ""


def said(error: BaseException) -> str:
    r"""The first line of its message, whatever else it may do when it is asked for it.

    >>> said(ValueError("one\ntwo"))
    'one'
    """
    try:
        return next(iter(str(error).strip().splitlines()), "")
    except Exception as worse:  # noqa: BLE001 - its code is a stranger's
        return f"(and {type(worse).__name__} instead of a message)"


def blamed(error: BaseException) -> str:
    """The location in brackets after a space, to follow a message; empty where there is none."""
    return f" ({place})" if (place := location(error)) else ""
