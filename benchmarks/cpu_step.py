"""A step of `adamax_torch.Adamax` and of `adamax_fused.step_` on a processor, against others.

python benchmarks/cpu_step.py --json out.json --plot out.png

All candidates of a case step in turn, in every other round the other way round, and what is
compared is the ratio within a round. Where a step takes less than 20 ms a turn is several in a row:
as many for each candidate as ours take 20 ms for, after one that is not timed. Their mean is one
sample. The cases that are called cold have one step a turn. Before each turn is a rest of 20 ms,
for the threads of the candidate before to fall asleep.

The limit is the time that it takes to move what a step has to move (`limit.py`). Time to compile
is not counted, but told.
"""

import json as notation
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any

import numba
import torch
import typer
from candidates import CANDIDATES, Problem, missing
from cpu_plot import plot
from fresh import extra_memory, first_call
from goals import Goal, goals
from machine import machine
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from shapes import SHAPES
from turns import WARM, Timing, timed

PACKAGES = ("numpy", "numba", "llvmlite", "torch", "jax", "optax", "keras", "torchopt")
TURN, REST = 2e-2, 2e-2
CORES = numba.config.NUMBA_NUM_THREADS

MOST = ("ours", "step_", "torch loop", "torch foreach", "torch Adam fused", "optax", "limit")
FEW = ("ours", "torch loop", "torch Adam fused", "limit")
# To compile a step of 500 tensors takes a minute and a half.
ALL_BUT_COMPILED = (*MOST, "keras", "torchopt")
ALL = (*ALL_BUT_COMPILED, "torch compiled")
REMEMBERED = ("ours", "torch loop", "torch foreach", "torch Adam fused")
"""Of what the memory of a step is measured."""
MEMORY, FIRST = "memory of a step", "first call"


@dataclass(frozen=True)
class Case:
    """What is stepped, by whom, and how often.

    Attributes:
        shapes: a key of `SHAPES`.
        candidates: keys of `CANDIDATES`.
        builds: how often all are built.
        rounds: how many follow on each.
        dtype: of parameters, gradients and moments.
        threads: how many there are.
        cold: whether a turn is one step, however short.
    """

    shapes: str
    candidates: tuple[str, ...]
    builds: int
    rounds: int
    dtype: str = "float32"
    threads: int = CORES
    cold: bool = False

    @property
    def name(self) -> str:
        """What it is called."""
        cold = ", cold" if self.cold else ""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.shapes}{cold}, {self.dtype}, {threads}"


def cases(threads: list[int]) -> list[Case]:
    """All for the largest number of threads; for the others what shows how it scales."""
    most = max(threads)
    fewer = sorted(set(threads) - {most}, reverse=True)
    return [
        *(Case(f"one of {size}", MOST, 2, 15, threads=most) for size in _SMALL),
        Case("one of 10 million", MOST, 2, 15, threads=most),
        Case("one of 20 million", ALL, 4, 12, threads=most),
        Case("one of 100 million", FEW, 1, 15, threads=most),
        Case("500 of 256", ALL_BUT_COMPILED, 4, 6, threads=most),
        Case("500 of 256", ALL_BUT_COMPILED, 2, 20, threads=most, cold=True),
        Case("ResNet-50", MOST, 2, 8, threads=most),
        Case("ViT-B/16", MOST, 1, 8, threads=most),
        Case("GPT-2 small", ALL, 4, 8, threads=most),
        Case("one of 20 million", MOST, 1, 10, "bfloat16", most),
        Case("GPT-2 small", MOST, 1, 5, "bfloat16", most),
        Case("500 of 256", MOST, 1, 8, "bfloat16", most),
        *(Case("one of 20 million", MOST, 1, 8, threads=each) for each in fewer),
        *(Case("GPT-2 small", MOST, 1, 5, threads=each) for each in fewer),
    ]


_SMALL = ("1 thousand", "10 thousand", "100 thousand", "1 million")


def main(
    *,
    only: Annotated[str, typer.Option(help="Only what has this text in its name.")] = "",
    threads: Annotated[str, typer.Option(help="How many, with commas.")] = f"1,{CORES}",
    json: Annotated[Path | None, typer.Option(help="Write the figures there.")] = None,
    plot_to: Annotated[Path | None, typer.Option("--plot", help="Draw them there.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Two rounds of each.")] = False,
) -> None:
    """Time each case, all candidates in turn; print medians, and what they must show."""
    counts = _counts(threads)
    every = cases(counts)
    chosen = [case for case in every if only in case.name]
    extras = [name for name in (MEMORY, FIRST) if only in name]
    if not chosen and not extras:
        names = "; ".join([*(case.name for case in every), MEMORY, FIRST])
        raise typer.BadParameter(f"no case has {only!r} in it: {names}", param_hint="--only")
    for path in filter(None, (json, plot_to)):
        path.parent.mkdir(parents=True, exist_ok=True)
    described: dict[str, Any] = {"machine": machine(*PACKAGES)}
    timings, memory, first = measured(chosen, extras, quick=quick)
    shown = {
        case.shapes: timing
        for case, timing in timings.items()
        if case.dtype == "float32" and case.threads == max(counts) and not case.cold
    }
    reached = goals(shown, memory, first)
    tell(reached)
    if json:
        described |= {
            "timings": [figures(case, timing) for case, timing in timings.items()],
            "memory": memory,
            "first": first,
            "goals": [vars(goal) | {"met": goal.met} for goal in reached],
        }
        json.write_text(notation.dumps(described, indent=1))
    if plot_to:
        plot(shown, plot_to)


def _counts(text: str) -> list[int]:
    try:
        counts = [int(each) for each in text.split(",")]
    except ValueError:
        counts = []
    if not counts or not all(1 <= count <= CORES for count in counts):
        hint = "--threads"
        raise typer.BadParameter(f"{text!r} is not numbers from 1 to {CORES}", param_hint=hint)
    return counts


def _progress() -> Progress:
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    return Progress(*columns, transient=True)


def measured(
    chosen: list[Case], extras: list[str], *, quick: bool
) -> tuple[dict[Case, Timing], dict[str, float | None], dict[str, float]]:
    """Time cases, and what is in a process of its own, and show each as it is done."""
    for name in CANDIDATES:
        if missing(name) and any(name in case.candidates for case in chosen):
            print(f"{name} is left out: {missing(name)} not installed", file=sys.stderr)
    timings: dict[Case, Timing] = {}
    memory: dict[str, float | None] = {}
    first: dict[str, float] = {}
    rounds = {case: (1, 2) if quick else (case.builds, case.rounds) for case in chosen}
    with _progress() as progress:
        total = (
            sum(map(prod, rounds.values()))
            + len(REMEMBERED) * (MEMORY in extras)
            + (FIRST in extras)
        )
        task = progress.add_task("", total=total)
        for case in chosen:
            progress.update(task, description=case.name)
            timings[case] = stepped(case, *rounds[case], tick=lambda: progress.advance(task))
            progress.console.print(table(case, timings[case]))
        if MEMORY in extras:
            progress.update(task, description=MEMORY)
            for name in REMEMBERED:
                memory[name] = extra_memory(name)
                progress.advance(task)
            progress.console.print(memory_table(memory))
        if FIRST in extras:
            progress.update(task, description=FIRST)
            first = first_call()
            progress.advance(task)
            progress.console.print(first_table(first))
    return timings, memory, first


def stepped(case: Case, builds: int, rounds: int, tick: Callable[[], None]) -> Timing:
    """Time one case."""
    torch.set_num_threads(case.threads)
    numba.set_num_threads(case.threads)
    problem = Problem(SHAPES[case.shapes], case.dtype)
    make = {
        name: lambda build=build: build(problem)
        for name, build in CANDIDATES.items()
        if name in case.candidates
        and not missing(name)
        # The threads of JAX are as many as there are cores, and stay so.
        and (name != "optax" or case.threads == CORES)
    }
    turn = 0 if case.cold else TURN
    return timed(case.name, make, builds=builds, rounds=rounds, tick=tick, turn=turn, rest=REST)


def _table(title: str, first: str, *numbers: str, caption: str | None = None) -> Table:
    table = Table(title=title, caption=caption)
    table.add_column(first, no_wrap=True)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def table(case: Case, timing: Timing) -> Table:
    """A case for people."""
    notes = [f"{timing.rounds} rounds of {max(timing.steps)} steps a turn"]
    if "torch compiled" in timing.warm:
        notes.append(f"torch compiled took {timing.warm['torch compiled']:.0f} s to compile")
    if "optax" in case.candidates and "optax" not in timing.seconds and not missing("optax"):
        notes.append(f"optax always has all {CORES} threads, so it is not here")
    shown = _table(
        case.name,
        "candidate", "ms", "over ours", "quartiles", "over limit",
        caption="; ".join(notes),
    )  # fmt: skip
    for name in timing.seconds:
        low, ratio, high = timing.ratio(name, "ours")
        shown.add_row(
            name,
            f"{1e3 * timing.median(name):.4g}",
            f"{ratio:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{timing.ratio(name, 'limit').median:.3f}",
        )
    return shown


def memory_table(memory: Mapping[str, float | None]) -> Table:
    """How much memory a step takes, for people."""
    shown = _table(f"{MEMORY} of 20 million, at its peak", "candidate", "% of the parameters'")
    for name, extra in memory.items():
        shown.add_row(name, "not told here" if extra is None else f"{extra:.2f}")
    return shown


def first_table(first: Mapping[str, float]) -> Table:
    """How long the first call takes, for people."""
    shown = _table(f"{FIRST} in a process, of one of 1 thousand", "what", "ms")
    for what, seconds in first.items():
        shown.add_row(what, f"{1e3 * seconds:.3g}")
    return shown


def tell(reached: list[Goal]) -> None:
    """What the figures must show, and whether they do."""
    if not reached:
        return
    shown = Table(title="what they must show")
    for heading in ("", "what", "measured", "bound"):
        shown.add_column(heading, justify="right" if heading == "measured" else "left")
    for goal in reached:
        mark = "[green]✓[/]" if goal.met else "[red]✗[/]"
        bound = f"{goal.sign} {goal.bound:g}{goal.unit}"
        shown.add_row(mark, goal.text, f"{goal.measured:.3g}", bound)
    Console().print(shown)


def figures(case: Case, timing: Timing) -> dict[str, Any]:
    """A case for programs."""
    candidates = {}
    for name in timing.seconds:
        low, ratio, high = timing.ratio(name, "ours")
        candidates[name] = {
            "seconds": timing.median(name),
            "ratio": ratio,
            "low": low,
            "high": high,
            "over_limit": timing.ratio(name, "limit").median,
            f"first_{WARM}_steps": timing.warm[name],
        }
    return {
        "case": case.name,
        "shapes": case.shapes,
        "parameters": sum(map(prod, SHAPES[case.shapes])),
        "dtype": case.dtype,
        "threads": case.threads,
        "cold": case.cold,
        "rounds": timing.rounds,
        "steps_in_a_turn": timing.steps,
        "candidates": candidates,
    }


if __name__ == "__main__":
    typer.run(main)
