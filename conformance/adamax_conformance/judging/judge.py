"""Judge a run of steps: each step from the state that the backend itself reported.

Errors therefore never accumulate, and the bound is as tight at step 1000 as at step 1. If a backend
reports no state, the interval that one step allows is the input of the next.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
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
_MOMENTS = ("exp_avg", "exp_inf")

_Values = Mapping[str, Any]
"""The values of one parameter by quantity; the count and the moments only if they are shown."""


class _Compared(NamedTuple):
    """The largest error of a quantity over its bound, and what is wrong if that is above one."""

    used: float
    wrong: Divergence | None


@dataclass
class _Tally:
    """Comparisons so far, and what is wrong in the present step.

    Attributes:
        judged: the quantities to judge.
        step: the present step, from one; zero before the first.
        elements: number of numbers compared.
        trace: the largest error of each step over its bound.
        wrong: what is wrong in the present step.
    """

    judged: Collection[str]
    step: int = 0
    elements: int = 0
    trace: list[float] = field(default_factory=list)
    wrong: list[Divergence] = field(default_factory=list)

    def begin(self) -> None:
        """Begin the next step."""
        self.step += 1
        self.trace.append(0.0)

    def loaded(self, name: str, saved: _Values, now: _Values) -> None:
        """Compare a loaded state with the saved one, before the first step."""
        if "step" in self.judged:
            self._count(name, now["step"], saved["step"])
        for part in (part for part in _MOMENTS if part in self.judged):
            self._same(name, part, now[part], saved[part], "saved")

    def kept(self, name: str, was: _Values, now: _Values) -> None:
        """Compare a parameter without a gradient and its state: every bit stays (S-2, S-3)."""
        for part in (part for part in now if part in self.judged):
            self._same(name, part, now[part], was[part], "before: it has no gradient")

    def stepped(
        self,
        name: str,
        was: _Values,
        now: _Values,
        bound: Mapping[str, Bound],
        own: Callable[[], Mapping[str, Bound]],
    ) -> None:
        """Compare a parameter that has taken a step with its bounds.

        A wrong moment counts against itself alone. So the parameter may follow from the moment that
        is reported, or, if that was stored wrongly, from the one that the step computed.

        Args:
            name: name of the parameter.
            was: the values before the step, or the bounds of those.
            now: the values after the step.
            bound: the bounds of a step that goes on from the reported moments.
            own: returns those of a step that goes on from its own.
        """
        moments = [part for part in _MOMENTS if part in now]
        for part in moments:
            got, dtype = now[part].dtype, was[part].dtype
            if got != dtype:  # another dtype would change the bound
                wrong = (f"dtype of {part}", str(got), str(dtype), "", np.inf)
                self.wrong.append(Divergence(self.step, name, (), *wrong))
        if moments and "step" in self.judged:
            self._count(name, now["step"], was["step"] + 1)

        def compared(part: str, bound: Mapping[str, Bound]) -> _Compared:
            return self._compared(name, part, now[part], bound[part], was[part])

        found = [compared(q, bound) for q in QUANTITIES if q in self.judged and q in now]
        if moments and found and (last := found[-1].wrong) and last.quantity == "param":
            stored = [compared(part, bound) for part in moments]
            if any(each.wrong for each in stored) and not compared("param", own()).wrong:
                found = stored
        self.trace[-1] = max(self.trace[-1], *(each.used for each in found), 0.0)
        self.wrong += [each.wrong for each in found if each.wrong]

    def _compared(self, name: str, quantity: str, got: Any, bound: Bound, was: Any) -> _Compared:
        """Compare each element with its interval; describe the worst of those outside."""
        values = pairs(got)
        self.elements += int(np.count_nonzero(bound.bounded))
        if not values.size:
            return _Compared(0.0, None)
        excess = bound.excess(values)
        index = tuple(map(int, np.unravel_index(int(np.argmax(excess)), excess.shape)))
        worst = float(excess[index])
        if worst <= 1:
            return _Compared(worst, None)
        value = repr(float(values[index]))
        interval, exact = bound.interval(index), bound.exactly(index)
        outside = excess > 1
        outside = outside.any(-1) if values.shape != got.shape else outside
        left = isinstance(was, np.ndarray) and left_out(outside, got == was)
        wrong = (self.step, name, index, quantity, value, interval, exact, worst)
        words = extent(outside)
        return _Compared(worst, Divergence(*wrong, bits(values[index]), words, left_out=left))

    def _count(self, name: str, got: int, expected: int) -> None:
        """Compare the step count of a parameter, which is exact."""
        self.elements += 1
        if got != expected:
            wrong = (self.step, name, (), "step", str(got), str(expected), str(expected), np.inf)
            self.wrong.append(Divergence(*wrong))

    def _same(self, name: str, quantity: str, got: Any, expected: Any, why: str) -> None:
        """Compare bit by bit."""
        self.elements += np.size(got)
        if found := change(expected, got):
            wrong = (self.step, name, found.index, quantity, found.now, f"{found.was}, as {why}")
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
    tally = _Tally(judged)
    for name, slot in (run.saved or {}).items():
        tally.loaded(name, slot._asdict(), believed[name]._asdict())
    _require_right(tally, again)
    for index, (grads, shown) in enumerate(zip(run.grads, showing, strict=True)):
        hp = backend.limits.held(run.at(index))
        tally.begin()
        stepped, reported, _ = shown
        if reported is not None and trial.only and tally.step not in trial.only:
            params, believed = stepped, reported
            continue
        following = {}
        for name, param in params.items():
            before, after = believed[name], reported[name] if reported else None
            was, now = _values(param, before), _values(stepped[name], after)
            if name not in grads:
                tally.kept(name, was, now)
                following[name] = after or before
                continue
            if before.step < 0:
                raise Violation(f"step {index}, {name}, step: got {before.step}, a count of steps")
            bounded = partial(
                bounds,
                param,
                grads[name],
                before,
                replace(hp, weight_decay=0.0) if name in run.undecayed else hp,
                accurate_correction=trial.accurate_correction,
                alteration=backend.alteration,
            )
            bound = bounded(reported=after)
            tally.stepped(name, was, now, bound, partial(bounded, reported=None))
            following[name] = after or Moments(before.step + 1, bound["exp_avg"], bound["exp_inf"])
        changed = index > 0 and run.at(index) != run.at(index - 1)
        _require_right(tally, again, changed=changed)
        params, believed = stepped, following
    finding = Finding(tally.elements, max(tally.trace, default=0.0), tuple(tally.trace))
    return finding + also(backend, run, params) if also else finding


def _values(param: Any, moments: Moments | None) -> _Values:
    return {"param": param, **(moments._asdict() if moments else {})}


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
