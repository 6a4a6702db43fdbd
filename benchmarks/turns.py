"""Time candidates in turn in one process, so that disturbances affect all alike."""

import gc
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
    """The times of all candidates over the same rounds.

    Attributes:
        case: name of the case.
        seconds: time of a step of each candidate, in each round.
        warm: seconds of the warm-up steps of each, in which some compile; not counted elsewhere.
    """

    case: str
    seconds: dict[str, list[float]]
    warm: dict[str, float] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """The number of rounds."""
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
"""Warm-up steps: the first creates the state, and compiled steps may recompile."""


def timed(
    case: str,
    make: Mapping[str, Callable[[], Step]],
    *,
    builds: int,
    rounds: int,
    tick: Step,
    turn: float = 0,
    rest: float = 0,
) -> Timing:
    """Time every candidate once in each round.

    The candidate built first can be faster by several percent, because of its place in memory, so
    all are rebuilt several times, in alternating order. The order of turns alternates between
    rounds, too.

    Args:
        case: name of the case.
        make: builds each candidate.
        builds: number of builds; an even number balances both orders.
        rounds: number of rounds for each build.
        tick: called after each round.
        turn: minimum seconds of a turn. If one step is shorter, more follow, and their mean counts:
            the first one runs with the caches of the previous candidate. Limited by time, not by
            number, since under load a step may take a hundred times as long.
        rest: seconds of rest before each turn. The threads of the previous candidate spin for some
            milliseconds, and would take a core from the next.
    """
    seconds: dict[str, list[float]] = {name: [] for name in make}
    warm = dict.fromkeys(make, 0.0)
    for build in range(builds):
        order = list(make)[:: 1 if build % 2 else -1]
        built: dict[str, Step] = {}
        for name in order:
            built[name] = make[name]()
            warm[name] = max(warm[name], sum(_took(built[name]) for _ in range(WARM)))
        for each in range(rounds):
            for name in order[:: 1 if each % 2 else -1]:
                sleep(rest)
                seconds[name].append(_sampled(built[name], turn))
            tick()
        # Free all before the next build: two builds at once may exceed the memory.
        built.clear()
        gc.collect()
    return Timing(case, seconds, warm)


def _sampled(step: Step, turn: float) -> float:
    """Seconds of a step: of the first if it fills the turn, else the mean of the following."""
    first = _took(step)
    if first >= turn:
        return first
    count, start = 0, perf_counter()
    while (spent := perf_counter() - start) < turn:
        step()
        count += 1
    return spent / count


def _took(step: Step) -> float:
    start = perf_counter()
    step()
    return perf_counter() - start
