"""What several test modules share: errors measured on exact rationals, and bounds that are derived.

A float is an exact rational, so the rule runs on `fractions.Fraction` and says what is right. The
roundings that a float implementation makes are counted here, once, and nothing is tuned.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest

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


def _ulps(value: Any, exact: Fraction, bits: int) -> Fraction:
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


def _follow(at: Followed, grad: float, hyperparameters: Hyperparameters, w: Fraction) -> Followed:
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
    column = [np.array([x]) for x in (at.param, Fraction(grad), at.exp_avg, at.exp_inf)]
    after = CANONICAL(*column, at.step, hp)
    update, m, u = after.update[0], after.exp_avg[0], after.exp_inf[0]
    coupled = 0 if hp.decoupled_weight_decay else wd
    shrink = lr * wd if hp.decoupled_weight_decay else Fraction(0)
    g = abs(Fraction(grad)) + abs(coupled * at.param)
    c = 1 - b1**after.step

    d_g = coupled * at.d_param + (3 * w * g if coupled else 0)
    d_m = b1 * at.d_exp_avg + (1 - b1) * d_g + 4 * w * (abs(at.exp_avg) + (1 - b1) * g)
    d_u = max(b2 * at.d_exp_inf, d_g) + 2 * w * u
    s = lr / c * abs(m) / u
    d_s = s * (4 + 4 / c) * w + lr / c * (d_m / u + abs(m) * d_u / (u * (u - d_u)))
    d_shrink = shrink * (at.d_param + 5 * w * abs(at.param))
    moved = at.d_param + d_s + d_shrink
    between = abs(at.param) + s + moved if shrink else Fraction(0)
    d_param = moved + w * (abs(at.param + update) + moved + between)
    return Followed(
        at.param + update, m, u, after.step, *(SECOND_ORDER * d for d in (d_param, d_m, d_u))
    )


def _assert_within(values: Iterable[Any], exact: Iterable[Fraction], d: Iterable[Fraction]) -> None:
    for index, (value, right, bound) in enumerate(zip(values, exact, d, strict=True)):
        error = abs(Fraction(float(value)) - right)
        assert error <= bound, (
            f"[{index}]: {float(value)!r}, exactly {float(right)!r}: "
            f"error {float(error)}, bound {float(bound)}"
        )


@pytest.fixture(scope="session")
def ulps() -> Callable[[Any, Fraction, int], Fraction]:
    return _ulps


@pytest.fixture(scope="session")
def followed() -> type[Followed]:
    return Followed


@pytest.fixture(scope="session")
def follow() -> Callable[[Any, float, Hyperparameters, Fraction], Any]:
    return _follow


@pytest.fixture(scope="session")
def assert_within() -> Callable[[Iterable[Any], Iterable[Fraction], Iterable[Fraction]], None]:
    return _assert_within
