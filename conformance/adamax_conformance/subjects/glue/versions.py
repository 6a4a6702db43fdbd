"""The versions of what a subject is made of."""

from importlib.metadata import version


def versions(*packages: str) -> dict[str, str]:
    """Return the installed version of each distribution, without the name of its build.

    Raises:
        PackageNotFoundError: one is not installed.

    >>> list(versions("numpy", "optree"))
    ['numpy', 'optree']
    """
    return {name: version(name).partition("+")[0] for name in packages}
