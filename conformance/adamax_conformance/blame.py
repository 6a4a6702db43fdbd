"""Where in a stranger's code an exception was raised."""

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


def blamed(error: BaseException) -> str:
    """The location in brackets after a space, to follow a message; empty where there is none."""
    return f" ({place})" if (place := location(error)) else ""
