"""The allowed results of one step: values, bounds, special values and text."""

import math
from fractions import Fraction

import numpy as np
import pytest

from adamax_conformance.bounds.oracle import QUANTITIES, Allowed, allowed
from adamax_conformance.spec.formats import FLOATS, dtype_of, format_of
from adamax_conformance.subject.backend import Moments
from adamax_core import Hyperparameters

HP = Hyperparameters(lr=0.125, betas=(0.75, 0.875), eps=0.25)


def one_step(param: float, grad: float, hp: Hyperparameters = HP) -> dict[str, Allowed]:
    zero = np.zeros(1)
    return allowed(np.array([param]), np.array([grad]), Moments(0, zero, zero), hp)


def test_values_are_the_rule_by_hand() -> None:
    # g = 1/2, eps = 1/4: m = 1/8, u = 3/4, c = 1/4, p = 2 - (1/8) / (1/4) * (1/8) / (3/4).
    bounds = one_step(2.0, 0.5)
    exact = [bounds[q].carried.value[0] for q in QUANTITIES]
    assert exact == [Fraction(1, 8), Fraction(3, 4), 2 - Fraction(1, 12)]


@pytest.mark.parametrize("dtype", FLOATS)
def test_bounds_are_a_few_units_in_the_last_place(dtype: str) -> None:
    """The bounds are not vacuous: in an ordinary step, at most 32 roundings of the value."""
    param, grad, zero = (np.array([x]).astype(dtype_of(dtype)) for x in (0.0, 0.5, 0.0))
    unit = format_of(dtype).unit
    for bound in allowed(
        param, grad, Moments(0, zero, zero), HP, accurate_correction=True
    ).values():
        assert 0 < bound.carried.error[0] <= 32 * unit * abs(bound.carried.value[0])


def test_excess_is_in_bounds() -> None:
    zero = np.zeros(1, np.float32)
    bound = allowed(zero, zero + 0.5, Moments(0, zero, zero), HP)["exp_inf"]
    value, error = bound.carried.value[0], bound.carried.error[0]
    assert bound.excess([float(value)]) == [0.0]
    just, beyond = math.nextafter(float(value + error), 0), float(value + 2 * error)
    assert 0 < bound.excess([just])[0] <= 1 < bound.excess([beyond])[0]
    assert bound.excess([np.nan]) == bound.excess([np.inf]) == [np.inf]


@pytest.mark.parametrize(
    ("quantity", "right", "wrong"),
    [
        ("exp_avg", [np.nan, np.inf], [-np.inf, 0.0]),
        ("exp_inf", [np.inf], [np.nan, -np.inf, 1.0]),
        ("param", [np.nan], [np.inf, 0.0]),
    ],
)
def test_special_values_after_an_infinite_gradient(
    quantity: str, right: list[float], wrong: list[float]
) -> None:
    bound = one_step(0.0, np.inf)[quantity]
    assert [bound.excess([x])[0] for x in right] == [0] * len(right)
    assert [bound.excess([x])[0] for x in wrong] == [np.inf] * len(wrong)


def test_infinity_passes_only_where_the_exact_value_overflows() -> None:
    largest = np.array([6e4]).astype(np.float16)
    hp = Hyperparameters(lr=1.0, betas=(0.5, 0.5), eps=6e4)
    bounds = allowed(largest * 0, largest, Moments(0, largest * 0, largest * 0), hp)
    assert bounds["exp_inf"].excess([np.inf]) == [0.0]
    assert bounds["exp_avg"].excess([np.inf]) == [np.inf]


def test_cancellation_is_admitted_everywhere_but_where_it_is_judged() -> None:
    hp = Hyperparameters(lr=1.0, betas=(0.999, 0.5), eps=0.25)
    printed = -1.0 * (1 - 0.999) / (1 - 0.999**2) * 1.0 / 1.25
    state = Moments(1, np.zeros(1), np.zeros(1))
    for accurate, accepted in ((False, True), (True, False)):
        bounds = allowed(np.zeros(1), np.ones(1), state, hp, accurate_correction=accurate)
        assert bool(bounds["param"].excess([printed])[0] <= 1) is accepted


def test_intervals_are_printed_also_beyond_float64() -> None:
    bound = one_step(0.0, 0.5)["param"]
    assert bound.interval((0,)).startswith("[-0.0833")
    assert one_step(0.0, np.nan)["param"].interval((0,)) == "nan"
    assert one_step(0.0, np.inf)["exp_avg"].interval((0,)) == "inf or nan"
    zero_over_zero = Hyperparameters(eps=1e-300)
    tiny = np.zeros(1, np.float16)
    nothing = allowed(tiny, tiny, Moments(0, tiny, tiny), zero_over_zero)["param"]
    assert nothing.interval((0,)) == "anything"
    assert nothing.excess([np.nan]) == [0.0]
