"""What judged: versions of this package and of Python, and the platform."""

import platform
from collections.abc import Mapping
from functools import cache

from adamax_core import __version__


@cache
def environment() -> Mapping[str, str]:
    """Return the versions and the platform, by name.

    >>> sorted(environment())
    ['adamax-spec', 'platform', 'python']
    """
    return {
        "adamax-spec": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def judged_by() -> str:
    """Return the environment as a sentence for people."""
    known = environment()
    return (
        f"judged by adamax-spec {known['adamax-spec']}, Python {known['python']}, "
        f"{known['platform']}"
    )
