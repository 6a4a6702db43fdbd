"""Time a step of `adamax_torch.Adamax` and of `adamax_fused.step_` on CPU, against others.

python benchmarks/cpu_step.py --json out.json --plot out.png

All candidates of a case step in turn, in alternating order; the ratio within a round is compared.
A turn lasts at least 20 ms: if a step is shorter, more follow after an untimed one, and their mean
is one sample. Cold cases have one step for each turn. Busy cases run beside as many other processes
as there are CPUs, with turns of 100 ms. A rest of 20 ms before each turn lets the threads of the
previous candidate fall asleep.

The limit is the time to move the bytes of a step (`limit.py`). Compile time is not counted, but
reported.

The exit status is 1 if a goal (`goals.py`) is not met. Goals apply to all threads and all rounds:
with fewer threads, or with ``--quick``, they are shown but not judged.
"""

import contextlib
import json as notation
import sys
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from busy import busy
from candidates import CANDIDATES, missing
from cases import CORES, REMEMBERED, Case, cases
from cpu_plot import plot
from fresh import extra_memory, first_call
from goals import goals
from machine import machine
from outputs import require_writable
from problem import Problem
from report import FIRST, MEMORY, case_table, figures, first_table, goals_table, memory_table
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from shapes import SHAPES
from turns import Timing, timed

PACKAGES = ("numpy", "numba", "llvmlite", "torch", "jax", "optax", "keras", "torchopt")
TURN, REST = 2e-2, 2e-2
# The scheduler favors a process that has slept for some milliseconds; a training does not sleep.
BUSY_TURN = 1e-1


def main(
    *,
    only: Annotated[str, typer.Option(help="Only cases whose name contains this text.")] = "",
    threads: Annotated[
        str, typer.Option(help="Numbers of threads, comma-separated.")
    ] = f"1,{CORES}",
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    plot_to: Annotated[Path | None, typer.Option("--plot", help="Plot them to this file.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only two rounds of each case.")] = False,
) -> None:
    """Time each case, all candidates in turn; print medians and goals.

    The exit status is 1 if a goal is not met, else 0. Goals are judged with all threads only, and
    not with --quick.
    """
    counts = _counts(threads)
    every = cases(counts)
    chosen = [case for case in every if only in case.name]
    extras = [name for name in (MEMORY, FIRST) if only in name]
    if not chosen and not extras:
        names = "; ".join([*(case.name for case in every), MEMORY, FIRST])
        raise typer.BadParameter(f"no case has {only!r} in it: {names}", param_hint="--only")
    require_writable(json, plot_to)
    described: dict[str, Any] = {"machine": machine(*PACKAGES)}
    timings, memory, first = measured(chosen, extras, quick=quick)
    most = {case: timing for case, timing in timings.items() if case.threads == max(counts)}
    reached = goals(most, memory)
    judged = max(counts) == CORES and not quick
    if reached:
        Console().print(goals_table(reached, judged=judged))
    if json:
        described |= {
            "timings": [figures(case, timing) for case, timing in timings.items()],
            "memory": memory,
            "first": first,
            "goals": [vars(goal) | {"met": goal.met if judged else None} for goal in reached],
        }
        json.write_text(notation.dumps(described, indent=1))
    if plot_to:
        plot(most, plot_to)
    if judged and not all(goal.met for goal in reached):
        raise typer.Exit(1)


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
    """Time the cases and the measurements in new processes, and print each when done."""
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
            progress.console.print(case_table(case, timings[case]))
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
    problem = Problem(SHAPES[case.shapes], case.dtype, case.odd)
    make = {
        name: lambda build=build: build(problem)
        for name, build in CANDIDATES.items()
        if name in case.candidates
        and not missing(name)
        # JAX always uses all cores.
        and (name != "optax" or case.threads == CORES)
    }
    turn = 0 if case.cold else BUSY_TURN if case.busy else TURN
    with busy(CORES) if case.busy else contextlib.nullcontext():
        return timed(case.name, make, builds=builds, rounds=rounds, tick=tick, turn=turn, rest=REST)


if __name__ == "__main__":
    typer.run(main)
