"""What one step may give: the reference rule, run on numbers that carry their rounding error.

The value is exact; the error is the largest that an admitted way of computing may leave. Infinities
and NaN are outside the rationals: there the rule, run on float64, says which of them must come out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from adamax_conformance.backend import Moments
from adamax_conformance.carried import NOTHING_SAID, Carried, K, loosest, power
from adamax_conformance.formats import FLOAT32, Format, coarser, format_of
from adamax_core import CANONICAL, Hyperparameters, Rule

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


def shrunk(param: Any, lr: Any, weight_decay: Any) -> Any:
    """A-8 as a factor on the parameter, the other common way to write it."""
    return param - (1 - lr * weight_decay) * param


def _either(one: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: loosest(one(*args), other(*args))


def _accurate_correction(format_: Format) -> Callable[[Fraction, int], Carried]:
    """A-6 to the last places (N-3): a few roundings of the value itself."""
    return lambda beta1, step: Carried.of(1 - power(beta1, step), format_).rounded(K)


def _subtracted_correction(format_: Format) -> Callable[[Fraction, int], Carried]:
    """A-6 as it is printed: beta1 converted, raised, and subtracted from one, which cancels."""
    return lambda beta1, step: 1 - Carried.of(beta1, format_).rounded() ** step


def admitted(format_: Format, *, accurate_correction: bool) -> Rule:
    """The rule with each line as loose as its admitted formulations: the source of every bound.

    Scalars are computed in at least float32 (N-1). The cancellation in ``1 - beta1**t`` is admitted
    everywhere but where it is what is judged, so that it is one deviation and not a hundred.
    """
    scalars = min((format_, FLOAT32), key=lambda each: each.unit)
    accurate, subtracted = _accurate_correction(scalars), _subtracted_correction(scalars)
    return CANONICAL._replace(
        first_moment=_either(CANONICAL.first_moment, interpolated),
        bias_correction=accurate if accurate_correction else _either(accurate, subtracted),
        decoupled_decay=_either(CANONICAL.decoupled_decay, shrunk),
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

    def excess(self, got: Any) -> Any:
        """How far each element is off, in bounds: up to 1 is right, infinity cannot be right."""
        got = np.asarray(got)
        return np.vectorize(self._excess_of, otypes=[float])(
            got.astype(np.float64), self.special, self.carried.value, self.carried.error
        )

    def _excess_of(self, got: float, special: float, value: Fraction, error: Fraction) -> float:
        if not np.isfinite(special):
            same = got == special or (np.isnan(got) and np.isnan(special))
            right = not np.isfinite(got) if self.either_special else same
            return 0.0 if right else np.inf
        if error >= NOTHING_SAID:
            return 0.0
        if np.isinf(got):
            overflows = (abs(value) + error) > self.carried.format.largest
            return 0.0 if overflows and (got > 0) == (value > 0) else np.inf
        if np.isnan(got):
            return np.inf
        distance = abs(Fraction(got) - value)
        if distance <= error:
            return float(distance / error) if error else 0.0
        return float(min(distance / error, Fraction(10) ** 12)) if error else np.inf

    def interval(self, index: tuple[int, ...]) -> str:
        """The allowed values of one element, for people."""
        if not np.isfinite(self.special[index]):
            return "not finite" if self.either_special else f"{self.special[index]}"
        value, error = self.carried.value[index], self.carried.error[index]
        if error >= NOTHING_SAID:
            return "anything"
        return f"[{_decimal(value - error)}, {_decimal(value + error)}]"

    def exactly(self, index: tuple[int, ...]) -> str:
        """What the rule gives for one element, for people; empty where it is no number."""
        return _decimal(self.carried.value[index]) if np.isfinite(self.special[index]) else ""

    @property
    def says(self) -> Any:
        """Where the bound says anything: a divisor that may be zero leaves nothing to say."""
        return (self.carried.error < NOTHING_SAID) | ~np.isfinite(self.special)


def _decimal(value: Fraction) -> str:
    """Seventeen digits, also of what is beyond float64."""
    return f"{Decimal(value.numerator) / Decimal(value.denominator):.17g}"


class _Observed:
    """A line of the rule that remembers what it gave, and goes on from what a backend reports."""

    def __init__(self, line: Callable[..., Carried], reported: Any) -> None:
        self.line = line
        self.reported = reported
        self.gave: Carried

    def __call__(self, *args: Any) -> Carried:
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
        param: the parameter before the step, an array of floats or of complex numbers.
        grad: the gradient.
        before: the moments before the step: arrays as the backend reports them, or, where it shows
            none, what the last step allowed.
        hp: hyperparameters of this step.
        reported: the moments after the step as the backend reports them. The step is then judged
            from them, so that a wrong moment is a fault of its own line alone.
        accurate_correction: judge the bias correction to the last places (N-3).
    """
    param, grad = pairs(param), pairs(grad)
    moments = [m if isinstance(m, Allowed) else pairs(m) for m in before[1:]]
    param_format = format_of(param.dtype)
    state_format = coarser(
        m.carried.format if isinstance(m, Allowed) else format_of(m.dtype) for m in moments
    )
    hp = with_numbers(hp, Fraction)
    special = _special_values([param, grad, *moments], before.step, hp)

    rule = admitted(state_format, accurate_correction=accurate_correction)
    first = _Observed(rule.first_moment, reported and pairs(reported.exp_avg))
    norm = _Observed(rule.infinity_norm, reported and pairs(reported.exp_inf))
    rule = rule._replace(first_moment=first, infinity_norm=norm)
    p, g, m, u = (_finite(array, state_format) for array in (param, grad, *moments))
    after = Carried.of(p.value, param_format) + rule(p, g, m, u, before.step, hp).update.stored(
        param_format
    )
    return {
        "exp_avg": Allowed(first.gave, special["exp_avg"], either_special=True),
        "exp_inf": Allowed(norm.gave, special["exp_inf"], either_special=False),
        "param": Allowed(after, special["param"], either_special=False),
    }


def _finite(array: Any, format_: Format) -> Carried:
    """Exact rationals; ones where a float is not finite, since special values decide there."""
    if isinstance(array, Allowed):
        return array.carried
    floats = array.astype(np.float64)
    return Carried.of(np.where(np.isfinite(floats), floats, 1.0), format_)


def _special_values(arrays: Sequence[Any], step: int, hp: Hyperparameters) -> dict[str, Any]:
    """The rule on float64, finite wherever its exact value is: only inf and NaN matter of it."""
    param, grad, exp_avg, exp_inf = (
        array.special if isinstance(array, Allowed) else array.astype(np.float64)
        for array in arrays
    )
    with np.errstate(all="ignore"):
        after = CANONICAL(param, grad, exp_avg, exp_inf, step, with_numbers(hp, float))
        return {
            "exp_avg": after.exp_avg,
            "exp_inf": after.exp_inf,
            "param": param + after.update,
        }
