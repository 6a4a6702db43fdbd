"""Name the extras to install if an example lacks a package."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_STARTED: list[str] = []
"""The extras of the example that was started, then those of the examples that it imports."""


@contextmanager
def needs(extras: str) -> Iterator[None]:
    """Convert a ModuleNotFoundError to a message that names the extras to install.

    Args:
        extras: such as ``"jax,docs"``; an example needs those of the examples that it imports, too.

    Raises:
        SystemExit: an import inside the block failed; with exit code 2, after the sentence.
    """
    _STARTED.append(extras)
    try:
        yield
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"this example needs {error.name}, which is not installed; from a checkout: "
            f"pip install -c constraints.txt '.[{_STARTED[0]}]'\n"
        )
        raise SystemExit(2) from None
    finally:
        _STARTED.pop()
