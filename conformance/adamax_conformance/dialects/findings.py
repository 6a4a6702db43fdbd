"""Findings on one axis, and what was seen where no name fits."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from adamax_conformance.bounds.carried import Carried
from adamax_conformance.bounds.oracle import pairs
from adamax_conformance.dialects.axes import NAN, SCOPE, Axis
from adamax_conformance.dialects.diagnosis import NOT_SEEN, OTHER, Found
from adamax_conformance.dialects.dialect import Dialect
from adamax_conformance.dialects.fitting import Seen, allowed_by
from adamax_conformance.judging.extent import extent
from adamax_conformance.subject.backend import LostError
from adamax_conformance.subject.blame import first_line
from adamax_conformance.subject.watched import BackendError, MalformedError


def found(axis: Axis, name: str, note: str = "") -> Found:
    """Return the finding of an alternative of the axis."""
    chosen = axis.alternatives[name]
    note = "; ".join(filter(None, (chosen.formula, note)))
    return Found(axis.name, axis.clause, name, axis.specified, chosen.phrase, note, chosen.who)


def other(axis: Axis, seen: str, brief: str = "") -> Found:
    """Return the finding that no name of the axis fits.

    Args:
        axis: the axis.
        seen: what was seen instead.
        brief: the same for a sentence; `seen` if empty.
    """
    phrase = f"{axis.name} of another kind ({brief or seen})"
    return Found(axis.name, axis.clause, OTHER, axis.specified, phrase, seen)


def unseen(axis: Axis, name: str, why: str) -> Found:
    """Return the finding that the axis is not offered or cannot be seen."""
    return Found(axis.name, axis.clause, name, axis.specified, note=why)


def raises(axis: Axis, error: BackendError) -> Found:
    """Return the finding that the backend raises, or that it gives no valid answer."""
    if isinstance(error, MalformedError) or isinstance(error.cause, LostError):
        return other(axis, f"no valid answer: {first_line(error.cause)}")
    if "raises" in axis.alternatives:
        return found(axis, "raises", str(error))
    phrase = f"{axis.name} raises {type(error.cause).__name__}"
    return Found(axis.name, axis.clause, "raises", axis.specified, phrase, str(error))


def unlike(axis: Axis, seen: Seen, options: Mapping[str, Dialect]) -> Found:
    """Return the finding that no option fits the run, with one value and what each would give."""
    brief = instead(seen, {axis.specified: options[axis.specified]})
    return other(axis, instead(seen, options), brief)


def instead(seen: Seen, options: Mapping[str, Dialect]) -> str:
    """Return the first value that the first option does not allow, and the value of each option.

    The text is like ``step 2, w[3]: got 1.5; inside gives 1.25, outside 1.125``.

    Args:
        seen: a run that fits none of the options.
        options: the alternatives by name.
    """
    first = next(iter(options.values()))
    for name in seen.run.params:
        for index, allowed in allowed_by(first, seen, name):
            after = pairs(seen.params[index + 1][name])
            excess = allowed.excess(after)
            if np.any(excess > 1):
                element = np.unravel_index(int(np.argmax(excess)), excess.shape)
                at = tuple(map(int, element))
                given = [
                    f"{option} {'' if each else 'gives '}{_value(dialect, seen, name, index, at)}"
                    for each, (option, dialect) in enumerate(options.items())
                ]
                where = f"step {index + 1}, {name}[{', '.join(map(str, at))}]"
                return f"{where}: got {float(after[at]):.6g}; {', '.join(given)}"
    return "no single value shows it"


def _value(dialect: Dialect, seen: Seen, name: str, step: int, at: tuple[int, ...]) -> str:
    """Return what a dialect gives for one element after a step, in few digits."""
    allowed = next(each for index, each in allowed_by(dialect, seen, name) if index == step)
    number = bool(allowed.special.number[at])
    return f"{float(allowed.carried.value[at]):.6g}" if number else allowed.special.words(at)


def is_one_factor(seen: Seen, dialect: Dialect) -> bool:
    """Does one factor in each step, the same for all elements, turn the dialect into the backend?

    Args:
        seen: the run; each parameter may have a factor of its own.
        dialect: the dialect without bias correction, which is such a factor.
    """
    steps = ((name, *each) for name in seen.run.params for each in allowed_by(dialect, seen, name))
    for name, index, allowed in steps:
        before, after = (pairs(seen.params[index + i][name]).astype(float) for i in (0, 1))
        if not np.all(np.isfinite(before) & np.isfinite(after)):
            return False
        start = Carried.of(before, allowed.carried.format)
        moved = Carried.of(after, start.format).value - start.value
        error = allowed.carried.error
        factor = Carried(moved, error, start.format) / Carried(
            allowed.carried.value - start.value, error, start.format
        )
        if max(factor.value - factor.error) > min(factor.value + factor.error):
            return False
    return True


def counted(seen: Seen, dialect: Dialect) -> Found:
    """Return the finding on the count, of a run that fits no step scope and keeps what it should.

    A wrong count is a factor for all elements of a parameter.
    """
    if not is_one_factor(seen, replace(dialect, correction="none")):
        return unseen(SCOPE, NOT_SEEN, "with several parameters more than one factor is wrong")
    return other(SCOPE, instead(seen, {"its own count": dialect}))


def standing(seen: Seen) -> str:
    """Return which elements of a run of one parameter stay; empty if none or all do."""
    (name,) = seen.run.params
    start = seen.params[0][name]
    still = np.all([each[name] == start for each in seen.params[1:]], axis=0)
    return f"{extent(still)} elements never move" if still.any() and not still.all() else ""


def nan(seen: Seen, comes: Mapping[int, int]) -> Found:
    """Return the finding on NaN gradients.

    Args:
        seen: a run of one parameter, ``w``.
        comes: the step, counted from zero, in which the gradient of an element is NaN, by element;
            the elements are the first.
    """
    params = np.array([each["w"].astype(float) for each in seen.params])
    if not np.isfinite(params[:, len(comes) :]).all():
        return other(NAN, "it spreads to other elements")
    policies = {_nan_policy(seen, params[:, e], e, step) for e, step in comes.items()}
    if len(policies) > 1:
        return other(NAN, f"{' or '.join(sorted(policies))}, depending on the step")
    policy = policies.pop()
    if policy == NOT_SEEN:
        return unseen(NAN, NOT_SEEN, "the parameter stays NaN; the norm is hidden")
    return found(NAN, policy) if policy in NAN.alternatives else other(NAN, "the parameter goes on")


def _nan_policy(seen: Seen, params: Any, element: int, step: int) -> str:
    """Return the effect of a NaN in an element of the gradient of a step."""
    if not np.isnan(params[step + 1 :]).all():
        return "skipped" if params[step + 1] == params[step] else OTHER
    norms = [m["w"].exp_inf[element] for m in seen.moments[step + 1 :] if m is not None]
    if not norms:
        return NOT_SEEN
    if np.isnan(norms).all():
        return "sticks"
    return "washes out" if np.isnan(norms[0]) else "dropped"
