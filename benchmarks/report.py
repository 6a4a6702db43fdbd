"""Tables and JSON of the figures of `cpu_step.py`."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from candidates import missing
from cases import CORES, Case
from goals import Goal
from rich.table import Table
from shapes import SHAPES
from turns import WARM, Timing

MEMORY, FIRST = "memory of a step", "first call"


def _table(title: str, first: str, *numbers: str, caption: str | None = None) -> Table:
    table = Table(title=title, caption=caption)
    table.add_column(first, no_wrap=True)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def case_table(case: Case, timing: Timing) -> Table:
    """A table of one case."""
    notes = [f"{timing.rounds} rounds"]
    if "torch compiled" in timing.warm:
        notes.append(f"torch compiled took {timing.warm['torch compiled']:.0f} s to compile")
    if "optax" in case.candidates and "optax" not in timing.seconds and not missing("optax"):
        notes.append(f"optax always has all {CORES} threads, so it is not here")
    limit = ["over limit"] if "limit" in timing.seconds else []
    shown = _table(
        case.name,
        "candidate", "ms", "over ours", "quartiles", *limit,
        caption="; ".join(notes),
    )  # fmt: skip
    for name in timing.seconds:
        low, ratio, high = timing.ratio(name, "ours")
        shown.add_row(
            name,
            f"{1e3 * timing.median(name):.4g}",
            f"{ratio:.3f}",
            f"{low:.3f} to {high:.3f}",
            *(f"{timing.ratio(name, 'limit').median:.3f}" for _ in limit),
        )
    return shown


def memory_table(memory: Mapping[str, float | None]) -> Table:
    """A table of the memory of a step."""
    shown = _table(f"{MEMORY} of 20 million, at its peak", "candidate", "% of the parameters'")
    for name, extra in memory.items():
        shown.add_row(name, "not reported" if extra is None else f"{extra:.2f}")
    return shown


def first_table(first: Mapping[str, float]) -> Table:
    """A table of the times of the first calls."""
    shown = _table(f"{FIRST} in a process, of one of 1 thousand", "what", "ms")
    for what, seconds in first.items():
        shown.add_row(what, f"{1e3 * seconds:.3g}")
    return shown


def goals_table(reached: Sequence[Goal], *, judged: bool) -> Table:
    """A table of the goals, and whether they are met."""
    shown = Table(title="goals")
    for heading in ("", "what", "measured", "bound"):
        shown.add_column(heading, justify="right" if heading == "measured" else "left")
    for goal in reached:
        mark = "[green]✓[/]" if goal.met else "[red]✗[/]"
        bound = f"{goal.sign} {goal.bound:g}{goal.unit}"
        shown.add_row(mark if judged else "not judged", goal.text, f"{goal.measured:.3g}", bound)
    return shown


def figures(case: Case, timing: Timing) -> dict[str, Any]:
    """The figures of one case as JSON data."""
    candidates: dict[str, dict[str, float]] = {}
    for name in timing.seconds:
        low, ratio, high = timing.ratio(name, "ours")
        candidates[name] = {
            "seconds": timing.median(name),
            "ratio": ratio,
            "low": low,
            "high": high,
            f"first_{WARM}_steps": timing.warm[name],
        }
        if "limit" in timing.seconds:
            candidates[name]["over_limit"] = timing.ratio(name, "limit").median
    return {
        "case": case.name,
        "shapes": case.shapes,
        "parameters": sum(map(prod, SHAPES[case.shapes])),
        "dtype": case.dtype,
        "threads": case.threads,
        "cold": case.cold,
        "odd": case.odd,
        "busy": case.busy,
        "rounds": timing.rounds,
        "candidates": candidates,
    }
