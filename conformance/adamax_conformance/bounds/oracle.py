"""The allowed results of one step: the reference rule, run on numbers that carry their error.

The value is exact; the error is the largest of any admitted formulation. Infinities and NaN are not
rationals: for them the rule, run on floats, says which of them is right.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Context
from functools import partial
from typing import Any

import numpy as np
from gmpy2 import mpq

from adamax_conformance.bounds.carried import UNBOUNDED_FROM, Carried, K, Rationals, loosest, power
from adamax_conformance.bounds.formulations import (
    DECAYS,
    DISPLACEMENTS,
    factored,
    interpolated,
    interpolated_back,
    shrunk,
)
from adamax_conformance.bounds.special import Special, special_values
from adamax_conformance.spec.alteration import UNALTERED, Alteration
from adamax_conformance.spec.formats import Format, coarser, computed_in, format_of
from adamax_conformance.subject.backend import Moments
from adamax_core import CANONICAL, Hyperparameters, Rule

BEYOND = mpq(2) ** 5000
"""Stand-in for an infinity: larger than any number of any format."""


QUANTITIES = ("exp_avg", "exp_inf", "param")


def pairs(array: Any) -> Any:
    """Return a complex array as reals on a new last axis (A-9), and any other array unchanged."""
    array = np.asarray(array)
    return np.stack([array.real, array.imag], axis=-1) if array.dtype.kind == "c" else array


def with_numbers(hp: Hyperparameters, number: Callable[[Any], Any]) -> Hyperparameters:
    """Convert the hyperparameters to another number type; a float is exactly a rational."""
    beta1, beta2 = hp.betas
    return replace(
        hp,
        lr=number(hp.lr),
        betas=(number(beta1), number(beta2)),
        eps=number(hp.eps),
        weight_decay=number(hp.weight_decay),
    )


def _either(one: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: loosest(one(*args), other(*args))


_CORNERS = 4
"""For up to so many elements, the corners of two arrays save no time."""


_MODERATE = mpq(2) ** 25
"""Products and quotients of four numbers up to this size, and above its inverse, are in range."""


def _moderate(number: Any) -> bool:
    """Are all elements of moderate size, and none zero?"""
    sizes = abs(number.value if isinstance(number, Carried) else np.asarray(number, dtype=object))
    return bool(np.all((sizes <= _MODERATE) & (sizes >= 1 / _MODERATE)))


def _in_any_association(
    line: Callable[..., Carried], others: Sequence[Callable[..., Carried]], scalars: Format
) -> Callable[..., Carried]:
    """Return the line, its error increased by underflow and overflow in other associations.

    Any association is right (A-7, N-8), and for numbers of moderate size all have the same error,
    which K counts. If a partial product underflows or overflows in the format used to compute, the
    error may be larger. Numbers with a range but no rounding give that part of the error alone.
    """
    ranged = replace(scalars, unit=mpq(0))

    def beyond(*args: Any) -> Rationals:
        errors = [other(*args).error for other in others]
        return np.maximum.reduce(np.broadcast_arrays(*errors))

    def any_association(*args: Any) -> Carried:
        result = line(*args)
        if all(map(_moderate, args)):
            return result
        bare = [Carried.read(a.value, ranged) if isinstance(a, Carried) else a for a in args]
        # If the products of the extremes stay in range, all other products do.
        if result.value.size > _CORNERS and not np.any(beyond(*_corners(bare))):
            return result
        return Carried(result.value, result.error + beyond(*bare), result.format)

    return any_association


def _average(scalars: Format) -> Callable[..., Carried]:
    either = _either(CANONICAL.first_moment, interpolated)
    equal = _in_any_association(either, (factored,), scalars)
    small = _in_any_association(either, (interpolated_back,), scalars)

    def average(m: Carried, g: Carried, beta1: mpq) -> Carried:
        if beta1 == 1 - beta1:
            return equal(m, g, beta1)
        return (small if 0 < beta1 < 1 - beta1 else either)(m, g, beta1)

    return average


def _corners(numbers: Sequence[Any]) -> list[Any]:
    """Return the smallest and the largest nonzero magnitude of each array, each on its own axis."""
    arrays = [index for index, each in enumerate(numbers) if isinstance(each, Carried)]
    found = list(numbers)
    for axis, index in enumerate(arrays):
        sizes = abs(np.ravel(numbers[index].value))
        sizes = sizes[sizes != 0]
        ends = [min(sizes), max(sizes)] if sizes.size else [mpq(1)]
        shape = [-1 if other == axis else 1 for other in range(len(arrays))]
        found[index] = Carried.read(
            np.array(ends, dtype=object).reshape(shape), numbers[index].format
        )
    return found


def accurately_corrected(format_: Format) -> Callable[[mpq, int], Carried]:
    """A-6 accurate to the last places (N-3): K roundings of the exact value."""
    return lambda beta1, step: Carried.of(1 - power(beta1, step), format_).rounded(K)


def _subtracted_correction(format_: Format) -> Callable[[mpq, int], Carried]:
    """A-6 as printed: beta1 rounded, raised, and subtracted from one, with cancellation."""
    return lambda beta1, step: 1 - Carried.of(beta1, format_).rounded() ** step


def admitted(format_: Format, *, accurate_correction: bool) -> Rule:
    """Return the rule whose lines have the error of any admitted formulation: the source of bounds.

    Scalars are computed in at least float32 (N-1). The cancellation in ``1 - beta1**t`` is admitted
    except in the cases that judge it, so that it causes one failure and not a hundred.
    """
    scalars = computed_in(format_)
    accurate, subtracted = accurately_corrected(scalars), _subtracted_correction(scalars)
    return CANONICAL._replace(
        first_moment=_average(scalars),
        bias_correction=accurate if accurate_correction else _either(accurate, subtracted),
        displacement=_in_any_association(CANONICAL.displacement, DISPLACEMENTS, scalars),
        decoupled_decay=_in_any_association(
            _either(CANONICAL.decoupled_decay, shrunk), DECAYS, scalars
        ),
    )


@dataclass(frozen=True)
class Allowed:
    """The values that one quantity of one parameter may have after a step.

    Attributes:
        carried: exact values with their bounds, shape of the parameter as pairs of reals.
        special: kinds of the results: a number, for `carried` to bound, an infinity, or NaN.
    """

    carried: Carried
    special: Special

    def __getitem__(self, index: Any) -> "Allowed":
        """Return the allowed values of some elements."""
        value, error = self.carried.value[index], self.carried.error[index]
        carried = Carried(value, error, self.carried.format)
        return Allowed(carried, self.special.at(index))

    def excess(self, got: Any) -> Any:
        """See `adamax_conformance.bounds.distinct.Bound`."""
        got = np.asarray(got).astype(np.float64)
        excess = np.asarray(self.special.excess(got))
        number = self.special.number & (excess > 0)
        each = zip(got[number], self.carried.value[number], self.carried.error[number], strict=True)
        excess[number] = [self._excess_of(*one) for one in each]
        return excess

    def _excess_of(self, got: float, value: mpq, error: mpq) -> float:
        if error >= UNBOUNDED_FROM:
            return 0.0
        if np.isinf(got):
            overflows = (abs(value) + error) > self.carried.format.largest
            return 0.0 if overflows and (got > 0) == (value > 0) else np.inf
        if np.isnan(got):
            return np.inf
        distance = abs(mpq(got) - value)
        if distance <= error:
            return float(distance / error) if error else 0.0
        return float(min(distance / error, mpq(10) ** 300)) if error else np.inf

    def interval(self, index: tuple[int, ...]) -> str:
        """See `adamax_conformance.bounds.distinct.Bound`."""
        words = self.special.words(index)
        if not self.special.number[index]:
            return words
        value, error = self.carried.value[index], self.carried.error[index]
        if error >= UNBOUNDED_FROM:
            return "anything"
        interval = f"[{decimal(value - error)}, {decimal(value + error)}]"
        return f"{interval} or {words}" if words else interval

    def exactly(self, index: tuple[int, ...]) -> str:
        """See `adamax_conformance.bounds.distinct.Bound`."""
        return decimal(self.carried.value[index]) if self.special.number[index] else ""

    @property
    def bounded(self) -> Any:
        """See `adamax_conformance.bounds.distinct.Bound`."""
        return (self.carried.error < UNBOUNDED_FROM) | ~self.special.number


def decimal(value: mpq, digits: int = 17) -> str:
    """Return a rational in so many decimal digits, also if it is beyond float64.

    >>> decimal(mpq(2, 3), 4)
    '0.6667'
    """
    context = Context(prec=28, traps=[])
    numerator, denominator = (
        context.create_decimal(int(whole)) for whole in (value.numerator, value.denominator)
    )
    return f"{context.divide(numerator, denominator):.{digits}g}"


class _Observed:
    """A line of the rule that keeps its result in `gave` and returns what the backend reported."""

    def __init__(self, line: Callable[..., Carried], reported: Any) -> None:
        self.line = line
        self.reported = reported
        self.gave: Carried

    def __call__(self, *args: Any) -> Carried:
        """Compute the line; return the reported value, if any, with the error of the line."""
        self.gave = self.line(*args)
        return self.gave if self.reported is None else self.gave.around(self.reported)


def allowed(
    param: Any,
    grad: Any,
    before: Moments,
    hp: Hyperparameters,
    *,
    reported: Moments | None = None,
    accurate_correction: bool = False,
    alteration: Alteration = UNALTERED,
) -> dict[str, Allowed]:
    """Return the allowed values of `param`, `exp_avg` and `exp_inf` after one step, by quantity.

    Args:
        param: the parameter before the step, an array of floats or of complex numbers; or what the
            last step allowed.
        grad: the gradient.
        before: the moments before the step: arrays that the backend reported, or, if it reports
            none, what the last step allowed.
        hp: hyperparameters of this step.
        reported: the moments that the backend reported after the step. The later lines of the rule
            start from them, so that a wrong moment counts against its own line alone.
        accurate_correction: judge the bias correction to the last places (N-3).
        alteration: what the rule is altered by.
    """
    paired = not isinstance(param, Allowed) and np.asarray(param).dtype.kind == "c"
    altered = partial(alteration.apply, first=before.step == 0, paired=paired)
    param, grad, *moments = (
        each if isinstance(each, Allowed) else pairs(each) for each in (param, grad, *before[1:])
    )
    param_format = _format_of(param)
    state_format = coarser(map(_format_of, moments))
    hp = with_numbers(hp, mpq)
    kinds = [
        a.special if isinstance(a, Allowed) else Special.of(a) for a in (param, grad, *moments)
    ]
    shown = reported and (pairs(reported.exp_avg), pairs(reported.exp_inf))
    compute = computed_in(state_format)
    special = special_values(kinds, before.step, hp, compute, param_format, altered, shown)

    rule = admitted(state_format, accurate_correction=accurate_correction)
    rule, hp = altered(rule, hp)
    if alteration != UNALTERED:
        # An altered line may be the gradient itself, which is rounded where it is stored.
        rule = rule._replace(
            first_moment=_stored(rule.first_moment), infinity_norm=_stored(rule.infinity_norm)
        )
    first = _Observed(rule.first_moment, shown and shown[0])
    norm = _Observed(rule.infinity_norm, shown and shown[1])
    rule = rule._replace(first_moment=first, infinity_norm=norm)
    p, g, m, u = (_finite(array, state_format) for array in (param, grad, *moments))
    update = rule(p, g, m, u, before.step, hp).update
    after = Carried(p.value, p.error, param_format) + update.stored(param_format)
    gave = first.gave, norm.gave, after
    return dict(zip(QUANTITIES, map(Allowed, gave, special), strict=True))


def _stored(line: Callable[..., Carried]) -> Callable[..., Carried]:
    return lambda *args: line(*args).rounded()


def _format_of(array: Any) -> Format:
    return array.carried.format if isinstance(array, Allowed) else format_of(array.dtype)


def _finite(array: Any, format_: Format) -> Carried:
    """Return exact rationals; an infinity becomes `BEYOND`, so that results of it are unbounded.

    If the result is special, special values decide. If it is not, as after dividing by a norm that
    has overflowed, any value is allowed.
    """
    if isinstance(array, Allowed):
        return Carried(array.carried.value, array.carried.error, format_)
    floats = array.astype(np.float64)
    known = np.isfinite(floats)
    read = Carried.read(np.where(known, floats, 0.0), _format_of(array))
    return Carried(
        np.where(known, read.value, np.asarray(BEYOND, dtype=object)), read.error, format_
    )
