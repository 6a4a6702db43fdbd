"""Candidates timed in turn in one process, so that what the machine does meets them all alike."""

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
    """Candidates over the same rounds.

    Attributes:
        case: what is stepped, and how.
        seconds: of a step of each candidate, in each round.
        warm: seconds of the first steps of each, in which some compile; they count nowhere else.
    """

    case: str
    seconds: dict[str, list[float]]
    warm: dict[str, float] = field(default_factory=dict)

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
        turn: seconds that a turn takes at least. Where one step is shorter, several follow it, and
            the mean of these is what counts: a single one would be timed with what the candidate
            before left in the caches. By time and not by number, since beside others a step may
            take a hundred times what it took before.
        rest: seconds before each turn. The threads of a candidate look out for more work for some
            milliseconds, and would take a core from one whose threads are others.
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
        # Before the next are built: all twice may be more than there is memory.
        built.clear()
        gc.collect()
    return Timing(case, seconds, warm)


def _sampled(step: Step, turn: float) -> float:
    """Seconds of a step in a turn of so many seconds: of the only one, or of those after it."""
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
