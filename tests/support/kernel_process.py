"""Run code that starts threads, forks or compiles the kernel in a process of its own."""

import os
import subprocess
import sys

PRELUDE = """
import os, signal, sys, threading, traceback
import numpy as np
from adamax_core import Hyperparameters
from adamax_fused import availability, init, step_

HP = Hyperparameters(0.5, betas=(0.0, 0.5), eps=0.0)  # every step of it is exact
LARGE = 3_000_000

def train(size=3, threads=None, dtype=np.float32):
    one = 1 + 1j if np.dtype(dtype).kind == "c" else 1
    params, grads = np.full(size, one, dtype), np.full(size, one, dtype)
    state = init(params)
    for count in (1, 2):
        step_(params, grads, state, HP, threads=threads)
        assert state.step == count, state.step
        assert (params == (1 - count / 2) * one).all(), params

def helpers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("adamax")]

def fail(error):
    traceback.print_exception(error.exc_value)
    os._exit(1)

threading.excepthook = fail
"""


def run(source: str, **environment: str) -> str:
    """The output of a Python process that runs the prelude and `source`, and must exit with 0."""
    inherited = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    # Python 3.12 warns about forking a process with threads, which these tests do on purpose.
    warnings = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    done = subprocess.run(
        [sys.executable, *warnings, "-c", PRELUDE + source],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=inherited | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
