"""What judged: versions of this package and of Python, the platform, and the command."""

import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise

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


def described(known: Mapping[str, str]) -> str:
    """Return an environment in words."""
    return f"adamax-spec {known['adamax-spec']}, Python {known['python']}, {known['platform']}"


def judged_by() -> str:
    """Return the environment of this process as a sentence for people."""
    return f"judged by {described(environment())}"


def started(words: Sequence[str] = tuple(sys.orig_argv)) -> str:
    """Return the command that starts the judge as this process was started.

    >>> started(["env/bin/python", "-m", "adamax_conformance", "check", "mlx"])
    'env/bin/python -m adamax_conformance'
    >>> started(["python", "env/bin/adamax-conformance", "check", "mlx"])
    'adamax-conformance'
    """
    for index, pair in enumerate(pairwise(words)):
        if pair == ("-m", "adamax_conformance"):
            return shlex.join(words[: index + 2])
    return "adamax-conformance"
