"""Name the extras to install if an example lacks a package."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extras: str) -> Iterator[None]:
    """Convert a ModuleNotFoundError to a message that names the extras to install.

    Args:
        extras: such as ``"jax,docs"``.

    Raises:
        SystemExit: an import inside the block failed; with exit code 2, after the sentence.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"this example needs {error.name}, which is not installed; from a checkout: "
            f"pip install -c constraints.txt '.[{extras}]'\n"
        )
        raise SystemExit(2) from None
