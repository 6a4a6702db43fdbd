"""Candidates timed in turn in one process, so that what the machine does meets them all alike."""

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.table import Table

Step = Callable[[], None]
"""Takes a step, and returns when it is done."""


@dataclass(frozen=True)
class Timing:
    """Two candidates over the same rounds: seconds, and the ratio within each round.

    Attributes:
        case: what is stepped, and how.
        ours: median seconds of a step of ours.
        theirs: median seconds of a step of theirs.
        ratio: median of ours over theirs.
        low: lower quartile of the ratios.
        high: upper quartile of the ratios.
        rounds: how many there were.
    """

    case: str
    ours: float
    theirs: float
    ratio: float
    low: float
    high: float
    rounds: int


def timed(
    case: str, make: Mapping[str, Callable[[], Step]], *, builds: int, rounds: int, tick: Step
) -> Timing:
    """Time "ours" against "theirs".

    What is built first can be faster by several per cent, for where it lies in memory; so both are
    built anew several times, each first in every other, and each goes first in every other round.
    """
    times: dict[str, list[float]] = {name: [] for name in make}
    for build in range(builds):
        order = list(make)[:: 1 if build % 2 else -1]
        steps = {name: make[name]() for name in order}
        for step in steps.values():
            step()  # warm
        for turn in range(rounds):
            for name in order[:: 1 if turn % 2 else -1]:
                start = perf_counter()
                steps[name]()
                times[name].append(perf_counter() - start)
            tick()
    ours, theirs = np.array(times["ours"]), np.array(times["theirs"])
    low, ratio, high = (float(each) for each in np.percentile(ours / theirs, [25, 50, 75]))
    medians = float(np.median(ours)), float(np.median(theirs))
    return Timing(case, *medians, ratio, low, high, len(ours))


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    processors = Path("/proc/cpuinfo")
    text = processors.read_text() if processors.exists() else ""
    models = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": len(models),
        "python": platform.python_version(),
    }


def show(timings: list[Timing], theirs: str) -> None:
    """A table for people."""
    table = Table(title=f"a step of adamax_transform over one of {theirs}")
    for heading in ("case", "ours", "theirs", "ratio", "quartiles", "rounds"):
        number = heading != "case"
        table.add_column(heading, justify="right" if number else "left", no_wrap=number)
    for each in timings:
        table.add_row(
            each.case,
            f"{1e3 * each.ours:.2f} ms",
            f"{1e3 * each.theirs:.2f} ms",
            f"{each.ratio:.3f}",
            f"{each.low:.3f} to {each.high:.3f}",
            str(each.rounds),
        )
    Console().print(table)


def write(timings: list[Timing], versions: dict[str, str], path: Path) -> None:
    """The same for programs."""
    figures = [asdict(each) for each in timings]
    path.write_text(json.dumps({"machine": machine() | versions, "timings": figures}, indent=1))


def plot(timings: list[Timing], theirs: str, path: Path) -> None:
    """The same to look at: ratios with their quartiles."""
    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of what draws

    figure, axes = plt.subplots(figsize=(7, 0.5 * len(timings) + 1.2), layout="constrained")
    for row, each in enumerate(reversed(timings)):
        axes.plot([each.low, each.high], [row, row], color="tab:blue", linewidth=4, alpha=0.4)
        axes.plot(each.ratio, row, "o", color="tab:blue")
    axes.set_yticks(range(len(timings)), [each.case for each in reversed(timings)])
    axes.axvline(1, color="gray", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel(f"time of a step over that of {theirs}: median and quartiles")
    figure.savefig(path, dpi=150)
    plt.close(figure)
