"""Message and location of an exception that foreign code raised."""

import sysconfig
import traceback
from pathlib import Path

PLEASE_REPORT = "please report this, with the command and the message"
"""What to do about a fault of the judge itself."""

_OURS = str(Path(__file__).parents[1])
_INSTALLED = sysconfig.get_path("purelib")


def location(error: BaseException) -> str:
    """Return ``kernel.py:14``: the innermost line outside the judge and installed packages.

    Empty if there is none.

    >>> location(ValueError("never raised"))
    ''
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((_OURS, _INSTALLED, "<")):
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return ""


def first_line(error: BaseException) -> str:
    r"""Return the first line of the message, even if ``str(error)`` itself raises.

    >>> first_line(ValueError("one\ntwo"))
    'one'
    """
    try:
        return next(iter(str(error).strip().splitlines()), "")
    except Exception as worse:  # noqa: BLE001 - foreign code may raise anything
        return f"(and {type(worse).__name__} instead of a message)"


def blamed(error: BaseException) -> str:
    """Return " (location)", to append to a message; empty if the location is unknown."""
    return f" ({place})" if (place := location(error)) else ""
