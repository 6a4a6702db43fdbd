"""Goals for the figures, and whether they are met."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cases import Case
from turns import Timing


@dataclass(frozen=True)
class Goal:
    """A measured figure and its bound.

    >>> Goal("ours over the limit", 1.05, "<=", 1.1).met
    True
    """

    text: str
    measured: float
    sign: Literal["<=", ">="]
    bound: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Is the figure within its bound?"""
        if self.sign == "<=":
            return self.measured <= self.bound
        return self.measured >= self.bound


def goals(timings: Mapping[Case, Timing], memory: Mapping[str, float | None]) -> list[Goal]:
    """The goals that the measurements cover.

    Args:
        timings: timings of cases with all threads.
        memory: the result of `fresh.extra_memory` for each candidate.
    """
    found = []
    plain = {}
    for case, timing in timings.items():
        if case.plain:
            plain[case.shapes] = timing
            found += _of_plain(case.shapes, timing)
        if case.odd:
            ratio = timing.ratio("ours", "torch foreach").median
            found.append(Goal(f"{case.subject}: ours, over torch foreach", ratio, "<=", 1.0))
        if case.busy:
            ratio = max(timing.ratio("ours", name).median for name in _FORMS)
            text = f"{case.subject}: ours, over the better of torch loop and foreach"
            found.append(Goal(text, ratio, "<=", 1.0))
    if {"one of 10 million", "one of 100 million"} <= set(plain):
        small, large = (plain[f"one of {size} million"].median("ours") for size in (10, 100))
        text = "a parameter in 100 million, over one in 10 million"
        found.append(Goal(text, large / (10 * small), "<=", 1.3))
    extra = memory.get("ours")
    if extra is not None:
        found.append(Goal("memory of a step, of the parameters'", extra, "<=", 1, " %"))
    return found


_FORMS = ("torch loop", "torch foreach")
"""Both forms of stock Adamax."""
_LIMIT = {"one of 20 million": 1.12, "GPT-2 small": 1.15}
"""Largest ratio of ours to the limit."""
_STOCK = {"one of 20 million": 3.4, "GPT-2 small": 2.7, "500 of 256": 1.5}
"""Smallest ratio of the faster form of stock Adamax to ours."""
_ADAM = {"one of 20 million": 0.97, "GPT-2 small": 0.97}
"""Smallest ratio of Adam to ours."""
_SAME_WAY = ("500 of 256", "GPT-2 small", "one of 1 million")
"""Cases in which our loop and foreach must take about as long as those of stock Adamax."""


def _of_plain(shapes: str, timing: Timing) -> list[Goal]:
    found = []
    if shapes in _LIMIT:
        ratio = timing.ratio("ours", "limit").median
        found.append(Goal(f"{shapes}: ours, over the limit", ratio, "<=", _LIMIT[shapes]))
    if shapes in _STOCK:
        ratio = min(timing.ratio(name, "ours").median for name in _FORMS)
        text = f"{shapes}: the better of torch loop and foreach, over ours"
        found.append(Goal(text, ratio, ">=", _STOCK[shapes]))
    if shapes in _ADAM:
        ratio = timing.ratio("torch Adam fused", "ours").median
        found.append(Goal(f"{shapes}: torch Adam fused, over ours", ratio, ">=", _ADAM[shapes]))
    if shapes in _SAME_WAY:
        for way in ("loop", "foreach"):
            ratio = timing.ratio(f"ours {way}", f"torch {way}").median
            found.append(Goal(f"{shapes}: ours {way}, over torch {way}", ratio, "<=", 1.1))
    return found
