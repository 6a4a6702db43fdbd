"""Processes that keep the processors busy, as those of others may."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

# A benchmark that is killed ends nothing, so each looks now and then whether it is still there.
_SPIN = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(1_000_000):
        pass
"""


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Beside so many processes that compute without a pause."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            command = [sys.executable, "-c", _SPIN, str(os.getpid())]
            process = stack.enter_context(subprocess.Popen(command))  # noqa: S603 - the above
            stack.callback(process.kill)
        yield
