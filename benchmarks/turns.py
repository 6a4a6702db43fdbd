"""Candidates timed in turn in one process, so that what the machine does meets them all alike."""

import gc
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter, sleep
from typing import NamedTuple

import numpy as np

Step = Callable[[], None]
"""Takes a step, and returns when it is done."""


class Quartiles(NamedTuple):
    """A median between the quartiles."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Timing:
    """Candidates over the same rounds.

    Attributes:
        case: what is stepped, and how.
        seconds: of a step of each candidate, in each round.
        warm: seconds of the first steps of each, in which some compile; they count nowhere else.
        steps: how many a turn took, in each build.
    """

    case: str
    seconds: dict[str, list[float]]
    warm: dict[str, float] = field(default_factory=dict)
    steps: list[int] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """How many there were."""
        return len(next(iter(self.seconds.values())))

    def median(self, name: str) -> float:
        """Median seconds of a step."""
        return float(np.median(self.seconds[name]))

    def ratio(self, name: str, over: str) -> Quartiles:
        """The ratio of two candidates within each round.

        >>> Timing("", {"ours": [1.0, 2.0, 1.0], "theirs": [2.0, 4.0, 3.0]}).ratio("theirs", "ours")
        Quartiles(low=2.0, median=2.0, high=2.5)
        """
        ratios = np.array(self.seconds[name]) / np.array(self.seconds[over])
        return Quartiles(*map(float, np.percentile(ratios, [25, 50, 75])))


WARM = 3
"""Steps before any counts: the first makes the state, and what is compiled may be so again."""


def timed(
    case: str,
    make: Mapping[str, Callable[[], Step]],
    *,
    builds: int,
    rounds: int,
    tick: Step,
    turn: float = 0,
    rest: float = 0,
    by: str = "ours",
) -> Timing:
    """Time every candidate once in each round.

    What is built first can be faster by several per cent, for where it lies in memory; so all are
    built anew several times, in an order that is turned round each time. The order of turns is,
    too, in every other round.

    Args:
        case: what to call it.
        make: builds each candidate.
        builds: how often all are built; where it is even, neither order comes more often.
        rounds: how many follow on each.
        tick: called after each round.
        turn: seconds that a turn takes of `by`, where one step is shorter than that. All then take
            as many steps in a row, after one that is not timed, and their mean is what counts: a
            single one would be timed with what the candidate before left in the caches.
        rest: seconds before each turn. The threads of a candidate look out for more work for some
            milliseconds, and would take a core from one whose threads are others.
        by: the candidate that says how many steps that is.
    """
    seconds: dict[str, list[float]] = {name: [] for name in make}
    warm = dict.fromkeys(make, 0.0)
    steps: list[int] = []
    for build in range(builds):
        order = list(make)[:: 1 if build % 2 else -1]
        built: dict[str, Step] = {}
        for name in order:
            built[name] = make[name]()
            warm[name] = max(warm[name], _took(built[name], WARM))
        count = 1
        if turn:
            count = max(1, math.ceil(turn / min(_took(built[by], 1) for _ in range(WARM))))
        steps.append(count)
        for each in range(rounds):
            for name in order[:: 1 if each % 2 else -1]:
                sleep(rest)
                if count > 1:
                    built[name]()  # wakes what has slept, and brings what it needs to the caches
                seconds[name].append(_took(built[name], count) / count)
            tick()
        # Before the next are built: all twice may be more than there is memory.
        built.clear()
        gc.collect()
    return Timing(case, seconds, warm, steps)


def _took(step: Step, count: int) -> float:
    start = perf_counter()
    for _ in range(count):
        step()
    return perf_counter() - start
