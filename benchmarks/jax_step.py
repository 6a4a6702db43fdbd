"""Time a step of `adamax_transform`, and its compilation, against `optax.adamax`.

python benchmarks/jax_step.py --json out.json --plot out.png
"""

import json as notation
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import optax
import typer
from machine import machine
from outputs import require_writable
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from shapes import SHAPES, Shapes
from turns import Step, Timing, timed

from adamax_jax import adamax_transform

OPTIMIZERS: dict[str, Any] = {"ours": adamax_transform(2e-3), "theirs": optax.adamax(2e-3)}
COMPILED = ["10 of 256", "50 of 256", "GPT-2 small", "200 of 256"]
CASES = [
    ("one of 20 million", "jitted", 4, 20),
    ("one of 20 million", "donated", 4, 40),
    ("GPT-2 small", "jitted", 4, 6),
    ("GPT-2 small", "donated", 4, 12),
    ("500 of 256", "jitted", 8, 100),
    ("500 of 256", "donated", 8, 100),
    ("150 of 256", "outside jit", 2, 50),
    ("GPT-2 small", "outside jit", 2, 3),
    *((shapes, "compiling", 2, 6) for shapes in COMPILED),
]
"""Shapes, mode, number of builds, and rounds for each build."""


def stepper(name: str, shapes: Shapes, how: str) -> Step:
    """A function that takes a step of one optimizer, on its own parameters."""
    optimizer = OPTIMIZERS[name]
    if how == "compiling":
        return compiler(optimizer, shapes)
    rng = np.random.default_rng(0)
    params, grads = (
        [jnp.asarray(rng.standard_normal(shape, np.float32)) for shape in shapes] for _ in range(2)
    )
    state = jax.jit(optimizer.init)(params)

    advance: Any = jax.jit(whole(optimizer), donate_argnums=(0, 1) if how == "donated" else ())
    ready: Any = jax.block_until_ready  # not typed
    held = [(params, state)]
    del params, state

    def step() -> None:
        # Drop the old parameters and state before the step returns new ones, as a training does.
        held.append(ready(advance(*held.pop(), grads)))

    def eager() -> None:
        params, state = held[0]
        ready(optimizer.update(grads, state, params))

    return eager if how == "outside jit" else step


def compiler(optimizer: Any, shapes: Shapes) -> Step:
    """A function that traces, lowers and compiles a step, without caches."""
    params: list[Any] = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]  # type: ignore[no-untyped-call]  # not typed
    state = jax.eval_shape(optimizer.init, params)

    def step() -> None:
        jax.clear_caches()  # type: ignore[no-untyped-call]  # not typed
        jax.jit(whole(optimizer)).lower(params, state, params).compile()

    return step


def whole(optimizer: Any) -> Any:
    """A training step, as a new function object for each call."""

    def advance(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return advance


def main(
    *,
    only: Annotated[str, typer.Option(help="Only cases whose name contains this text.")] = "",
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    plot_to: Annotated[Path | None, typer.Option("--plot", help="Plot them to this file.")] = None,
) -> None:
    """Time each case, both optimizers in turn, and print medians of ratios with their quartiles."""
    cases = [case for case in CASES if only in f"{case[0]}, {case[1]}"]
    if not cases:
        names = "; ".join(f"{shapes}, {how}" for shapes, how, _, _ in CASES)
        raise typer.BadParameter(f"no case has {only!r} in it: {names}", param_hint="--only")
    require_writable(json, plot_to)
    timings: list[Timing] = []
    with Progress(transient=True) as progress:
        for shapes, how, builds, rounds in cases:
            name = f"{shapes}, {how}"
            task = progress.add_task(name, total=builds * rounds)
            jax.clear_caches()  # type: ignore[no-untyped-call]  # not typed
            timings.append(
                timed(
                    name,
                    {
                        each: lambda each=each, shapes=shapes, how=how: stepper(  # type: ignore[misc]  # defaults bind
                            each, SHAPES[shapes], how
                        )
                        for each in OPTIMIZERS
                    },
                    builds=builds,
                    rounds=rounds,
                    tick=lambda task=task: progress.advance(task),  # type: ignore[misc]  # defaults bind
                )
            )
    show(timings)
    if json:
        figures = [_figures(each) for each in timings]
        described = {"machine": machine("jax", "optax"), "timings": figures}
        json.write_text(notation.dumps(described, indent=1))
    if plot_to:
        plot(timings, plot_to)


def _figures(timing: Timing) -> dict[str, Any]:
    low, ratio, high = timing.ratio("ours", "theirs")
    return {
        "case": timing.case,
        "ours": timing.median("ours"),
        "theirs": timing.median("theirs"),
        "ratio": ratio,
        "low": low,
        "high": high,
        "rounds": timing.rounds,
    }


def show(timings: list[Timing]) -> None:
    """Print a table."""
    table = Table(title="a step of adamax_transform over one of optax.adamax")
    for heading in ("case", "ours", "theirs", "ratio", "quartiles", "rounds"):
        number = heading != "case"
        table.add_column(heading, justify="right" if number else "left", no_wrap=number)
    for each in timings:
        low, ratio, high = each.ratio("ours", "theirs")
        table.add_row(
            each.case,
            f"{1e3 * each.median('ours'):.2f} ms",
            f"{1e3 * each.median('theirs'):.2f} ms",
            f"{ratio:.3f}",
            f"{low:.3f} to {high:.3f}",
            str(each.rounds),
        )
    Console().print(table)


def plot(timings: list[Timing], path: Path) -> None:
    """Plot the ratios with their quartiles."""
    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of the backend

    figure, axes = plt.subplots(figsize=(7, 0.5 * len(timings) + 1.2), layout="constrained")
    for row, each in enumerate(reversed(timings)):
        low, ratio, high = each.ratio("ours", "theirs")
        axes.plot([low, high], [row, row], color="tab:blue", linewidth=4, alpha=0.4)
        axes.plot(ratio, row, "o", color="tab:blue")
    axes.set_yticks(range(len(timings)), [each.case for each in reversed(timings)])
    axes.axvline(1, color="gray", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("time of a step over that of optax.adamax: median and quartiles")
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    typer.run(main)
