"""The plot of the scoreboard: the size of the steps of each dialect, by the scale of gradients."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from adamax_conformance.dialects.axes import CORRECTION, EPS
from adamax_conformance.scoreboard.entry import SCALES, Entry

WIDTH, HEIGHT = 560, 240
"""Size of the area of the plot, in units of the drawing."""

_GAP = 17
"""Distance between two labels, so that they can be read."""


class Line(NamedTuple):
    """A line of the plot.

    Attributes:
        label: the dialect, and who computes it.
        points: its ends, as the value of ``points`` of an SVG polyline.
        marks: the same as pairs.
        height: where it ends.
        at: where its label stands.
    """

    label: str
    points: str
    marks: tuple[tuple[float, float], ...]
    height: float
    at: float


class Plot(NamedTuple):
    """The plot: its lines, and the ticks of both axes as pairs of place and text."""

    lines: list[Line]
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]


def drawn(entries: Sequence[Entry]) -> Plot:
    """Return the plot of all dialects whose cost is known."""
    names: dict[tuple[float, ...], dict[str, None]] = {}
    rules: dict[tuple[float, ...], str] = {}
    for entry in entries:
        if entry.costs:
            names.setdefault(entry.costs, {})[entry.name.partition("?")[0]] = None
            uncorrected = entry.found(CORRECTION.name) == "none"
            eps = {"none": "no eps"}.get(entry.found(EPS.name), f"eps {entry.found(EPS.name)}")
            rules[entry.costs] = eps + (", no correction" if uncorrected else "")
    top = max([1.0, *(cost for costs in names for cost in costs)]) * 1.1
    ordered = sorted(names, key=lambda costs: costs[-1], reverse=True)
    lines: list[Line] = []
    for costs in ordered:
        marks = tuple(
            (_across(scale), round(HEIGHT * (1 - cost / top), 1))
            for scale, cost in zip(SCALES, costs, strict=True)
        )
        height = marks[-1][1]
        at = max(height, lines[-1].at + _GAP) if lines else height
        points = " ".join(f"{x},{y}" for x, y in marks)
        lines.append(Line(f"{rules[costs]}: {_few([*names[costs]])}", points, marks, height, at))
    step = 0.25 if top < 2 else 0.5  # noqa: PLR2004 - about eight lines
    ticks = [number * step for number in range(math.floor(top / step) + 1)]
    return Plot(
        lines,
        [(_across(scale), f"{scale:g}") for scale in SCALES],
        [(round(HEIGHT * (1 - tick / top), 1), f"{tick:g}") for tick in ticks],
    )


def _across(scale: float) -> float:
    first, last = math.log10(SCALES[0]), math.log10(SCALES[-1])
    return round(WIDTH * (math.log10(scale) - first) / (last - first), 1)


def _few(names: Sequence[str]) -> str:
    """Return the first two names, and how many more there are."""
    more = len(names) - 2
    return ", ".join(names[:2]) + (f" and {more} more" if more > 0 else "")
