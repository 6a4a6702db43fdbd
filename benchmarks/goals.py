"""What the figures must show, and whether they do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from turns import Timing


@dataclass(frozen=True)
class Goal:
    """A figure and its bound.

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
        """Whether the figure is inside."""
        if self.sign == "<=":
            return self.measured <= self.bound
        return self.measured >= self.bound


def goals(
    timings: Mapping[str, Timing],
    memory: Mapping[str, float | None],
    first: Mapping[str, float],
) -> list[Goal]:
    """The goals that can be judged by what was measured.

    Args:
        timings: by shapes, in float32 and with all threads.
        memory: what `fresh.extra_memory` says of each candidate.
        first: what `fresh.first_call` says.
    """
    found = [
        goal
        for shapes, bounds in _BOUNDS.items()
        if shapes in timings
        for goal in _ratios(timings[shapes], shapes, *bounds)
    ]
    if {"one of 10 million", "one of 100 million"} <= set(timings):
        small, large = (timings[f"one of {size} million"].median("ours") for size in (10, 100))
        text = "a parameter in 100 million, over one in 10 million"
        found.append(Goal(text, large / (10 * small), "<=", 1.3))
    if "one of 1 thousand" in timings:
        microseconds = 1e6 * timings["one of 1 thousand"].median("step_")
        found.append(Goal("one of 1 thousand: step_", microseconds, "<=", 30, " microseconds"))
    extra = memory.get("ours")
    if extra is not None:
        found.append(Goal("memory of a step, of the parameters'", extra, "<=", 1, " %"))
    if first:
        seconds = first["first step"] - first["second step"]
        found.append(Goal("first step, less the second", seconds, "<=", 0.3, " s"))
    return found


_BOUNDS: dict[str, tuple[float | None, float, float]] = {
    "one of 20 million": (1.10, 3.5, 1.0),
    "GPT-2 small": (1.12, 2.8, 1.0),
    "500 of 256": (None, 10, 6),
}
"""Of ours over the limit; of the better of both forms of stock Adamax, and of Adam, over ours."""


def _ratios(
    timing: Timing, shapes: str, limit: float | None, stock: float, adam: float
) -> list[Goal]:
    def over(name: str, base: str) -> float:
        return timing.ratio(name, base).median

    found = []
    if limit is not None:
        found.append(Goal(f"{shapes}: ours, over the limit", over("ours", "limit"), "<=", limit))
    better = min(over("torch loop", "ours"), over("torch foreach", "ours"))
    return [
        *found,
        Goal(f"{shapes}: the better of torch loop and foreach, over ours", better, ">=", stock),
        Goal(
            f"{shapes}: torch Adam fused, over ours", over("torch Adam fused", "ours"), ">=", adam
        ),
    ]
