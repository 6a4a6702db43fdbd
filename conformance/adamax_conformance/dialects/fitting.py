"""Compare the observed steps of a backend with those of a dialect, up to rounding."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from gmpy2 import mpq

from adamax_conformance.bounds.carried import Carried
from adamax_conformance.bounds.oracle import Allowed, admitted, pairs, with_numbers
from adamax_conformance.bounds.special import Special
from adamax_conformance.dialects.dialect import Dialect
from adamax_conformance.judging.judge import stepwise
from adamax_conformance.judging.run import Run
from adamax_conformance.spec.formats import format_of
from adamax_conformance.subject.backend import Arrays, Moments
from adamax_conformance.subject.watched import BackendError, Watched


@dataclass(frozen=True)
class Seen:
    """A run and its result on a backend: parameters and moments before each step and at the end.

    Attributes:
        digits: dtype in whose digits to compare; that of the parameters if empty.
    """

    run: Run
    params: Sequence[Arrays]
    moments: Sequence[Mapping[str, Moments] | None]
    digits: str = ""


Count = Callable[[str, int], int]
"""Function of a parameter's name and the index of a step: the parameter's count before the step."""


def fits(dialect: Dialect, seen: Seen, count: Count | None = None) -> bool:
    """Does the dialect give all steps of the run, up to rounding?

    Args:
        dialect: the dialect to compare with.
        seen: the run.
        count: the count of a parameter before a step; by default the number of its gradients.
    """
    # One element rejects most dialects, and rationals are slow.
    return not moved_without_gradient(seen) and all(
        not np.any(allowed.excess(pairs(seen.params[index + 1][name][elements])) > 1)
        for elements in (slice(1), slice(1, None))
        for name in seen.run.params
        for index, allowed in allowed_by(dialect, seen, name, count, elements)
    )


def moved_without_gradient(seen: Seen) -> str:
    """Return the first step in which a parameter without a gradient changes; empty if none."""
    for index, grads in enumerate(seen.run.grads):
        for name in (name for name in seen.run.params if name not in grads):
            was, now = (np.ravel(seen.params[index + i][name]) for i in (0, 1))
            if was.tobytes() != now.tobytes():
                at = int(np.flatnonzero(was != now)[0])
                return f"step {index + 1}, {name}[{at}]: {was[at]:.6g} becomes {now[at]:.6g}"
    return ""


def allowed_by(
    dialect: Dialect,
    seen: Seen,
    name: str,
    count: Count | None = None,
    elements: slice = slice(None),
) -> Iterator[tuple[int, Allowed]]:
    """Yield the index of each step of a parameter, and what the dialect allows after it.

    Args:
        dialect: the dialect.
        seen: the run; each step starts from the parameters that the backend returned.
        name: name of the parameter.
        count: as of `fits`.
        elements: the elements of the first axis.
    """
    own = count or (lambda name, index: sum(name in grads for grads in seen.run.grads[:index]))
    before = seen.params[0][name][elements]
    format_ = format_of(seen.digits or before.dtype)
    base = admitted(format_, accurate_correction=False)
    shown = seen.moments[0]
    zero = np.zeros(pairs(before).shape)
    start = [zero, zero]
    if shown is not None:
        start = [pairs(moment[elements]).astype(float) for moment in shown[name][1:]]
    exp_avg, exp_inf = (Carried.of(np.where(np.isfinite(m), m, 0), format_) for m in start)
    for index, grads in enumerate(seen.run.grads):
        if name not in grads:
            continue
        before = pairs(seen.params[index][name][elements])
        known = np.isfinite(before)
        param = Carried.of(np.where(known, before, 0), format_)
        grad = Carried.of(pairs(grads[name][elements]), format_)
        hp = with_numbers(seen.run.at(index), mpq)
        step = dialect(param, grad, exp_avg, exp_inf, own(name, index), hp, base)
        exp_avg, exp_inf = step.exp_avg, step.exp_inf
        yield (
            index,
            Allowed(
                param + step.update.stored(format_),
                Special.of(before).also(True, "positive", "negative", "nan"),
            ),
        )


def observe(backend: Watched, run: Run, digits: str = "") -> Seen:
    """Run the steps on the backend, each from the parameters that the last one returned.

    Args:
        backend: the backend, watched.
        run: the run.
        digits: as of `Seen`.

    Raises:
        BackendError: the backend raised, or returned something malformed.
    """
    shown = list(stepwise(backend, run, run.start(backend)))
    return Seen(run, [each.params for each in shown], [each.moments for each in shown], digits)


def observe_params(backend: Watched, run: Run, digits: str = "") -> Seen:
    """Do the same; where the moments cannot be read, observe the parameters alone.

    Raises:
        BackendError: the backend raised in a step, or returned malformed parameters.
    """
    try:
        return observe(backend, run, digits)
    except BackendError as error:
        if error.operation != "moments":
            raise
        return observe(backend.blinded(), run, digits)


def count_of(scope: str, run: Run) -> Count:
    """Return the count function for counts of each parameter, each group, or all parameters."""

    def sharing(name: str) -> set[str]:
        if scope == "group":
            return {
                each for each in run.params if (each in run.undecayed) == (name in run.undecayed)
            }
        return set(run.params) if scope == "global" else {name}

    return lambda name, index: sum(bool(sharing(name) & set(grads)) for grads in run.grads[:index])


def shows(seen: Seen, count: Count) -> bool:
    """Does the state show these counts after each step?"""
    return all(
        shown is not None and shown[name].step == count(name, index)
        for index, shown in enumerate(seen.moments)
        for name in seen.run.params
        if index
    )
