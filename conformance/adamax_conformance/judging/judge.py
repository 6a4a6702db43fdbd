"""Judge a run of steps: each step from the state that the backend itself reported.

Errors therefore never accumulate, and the bound is as tight at step 1000 as at step 1. If a backend
reports no state, the interval that one step allows is the input of the next.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from adamax_conformance.bounds.distinct import Bound, bounds
from adamax_conformance.bounds.oracle import QUANTITIES, pairs
from adamax_conformance.judging.extent import change, extent, left_out
from adamax_conformance.judging.finding import Divergence, Finding, Violation
from adamax_conformance.judging.run import Run, Trial, initial
from adamax_conformance.subject.backend import Arrays, Moments
from adamax_conformance.subject.memory import bits, copies
from adamax_conformance.subject.watched import Watched

_FEW = 4
"""Report the wrong elements of at most this many parameters."""
_NO_GRADIENT = "before: it has no gradient"


@dataclass
class _Tally:
    """Comparisons so far, and what is wrong in the present step."""

    elements: int = 0
    trace: list[float] = field(default_factory=list)
    wrong: list[Divergence] = field(default_factory=list)

    def compare(
        self, step: int, name: str, quantity: str, got: Any, bound: Bound, was: Any
    ) -> None:
        """Compare each element with its interval; record the worst of those outside.

        Args:
            step: the step, from one.
            name: name of the parameter.
            quantity: which of `QUANTITIES`.
            got: the values after the step.
            bound: their intervals.
            was: the values before the step, or the intervals of those.
        """
        values = pairs(got)
        self.elements += int(np.count_nonzero(bound.bounded))
        if not values.size:
            return
        excess = bound.excess(values)
        index = tuple(map(int, np.unravel_index(int(np.argmax(excess)), excess.shape)))
        worst = float(excess[index])
        self.trace[-1] = max(self.trace[-1], worst)
        if worst > 1:
            value = repr(float(values[index]))
            interval, exact = bound.interval(index), bound.exactly(index)
            outside = excess > 1
            outside = outside.any(-1) if values.shape != got.shape else outside
            left = isinstance(was, np.ndarray) and left_out(outside, got == was)
            wrong = (step, name, index, quantity, value, interval, exact, worst)
            words = extent(outside)
            self.wrong.append(Divergence(*wrong, bits(values[index]), words, left_out=left))

    def count(self, step: int, name: str, got: int, expected: int) -> None:
        """Compare the step count of a parameter, which is exact."""
        self.elements += 1
        if got != expected:
            exact = str(expected)
            self.wrong.append(Divergence(step, name, (), "step", str(got), exact, exact, np.inf))

    def stays(self, step: int, name: str, what: str, was: Any, now: Any) -> None:
        """Compare a dtype with that before the step; another dtype would change the bound."""
        if now != was:
            self.wrong.append(Divergence(step, name, (), what, str(now), str(was), "", np.inf))

    def same(
        self, step: int, name: str, quantity: str, got: Any, expected: Any, why: str = _NO_GRADIENT
    ) -> None:
        """Compare bit by bit."""
        self.elements += np.size(got)
        if found := change(expected, got):
            wrong = (step, name, found.index, quantity, found.now, f"{found.was}, as {why}")
            self.wrong.append(Divergence(*wrong, "", np.inf, extent=found.extent))


class Shown(NamedTuple):
    """Parameters and state of a backend, before the first step of a run or after a step.

    Attributes:
        params: parameters by name.
        moments: moments by parameter name; None if the state is not accessible.
        state: the state for the next step; None if the backend takes whole runs.
    """

    params: Arrays
    moments: Mapping[str, Moments] | None
    state: Any


def follow(backend: Watched, run: Run) -> Iterator[Shown]:
    """Run the steps: yield what the backend shows before the first, then after each.

    Raises:
        BackendError: the backend raised.
    """
    if backend.takes_runs:
        for params, moments in backend.trajectory(run):
            yield Shown(params, moments, None)
    else:
        yield from stepwise(backend, run, run.start(backend))


def stepwise(backend: Watched, run: Run, state: Any) -> Iterator[Shown]:
    """Run the steps one at a time, starting from a state of the backend."""
    params: Arrays = copies(run.params)
    yield Shown(params, backend.moments(params, state), state)
    for index, grads in enumerate(run.grads):
        params, state = backend.step(params, copies(grads), state, run.at(index))
        yield Shown(params, backend.moments(params, state), state)


Also = Callable[[Watched, Run, Arrays], Finding]
"""A further check of a backend, after a run of it that ended with these parameters."""


def judge(
    backend: Watched,
    trial: Trial,
    *,
    also: Also | None = None,
    showing: Iterator[Shown] | None = None,
) -> Finding:
    """Run the steps and compare each; raise at the first wrong step.

    Args:
        backend: the backend, watched.
        trial: the run, and the quantities to judge.
        also: a further check of the last parameters.
        showing: the run, started from a state that the backend already has; such a run cannot be
            repeated on its own.

    Raises:
        Violation: a value is outside its interval; names step, element, value and interval.
        BackendError: the backend raised.
    """
    run, judged = trial.run.kept(), trial.judged
    again = replace(trial, run=run, only=()) if showing is None else None
    showing = follow(backend, trial.run) if showing is None else showing
    params, believed, _ = next(showing)
    if believed is None:
        if trial.accurate_correction:
            # Errors in the last places of the correction and of a hidden moment look the same.
            return Finding()
        judged = {*judged, "param"}
        believed = initial(run)
    tally = _Tally()
    if run.saved is not None:
        _judge_loaded(tally, judged, run.saved, believed)
        _require_right(tally, again)
    for index, (grads, shown) in enumerate(zip(run.grads, showing, strict=True)):
        hp, step = backend.limits.held(run.at(index)), index + 1
        tally.trace.append(0.0)
        stepped, reported, _ = shown
        if reported is not None and trial.only and step not in trial.only:
            params, believed = stepped, reported
            continue
        following = {}
        for name, param in params.items():
            before, after = believed[name], reported[name] if reported else None
            if name not in grads:
                _judge_kept(tally, step, name, judged, param, stepped[name], before, after)
                following[name] = after or before
                continue
            if before.step < 0:
                raise Violation(f"step {index}, {name}, step: got {before.step}, a count of steps")
            own = replace(hp, weight_decay=0.0) if name in run.undecayed else hp
            bound = bounds(
                param,
                grads[name],
                before,
                own,
                reported=after,
                accurate_correction=trial.accurate_correction,
                alteration=backend.alteration,
            )
            following[name] = _judge_step(
                tally, step, name, judged, param, stepped[name], before, after, bound
            )
        changed = index > 0 and run.at(index) != run.at(index - 1)
        _require_right(tally, again, changed=changed)
        params, believed = stepped, following
    finding = Finding(tally.elements, max(tally.trace, default=0.0), tuple(tally.trace))
    return finding + also(backend, run, params) if also else finding


def _require_right(tally: _Tally, again: Trial | None, *, changed: bool = False) -> None:
    """Raise the worst of what is wrong so far; `changed`: the step has other hyperparameters."""
    if tally.wrong:
        worst = max(tally.wrong, key=lambda each: each.distance)
        alike = [each for each in tally.wrong if each.extent and each.quantity == worst.quantity]
        more = [f"{len(alike) - _FEW} more parameters"] if len(alike) > _FEW else []
        parts = [f"{each.parameter}: {each.extent}" for each in alike[:_FEW]]
        left = bool(alike) and all(each.left_out for each in alike)
        worst = replace(worst, extent="; ".join(parts + more), left_out=left, changed=changed)
        raise Violation(
            str(worst),
            divergence=worst,
            trial=again,
            trace=tuple(tally.trace),
            elements=tally.elements,
        )


def _judge_loaded(
    tally: _Tally,
    judged: Collection[str],
    saved: Mapping[str, Moments],
    loaded: Mapping[str, Moments],
) -> None:
    """Compare a loaded state with the saved one, before the first step."""
    for name, slot in saved.items():
        if "step" in judged:
            tally.count(0, name, loaded[name].step, slot.step)
        for part in (part for part in ("exp_avg", "exp_inf") if part in judged):
            tally.same(0, name, part, getattr(loaded[name], part), getattr(slot, part), "saved")


def _judge_kept(
    tally: _Tally,
    step: int,
    name: str,
    judged: Collection[str],
    param: Any,
    stepped: Any,
    before: Moments,
    after: Moments | None,
) -> None:
    """Compare a parameter without a gradient and its state: every bit stays (S-2, S-3)."""
    was, now = {"param": param}, {"param": stepped}
    if after is not None:
        was, now = was | before._asdict(), now | after._asdict()
    for part in (part for part in now if part in judged):
        tally.same(step, name, part, now[part], was[part])


def _judge_step(
    tally: _Tally,
    step: int,
    name: str,
    judged: Collection[str],
    param: Any,
    stepped: Any,
    before: Moments,
    after: Moments | None,
    bound: Mapping[str, Bound],
) -> Moments:
    """Compare a parameter that has taken a step; return the moments for its next step."""
    steps = before.step + 1
    was, values = before._asdict() | {"param": param}, {"param": stepped}
    if after is not None:
        values |= {"exp_avg": after.exp_avg, "exp_inf": after.exp_inf}
        for moment in ("exp_avg", "exp_inf"):
            dtype = getattr(after, moment).dtype
            tally.stays(step, name, f"dtype of {moment}", was[moment].dtype, dtype)
        if "step" in judged:
            tally.count(step, name, after.step, steps)
    for quantity in QUANTITIES:
        if quantity in judged and quantity in values:
            value = values[quantity]
            tally.compare(step, name, quantity, value, bound[quantity], was[quantity])
    return after or Moments(steps, bound["exp_avg"], bound["exp_inf"])
