"""What one step may give: the reference rule, run on numbers that carry their rounding error.

The value is exact; the error is the largest that an admitted way of computing may leave. Infinities
and NaN are outside the rationals: there the rule, run on float64, says which of them must come out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Context
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from gmpy2 import mpq

from adamax_conformance.bounds.carried import NOTHING_SAID, Carried, K, Rationals, loosest, power
from adamax_conformance.bounds.special import Special, special_values
from adamax_conformance.spec.formats import Format, coarser, computed_in, format_of
from adamax_conformance.subject.backend import Moments
from adamax_core import CANONICAL, Hyperparameters, Rule

BEYOND = mpq(2) ** 5000
"""What stands for an infinity: larger than any number of any format."""


class _Movable(Protocol):
    """A number with an error, which can be moved to another value."""

    def around(self, reported: Any) -> Self: ...


Number = TypeVar("Number", bound=_Movable)

QUANTITIES = ("exp_avg", "exp_inf", "param")


def pairs(array: Any) -> Any:
    """A complex array as reals on a new last axis (A-9); any other array as it is."""
    array = np.asarray(array)
    return np.stack([array.real, array.imag], axis=-1) if array.dtype.kind == "c" else array


def with_numbers(hp: Hyperparameters, number: Callable[[Any], Any]) -> Hyperparameters:
    """The same hyperparameters in another kind of number: a float is a rational exactly."""
    beta1, beta2 = hp.betas
    return replace(
        hp,
        lr=number(hp.lr),
        betas=(number(beta1), number(beta2)),
        eps=number(hp.eps),
        weight_decay=number(hp.weight_decay),
    )


def interpolated(exp_avg: Any, grad: Any, beta1: Any) -> Any:
    """A-4 as one interpolation, the other common way to write it."""
    return exp_avg + (1 - beta1) * (grad - exp_avg)


def factored(exp_avg: Any, grad: Any, beta1: Any) -> Any:
    """A-4 for equal weights, as XLA compiles it: the sum first, which may overflow."""
    return beta1 * (exp_avg + grad)


def shrunk(param: Any, lr: Any, weight_decay: Any) -> Any:
    """A-8 as a factor on the parameter, the other common way to write it."""
    return param - (1 - lr * weight_decay) * param


def _either(one: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: loosest(one(*args), other(*args))


_DISPLACEMENTS: tuple[Callable[..., Any], ...] = (
    lambda m, u, lr, c: lr * m / (c * u),
    lambda m, u, lr, c: lr / c * m / u,
    lambda m, u, lr, c: lr * (m / u) / c,
    lambda m, u, lr, c: lr / (c * u) * m,
    lambda m, u, lr, c: lr / u * m / c,
    lambda m, u, lr, c: lr * (m / c / u),
)
"""A-7 in other associations, but none that divides by lr: N-8 forbids that to overflow."""

_DECAYS: tuple[Callable[..., Any], ...] = (
    lambda p, lr, weight_decay: lr * (weight_decay * p),
    lambda p, lr, weight_decay: weight_decay * (lr * p),
)
"""A-8 in other associations."""


_CORNERS = 4
"""So many elements are as fast as the smallest and the largest of two arrays."""


def _in_any_association(
    line: Callable[..., Carried], others: Sequence[Callable[..., Carried]], scalars: Format
) -> Callable[..., Carried]:
    """A line with what the range of the format may do to it in another association.

    Any association is right (A-7, N-8), and between numbers of moderate size all have the same
    error, which K counts. Where a partial product is too small or too large for the format that is
    computed in, the result may be off by more; that part of the error alone is found here, by
    numbers that have a range and round nothing.
    """
    ranged = replace(scalars, unit=mpq(0))

    def beyond(*args: Any) -> Rationals:
        errors = [other(*args).error for other in others]
        return np.maximum.reduce(np.broadcast_arrays(*errors))

    def any_association(*args: Any) -> Carried:
        result = line(*args)
        bare = [Carried.read(a.value, ranged) if isinstance(a, Carried) else a for a in args]
        # A product of moderate numbers is between those of the smallest and of the largest.
        if result.value.size > _CORNERS and not np.any(beyond(*_corners(bare))):
            return result
        return Carried(result.value, result.error + beyond(*bare), result.format)

    return any_association


def _average(scalars: Format) -> Callable[..., Carried]:
    either = _either(CANONICAL.first_moment, interpolated)
    equal = _in_any_association(either, (factored,), scalars)
    return lambda m, g, beta1: (equal if beta1 == 1 - beta1 else either)(m, g, beta1)


def _corners(numbers: Sequence[Any]) -> list[Any]:
    """Of each array its smallest and its largest magnitude but zero, on an axis of its own."""
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


def _accurate_correction(format_: Format) -> Callable[[mpq, int], Carried]:
    """A-6 to the last places (N-3): a few roundings of the value itself."""
    return lambda beta1, step: Carried.of(1 - power(beta1, step), format_).rounded(K)


def _subtracted_correction(format_: Format) -> Callable[[mpq, int], Carried]:
    """A-6 as it is printed: beta1 converted, raised, and subtracted from one, which cancels."""
    return lambda beta1, step: 1 - Carried.of(beta1, format_).rounded() ** step


def admitted(format_: Format, *, accurate_correction: bool) -> Rule:
    """The rule with each line as loose as its admitted formulations: the source of every bound.

    Scalars are computed in at least float32 (N-1). The cancellation in ``1 - beta1**t`` is admitted
    everywhere but where it is what is judged, so that it is one deviation and not a hundred.
    """
    scalars = computed_in(format_)
    accurate, subtracted = _accurate_correction(scalars), _subtracted_correction(scalars)
    return CANONICAL._replace(
        first_moment=_average(scalars),
        bias_correction=accurate if accurate_correction else _either(accurate, subtracted),
        displacement=_in_any_association(CANONICAL.displacement, _DISPLACEMENTS, scalars),
        decoupled_decay=_in_any_association(
            _either(CANONICAL.decoupled_decay, shrunk), _DECAYS, scalars
        ),
    )


@dataclass(frozen=True)
class Allowed:
    """The values that one quantity of one parameter may have after a step.

    Attributes:
        carried: exact values with their bounds, shape of the parameter as pairs of reals.
        special: what the rule gives on float64; where it is not finite, it decides.
        either_special: NaN will do for an infinity and the other way round.
    """

    carried: Carried
    special: Any
    either_special: bool

    def __getitem__(self, index: Any) -> Self:
        """The same for some of the elements."""
        value, error = self.carried.value[index], self.carried.error[index]
        carried = Carried(value, error, self.carried.format)
        return replace(self, carried=carried, special=self.special[index])

    def excess(self, got: Any) -> Any:
        """How far each element is off, in bounds: up to 1 is right, infinity cannot be right."""
        got = np.asarray(got).astype(np.float64)
        excess = np.asarray(Special(self.special, self.either_special).excess(got))
        number = np.isfinite(self.special)
        each = zip(got[number], self.carried.value[number], self.carried.error[number], strict=True)
        excess[number] = [self._excess_of(*one) for one in each]
        return excess

    def _excess_of(self, got: float, value: mpq, error: mpq) -> float:
        if error >= NOTHING_SAID:
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
        """The allowed values of one element, for people."""
        if not np.isfinite(self.special[index]):
            return "not finite" if self.either_special else f"{self.special[index]}"
        value, error = self.carried.value[index], self.carried.error[index]
        if error >= NOTHING_SAID:
            return "anything"
        return f"[{decimal(value - error)}, {decimal(value + error)}]"

    def exactly(self, index: tuple[int, ...]) -> str:
        """What the rule gives for one element, for people; empty where it is no number."""
        return decimal(self.carried.value[index]) if np.isfinite(self.special[index]) else ""

    @property
    def says(self) -> Any:
        """Where the bound says anything: a divisor that may be zero leaves nothing to say."""
        return (self.carried.error < NOTHING_SAID) | ~np.isfinite(self.special)


def decimal(value: mpq, digits: int = 17) -> str:
    """A rational in so many digits, also where it is beyond float64.

    >>> decimal(mpq(2, 3), 4)
    '0.6667'
    """
    context = Context(prec=28, traps=[])
    numerator, denominator = (
        context.create_decimal(int(whole)) for whole in value.as_integer_ratio()
    )
    return f"{context.divide(numerator, denominator):.{digits}g}"


class Observed(Generic[Number]):
    """A line of the rule that remembers what it gave, and goes on from what a backend reports."""

    def __init__(self, line: Callable[..., Number], reported: Any) -> None:
        self.line = line
        self.reported = reported
        self.gave: Number

    def __call__(self, *args: Any) -> Number:
        """The line, then the same error about what is reported."""
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
) -> dict[str, Allowed]:
    """What `param`, `exp_avg` and `exp_inf` may be after one step; keys are `QUANTITIES`.

    Args:
        param: the parameter before the step, an array of floats or of complex numbers; or what the
            last step allowed, where a whole trajectory is followed.
        grad: the gradient.
        before: the moments before the step: arrays as the backend reports them, or, where it shows
            none, what the last step allowed.
        hp: hyperparameters of this step.
        reported: the moments after the step as the backend reports them. The step is then judged
            from them, so that a wrong moment is a fault of its own line alone.
        accurate_correction: judge the bias correction to the last places (N-3).
    """
    param, grad, *moments = (
        each if isinstance(each, Allowed) else pairs(each) for each in (param, grad, *before[1:])
    )
    param_format = _format_of(param)
    state_format = coarser(map(_format_of, moments))
    hp = with_numbers(hp, mpq)
    floats = [a.special if isinstance(a, Allowed) else a for a in (param, grad, *moments)]
    special = special_values(floats, before.step, hp, computed_in(state_format), param_format)

    rule = admitted(state_format, accurate_correction=accurate_correction)
    first = Observed(rule.first_moment, reported and pairs(reported.exp_avg))
    norm = Observed(rule.infinity_norm, reported and pairs(reported.exp_inf))
    rule = rule._replace(first_moment=first, infinity_norm=norm)
    p, g, m, u = (_finite(array, state_format) for array in (param, grad, *moments))
    update = rule(p, g, m, u, before.step, hp).update
    after = Carried(p.value, p.error, param_format) + update.stored(param_format)
    gave = first.gave, norm.gave, after
    allowed = (Allowed(carried, *each) for carried, each in zip(gave, special, strict=True))
    return dict(zip(QUANTITIES, allowed, strict=True))


def _format_of(array: Any) -> Format:
    return array.carried.format if isinstance(array, Allowed) else format_of(array.dtype)


def _finite(array: Any, format_: Format) -> Carried:
    """Exact rationals; an infinity is beyond every format, so that nothing follows from it.

    Where the result is special, special values decide; where it is not, as that of dividing by a
    norm that has overflowed, nothing is said.
    """
    if isinstance(array, Allowed):
        return Carried(array.carried.value, array.carried.error, format_)
    floats = array.astype(np.float64)
    known = np.isfinite(floats)
    read = Carried.read(np.where(known, floats, 0.0), _format_of(array))
    return Carried(
        np.where(known, read.value, np.asarray(BEYOND, dtype=object)), read.error, format_
    )
