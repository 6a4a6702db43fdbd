"""The plot of the scoreboard: the size of the steps of each dialect, by the scale of gradients."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from adamax_conformance.dialects.axes import CORRECTION, EPS
from adamax_conformance.scoreboard.entry import SCALES, Entry

WIDTH, HEIGHT = 560, 240
"""Size of the area of the plot, in units of the drawing."""

_TICKS = 8
"""Largest number of intervals between the ticks of the vertical axis."""


class Line(NamedTuple):
    """A line of the plot.

    Attributes:
        label: the dialect, and who computes it.
        points: its ends, as the value of ``points`` of an SVG polyline.
        marks: the same as pairs.
    """

    label: str
    points: str
    marks: tuple[tuple[float, float], ...]


class Plot(NamedTuple):
    """The plot: its lines, and the ticks of both axes as pairs of place and text."""

    lines: list[Line]
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]


def drawn(entries: Sequence[Entry]) -> Plot:
    """Return the plot of all dialects whose cost is known, in the order of where they end."""
    names: dict[tuple[float, ...], dict[str, None]] = {}
    rules: dict[tuple[float, ...], str] = {}
    for entry in entries:
        if entry.costs:
            names.setdefault(entry.costs, {})[entry.name.partition("?")[0]] = None
            uncorrected = entry.found(CORRECTION.name) == "none"
            given = f"eps {entry.unusual_eps}".strip()
            eps = {"none": "no eps"}.get(entry.found(EPS.name), f"{given} {entry.found(EPS.name)}")
            rules[entry.costs] = eps + (", no correction" if uncorrected else "")
    top = max([1.0, *(cost for costs in names for cost in costs)]) * 1.1
    lines: list[Line] = []
    for costs in sorted(names, key=lambda costs: costs[-1], reverse=True):
        marks = tuple(
            (_across(scale), round(HEIGHT * (1 - cost / top), 1))
            for scale, cost in zip(SCALES, costs, strict=True)
        )
        points = " ".join(f"{x},{y}" for x, y in marks)
        lines.append(Line(f"{rules[costs]}: {_few([*names[costs]])}", points, marks))
    return Plot(
        lines,
        [(_across(scale), f"{scale:g}") for scale in SCALES],
        [(round(HEIGHT * (1 - tick / top), 1), f"{tick:g}") for tick in _ticks(top)],
    )


def _ticks(top: float) -> list[float]:
    """Return a few round numbers from zero to the top.

    >>> _ticks(1.7)
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5]
    >>> len(_ticks(1e300))
    5
    """
    power = 10.0 ** math.floor(math.log10(top / _TICKS))
    step = next(
        each for each in (power, 2.5 * power, 5 * power, 10 * power) if each * _TICKS >= top
    )
    return [number * step for number in range(math.floor(top / step) + 1)]


def _across(scale: float) -> float:
    first, last = math.log10(SCALES[0]), math.log10(SCALES[-1])
    return round(WIDTH * (math.log10(scale) - first) / (last - first), 1)


def _few(names: Sequence[str]) -> str:
    """Return the first two names, and how many more there are."""
    more = len(names) - 2
    return ", ".join(names[:2]) + (f" and {more} more" if more > 0 else "")
