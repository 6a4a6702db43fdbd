"""The loss curves of the trainers in `digits.py`: how far apart they are, and their plot."""

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

REFERENCE = "NumPy reference"


class Run(NamedTuple):
    """The result of a trainer: the training loss before the first step and after each."""

    losses: npt.NDArray[np.floating[Any]]
    accuracy: float


def largest_difference(runs: dict[str, Run]) -> float:
    """The largest difference between any two curves at any step."""
    return max(
        float(np.abs(one.losses - other.losses).max())
        for one, other in combinations(runs.values(), 2)
    )


class Line(NamedTuple):
    """The line style of a trainer: narrow on wide, so that coinciding curves stay visible.

    The colours are Okabe and Ito's, which colour-blind readers can distinguish.
    """

    color: str
    width: float
    style: Any


LINES = {
    REFERENCE: Line("#bbbbbb", 9, "solid"),
    "JAX adapter": Line("#56b4e9", 5.5, "solid"),
    "PyTorch adapter": Line("#000000", 2.5, "solid"),
    "torch.optim.Adamax": Line("#e69f00", 1.6, (0, (4, 3))),
}


def draw(runs: dict[str, Run], dtype: str) -> Figure:
    """The curves, and how far each is from the reference."""
    # A Figure of its own, without pyplot, needs no display: Agg draws it.
    figure = Figure(figsize=(10, 4), dpi=150, layout="constrained")
    curves, distances = figure.subplots(1, 2)
    draw_curves(curves, runs)
    draw_distances(distances, runs, dtype)
    for axes in (curves, distances):
        axes.set_xlabel("step")
        axes.margins(x=0.02)
        axes.grid(color="#eeeeee")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, markerscale=1.5)
    return figure


def draw_curves(axes: Axes, runs: dict[str, Run]) -> None:
    """Plot the four losses in one panel."""
    for name, run in runs.items():
        color, width, style = LINES[name]
        axes.plot(run.losses, label=name, color=color, linewidth=width, linestyle=style)
    axes.set(title="Handwritten digits: four trainers, one curve", ylabel="training loss")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def draw_distances(axes: Axes, runs: dict[str, Run], dtype: str) -> None:
    """Plot the distance of the others from the reference, and the unit roundoff."""
    for name, run in runs.items():
        if name != REFERENCE:
            color, width, _ = LINES[name]
            distance = np.abs(run.losses - runs[REFERENCE].losses)
            # Dots: zero distances, which a log axis cannot show, would interrupt a line.
            axes.plot(distance, ".", label=name, color=color, markersize=2 + width)
    roundoff = float(np.finfo(dtype).eps) / 2
    label = f"unit roundoff of {dtype}"
    axes.axhline(roundoff, color="#777777", linewidth=1.2, linestyle=":", label=label)
    axes.set(title=f"Distance from the reference, {dtype}", ylabel="difference of training loss")
    axes.set_yscale("log")
    # The same decades around the roundoff for either precision; more if runs diverge.
    highest = max(roundoff, largest_difference(runs))
    axes.set_ylim(roundoff / 1e3, 1e2 * highest)
