"""What only a new process can tell: how much memory a step takes, and how long the first ones do.

Nothing is imported here that the first call would have to pay for.
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
    """The most that a step of 20 million holds above what lasts, in per cent of the parameters.

    None where the system does not tell.
    """
    return _asked("memory", candidate) if STATUS.exists() else None


def first_call() -> dict[str, float]:
    """Seconds of what comes first, where an earlier process has kept the kernel on disk."""
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
    # Where the peak cannot be forgotten it is one of the first steps, which take no less.
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
