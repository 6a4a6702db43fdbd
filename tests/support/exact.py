"""What several test modules share: errors measured on exact rationals, and bounds that are derived.

A float is an exact rational, so the rule runs on `fractions.Fraction` and says what is right. The
roundings that a float implementation makes are counted here, once, and nothing is tuned.
"""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from adamax_core import CANONICAL, Hyperparameters

SECOND_ORDER = 1 + Fraction(1, 2**8)
"""Covers products of roundings: (1 + w)^k < 1 + (1 + 2^-8) k w for the few k and small w here."""


class Followed(NamedTuple):
    """One element on exact rationals, and how far a float implementation may be from it."""

    param: Fraction
    exp_avg: Fraction
    exp_inf: Fraction
    step: int
    d_param: Fraction = Fraction(0)
    d_exp_avg: Fraction = Fraction(0)
    d_exp_inf: Fraction = Fraction(0)


def ulps(value: Any, exact: Fraction, bits: int) -> Fraction:
    """The error of `value` in units in the last place of `exact`, for a significand of `bits`."""
    if exact == 0:
        return Fraction(0 if float(value) == 0 else 2**bits)
    exponent = abs(exact.numerator).bit_length() - exact.denominator.bit_length()
    if abs(exact) < Fraction(2) ** exponent:
        exponent -= 1
    return abs(Fraction(float(value)) - exact) / Fraction(2) ** (exponent - bits + 1)


def _exact(hyperparameters: Hyperparameters) -> Hyperparameters:
    """The same numbers as rationals."""
    hp = hyperparameters
    return Hyperparameters(
        lr=Fraction(hp.lr),
        betas=(Fraction(hp.betas[0]), Fraction(hp.betas[1])),
        eps=Fraction(hp.eps),
        weight_decay=Fraction(hp.weight_decay),
        maximize=hp.maximize,
        decoupled_weight_decay=hp.decoupled_weight_decay,
    )


def follow(at: Followed, grad: float, hyperparameters: Hyperparameters, w: Fraction) -> Followed:
    """One exact step, and the errors after it of a float step with unit roundoff `w`.

    The roundings are counted for the expressions of docs/spec.md and for the usual rewritings of
    them (lerp for the average, the step size folded into a quotient):

    - ``g + wd p``: a product and a sum;
    - ``b1 m + (1 - b1) g``: on the way of either summand at most four;
    - ``max(b2 u, |g| + eps)``: a product or a sum, and maximum rounds nothing; with the conversion
      of a hyperparameter to the dtype, two;
    - ``1 - b1^t``: the power, correct to one unit in the last place which is two roundings, then a
      subtraction that makes the relative error ``b1^t / c`` times larger; in all at most ``4 / c``;
    - ``lr / c * m / u``: three, and one for converting lr; then one for ``p - s``;
    - ``lr wd p``: two and a conversion each, then one for the subtraction.
    """
    hp = _exact(hyperparameters)
    lr, (b1, b2), wd = hp.lr, hp.betas, hp.weight_decay
    p, g, m, u = (np.array([x]) for x in (at.param, Fraction(grad), at.exp_avg, at.exp_inf))
    after = CANONICAL(p, g, m, u, at.step, hp)
    update, new_m, new_u = after.update[0], after.exp_avg[0], after.exp_inf[0]
    coupled = 0 if hp.decoupled_weight_decay else wd
    shrink = lr * wd if hp.decoupled_weight_decay else Fraction(0)
    size = abs(Fraction(grad)) + abs(coupled * at.param)
    c = 1 - b1**after.step

    d_g = coupled * at.d_param + (3 * w * size if coupled else 0)
    d_m = b1 * at.d_exp_avg + (1 - b1) * d_g + 4 * w * (abs(at.exp_avg) + (1 - b1) * size)
    d_u = max(b2 * at.d_exp_inf, d_g) + 2 * w * new_u
    s = lr / c * abs(new_m) / new_u
    d_s = s * (4 + 4 / c) * w + lr / c * (d_m / new_u + abs(new_m) * d_u / (new_u * (new_u - d_u)))
    d_shrink = shrink * (at.d_param + 5 * w * abs(at.param))
    moved = at.d_param + d_s + d_shrink
    between = abs(at.param) + s + moved if shrink else Fraction(0)
    d_param = moved + w * (abs(at.param + update) + moved + between)
    return Followed(
        param=at.param + update,
        exp_avg=new_m,
        exp_inf=new_u,
        step=after.step,
        d_param=SECOND_ORDER * d_param,
        d_exp_avg=SECOND_ORDER * d_m,
        d_exp_inf=SECOND_ORDER * d_u,
    )


class _Dual:
    """A rational with its derivative, and with the sum of the absolute values of its paths.

    The derivative that automatic differentiation computes is a sum over paths, and its rounding
    error is relative to `size`, not to the sum, which may cancel.
    """

    def __init__(self, value: Any, slope: Any = 0, size: Any = 0) -> None:
        self.value, self.slope, self.size = Fraction(value), Fraction(slope), Fraction(size)

    def __add__(self, other: Any) -> "_Dual":
        b = _dual(other)
        return _Dual(self.value + b.value, self.slope + b.slope, self.size + b.size)

    def __mul__(self, other: Any) -> "_Dual":
        if isinstance(other, np.ndarray):
            return NotImplemented  # element by element
        a, b = self, _dual(other)
        slope = a.slope * b.value + a.value * b.slope
        return _Dual(a.value * b.value, slope, a.size * abs(b.value) + abs(a.value) * b.size)

    def __truediv__(self, other: Any) -> "_Dual":
        b = _dual(other)
        return self * _Dual(1 / b.value, -b.slope / b.value**2, b.size / b.value**2)

    def __pow__(self, exponent: int) -> "_Dual":
        return self if exponent == 1 else self * self ** (exponent - 1)

    def __neg__(self) -> "_Dual":
        return self * -1

    def __sub__(self, other: Any) -> "_Dual":
        return self + -_dual(other)

    def __rsub__(self, other: Any) -> "_Dual":
        return _dual(other) - self

    def __abs__(self) -> "_Dual":
        return self if self.value >= 0 else -self

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= getattr(other, "value", other))

    def __lt__(self, other: Any) -> bool:
        return not self >= other

    __radd__, __rmul__ = __add__, __mul__


def _dual(number: Any) -> _Dual:
    return number if isinstance(number, _Dual) else _Dual(number)


THREE_STEPS = {
    "p": 2.0, "g1": 1.0, "g2": 0.5, "g3": 0.875,
    "lr": 0.125, "b1": 0.75, "b2": 0.875, "eps": 0.25, "wd": 0.125,
}  # fmt: skip
"""One element, away from every kink; the second norm is the decayed one, the others the gradient's.

Every sum is of numbers of one sign and every difference keeps half of what it starts from, so that
no intermediate value is off by more than 60 roundings after three steps.
"""

GRADIENT_ROUNDINGS = 48 * 3 * 60
"""A path has at most 16 partial derivatives a step, each made of at most three such values."""


def derivative(name: str, decoupled: bool) -> tuple[Fraction, Fraction]:
    """The derivative of the last parameter with respect to one of `THREE_STEPS`, and its bound."""
    at = {key: _Dual(value, key == name, key == name) for key, value in THREE_STEPS.items()}
    hp = Hyperparameters(
        lr=at["lr"],
        betas=(at["b1"], at["b2"]),
        eps=at["eps"],
        weight_decay=at["wd"],
        decoupled_weight_decay=decoupled,
    )
    p, m, u = (np.array([x], dtype=object) for x in (at["p"], _Dual(0), _Dual(0)))
    for step in range(3):
        grad = np.array([at[f"g{step + 1}"]], dtype=object)
        after = CANONICAL(p, grad, m, u, step, hp)
        p, m, u = p + after.update, after.exp_avg, after.exp_inf
    return p[0].slope, GRADIENT_ROUNDINGS * Fraction(1, 2**53) * p[0].size


def assert_within(values: Iterable[Any], exact: Iterable[Fraction], d: Iterable[Fraction]) -> None:
    for index, (value, right, bound) in enumerate(zip(values, exact, d, strict=True)):
        error = abs(Fraction(float(value)) - right)
        assert error <= bound, (
            f"[{index}]: {float(value)!r}, exactly {float(right)!r}: "
            f"error {float(error)}, bound {float(bound)}"
        )
