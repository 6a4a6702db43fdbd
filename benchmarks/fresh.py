"""Measurements that need a new process: memory of a step, and time of the first calls.

This module imports nothing that would count towards the first call.
"""

import contextlib
import importlib
import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

STATUS = Path("/proc/self/status")


def extra_memory(candidate: str) -> float | None:
    """Peak temporary memory of a step of 20 million elements, in percent of the parameters.

    None if the system does not report it.
    """
    return _asked("memory", candidate) if STATUS.exists() else None


def first_call() -> dict[str, float]:
    """Seconds of the first calls in a process, with the kernel in the cache on disk."""
    _asked("first")
    seconds: dict[str, float] = _asked("first")
    return seconds


def _asked(*arguments: str) -> Any:
    done = subprocess.run(  # noqa: S603 - this file
        [sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _memory(candidate: str) -> float:
    candidates: Any = importlib.import_module("candidates")
    problem: Any = importlib.import_module("problem")
    step = candidates.CANDIDATES[candidate](problem.Problem([(20_000_000,)]))
    for _ in range(3):
        step()
    # If the peak cannot be reset, it is that of the first steps, which is at least as high.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    before = _kibibytes("VmRSS")
    for _ in range(3):
        step()
    return 100 * 1024 * (_kibibytes("VmHWM") - before) / (4 * 20_000_000)


def _kibibytes(name: str) -> int:
    (line,) = [each for each in STATUS.read_text().splitlines() if each.startswith(f"{name}:")]
    return int(line.split()[1])


def _first() -> dict[str, float]:
    seconds: dict[str, float] = {}

    def timed(what: str, call: Any, *arguments: Any) -> Any:
        start = perf_counter()
        result = call(*arguments)
        seconds[what] = perf_counter() - start
        return result

    torch = timed("import torch", importlib.import_module, "torch")
    adamax = timed("import adamax_torch, after it", importlib.import_module, "adamax_torch")
    param = torch.nn.Parameter(torch.randn(1000))
    param.grad = torch.randn(1000)
    optimizer = timed("construct Adamax", adamax.Adamax, [param])
    timed("first step", optimizer.step)
    timed("second step", optimizer.step)
    return seconds


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    print(json.dumps(_memory(*rest) if what == "memory" else _first()))
