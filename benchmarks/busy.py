"""Processes that keep the CPUs busy, to measure under load."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

# A killed benchmark cannot end its children, so each polls whether its parent is alive.
_SPIN = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(1_000_000):
        pass
"""


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Run `count` busy processes meanwhile."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            command = [sys.executable, "-c", _SPIN, str(os.getpid())]
            process = stack.enter_context(subprocess.Popen(command))  # noqa: S603 - the above
            stack.callback(process.kill)
        yield
