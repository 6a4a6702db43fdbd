"""Bounds near the ends of a format's range: only an intermediate result may leave it (N-8).

The fuzzer found each of these in a right implementation.
"""

from typing import Any

import numpy as np
import pytest

from adamax_conformance.bounds.carried import UNBOUNDED_FROM, Carried
from adamax_conformance.bounds.distinct import bounds
from adamax_conformance.bounds.oracle import Allowed, admitted, allowed
from adamax_conformance.spec.formats import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOATS,
    computed_in,
    dtype_of,
)
from adamax_conformance.subject.backend import Moments
from adamax_core import CANONICAL, Hyperparameters

LARGEST = 3.4e38


def one_step(
    dtype: str,
    hp: Hyperparameters,
    *,
    param: float = 0.0,
    grad: float = 1.0,
    exp_avg: float = 0.0,
    exp_inf: float = 0.0,
    reported: tuple[float, float] | None = None,
) -> dict[str, Allowed]:
    """Return the allowed values of one element after a step, with reported moments if given."""
    p, g, m, u = (np.array([x]).astype(dtype_of(dtype)) for x in (param, grad, exp_avg, exp_inf))
    after = reported and Moments(2, *(np.array([x]).astype(dtype_of(dtype)) for x in reported))
    return allowed(p, g, Moments(1, m, u), hp, reported=after or None)


def accepts(bound: Allowed, got: float) -> bool:
    return bool(bound.excess(np.array([got]))[0] <= 1)


def test_norm_that_overflows_is_infinite_and_leaves_the_parameter_open() -> None:
    hp = Hyperparameters(lr=1.0, betas=(0.5, 0.5), eps=LARGEST)
    after = one_step("float32", hp, grad=1e38)
    assert accepts(after["exp_inf"], np.inf)
    assert not accepts(after["exp_inf"], np.nan)
    assert not accepts(after["exp_inf"], -np.inf)
    assert not accepts(after["exp_inf"], 1.0)
    # m / inf is zero, and so is the step.
    assert accepts(after["param"], 0.0)


def test_norm_that_float16_cannot_hold_is_no_reason_for_a_wrong_parameter() -> None:
    hp = Hyperparameters(lr=1.0, betas=(0.5, 0.5), eps=6e4)
    after = one_step("float16", hp, grad=6e4, reported=(3e4, np.inf))
    assert accepts(after["exp_inf"], np.inf)
    assert not accepts(after["param"], 0.0)
    assert accepts(after["param"], -1 / 3)


def test_norm_that_is_infinite_stays_so_and_leaves_the_parameter_open() -> None:
    hp = Hyperparameters(lr=1.0, betas=(0.5, 0.5), eps=1.0)
    after = one_step("float32", hp, exp_inf=np.inf, reported=(0.5, np.inf))
    assert accepts(after["exp_inf"], np.inf)
    assert not accepts(after["exp_inf"], LARGEST)
    assert accepts(after["param"], 0.0)


def test_infinity_times_a_beta_that_vanishes_may_be_nan() -> None:
    for beta2, either in ((1e-60, True), (0.5, False)):
        hp = Hyperparameters(lr=1.0, betas=(0.5, beta2), eps=1.0)
        after = one_step("float32", hp, exp_inf=np.inf)
        assert accepts(after["exp_inf"], np.inf)
        assert accepts(after["exp_inf"], np.nan) is either


def test_decay_that_overflows_against_an_infinite_gradient_may_be_nan() -> None:
    for decay, either in ((1e30, True), (0.5, False)):
        hp = Hyperparameters(lr=1.0, betas=(0.5, 0.5), eps=1.0, weight_decay=decay)
        after = one_step("float32", hp, param=-1e30, grad=np.inf)
        assert accepts(after["exp_inf"], np.inf)
        assert accepts(after["exp_inf"], np.nan) is either


def test_moment_that_vanishes_over_zero_may_be_nan() -> None:
    hp = Hyperparameters(lr=1.0, betas=(0.5, 0.5), eps=0.0)
    for moment, either in ((2.0**-126, True), (1.0, False)):
        after = one_step("float32", hp, grad=0.0, exp_avg=moment)
        assert accepts(after["param"], -np.inf)
        assert accepts(after["param"], np.nan) is either
        assert not accepts(after["param"], 0.0)


def test_subnormal_input_may_be_read_as_zero_but_in_float16() -> None:
    """The inputs are just below the smallest normal number, so that their sum is well above it."""
    hp = Hyperparameters(lr=1.0, betas=(0.0, 0.0), eps=0.0)
    for dtype, tiny, flushed in (
        ("float32", 2.0**-126 * (1 - 2.0**-20), True),
        ("bfloat16", 2.0**-126 * (1 - 2.0**-7), True),
        ("float16", 2.0**-14 * (1 - 2.0**-9), False),
    ):
        step = 8 * tiny
        small = Hyperparameters(**{**vars(hp), "lr": step})
        after = one_step(dtype, small, param=tiny, grad=-1.0)["param"]
        assert accepts(after, step + tiny)
        assert accepts(after, step) is flushed


@pytest.mark.parametrize(
    ("lr", "moment", "norm", "got"),
    [
        (1e-30, 1e-30, 1e-30, 0.0),  # lr m vanishes
        (1e30, 1e30, 1e30, -np.inf),  # lr m overflows
        (1e-30, 1e20, 1e20, 0.0),  # lr / u vanishes
        (1e30, 1e-30, 1e-20, -np.inf),  # lr / u overflows
        (1e30, 1e-20, 1e20, 0.0),  # m / u vanishes
    ],
)
def test_partial_product_may_leave_the_range(
    lr: float, moment: float, norm: float, got: float
) -> None:
    hp = Hyperparameters(lr=lr, betas=(0.5, 0.5), eps=0.0)
    bound = one_step(
        "float32", hp, grad=0.0, exp_avg=2 * moment, exp_inf=2 * norm, reported=(moment, norm)
    )["param"]
    exact = float(bound.carried.value[0])
    assert np.float32(exact) != np.float32(got)
    assert accepts(bound, exact)
    assert accepts(bound, got)
    # In float64 there is room for all of them.
    roomy = one_step(
        "float64", hp, grad=0.0, exp_avg=2 * moment, exp_inf=2 * norm, reported=(moment, norm)
    )["param"]
    assert not accepts(roomy, got)


@pytest.mark.parametrize("dtype", FLOATS)
def test_moderate_numbers_are_judged_as_the_canonical_association_is(dtype: str) -> None:
    """The other associations add no error if all partial products are in range."""
    hp = Hyperparameters(lr=0.125, betas=(0.5, 0.5), eps=0.25, weight_decay=0.5,
                         decoupled_weight_decay=True)  # fmt: skip
    format_ = {"float16": FLOAT16, "bfloat16": BFLOAT16}.get(dtype, FLOAT32)
    m, u, c = (Carried.of([x], format_) for x in (0.5, 1.5, 0.75))
    rule = admitted(format_, accurate_correction=False)
    one = rule.displacement(m, u, hp.lr, c)
    other = CANONICAL.displacement(m, u, hp.lr, c)
    assert (one.value[0], one.error[0]) == (other.value[0], other.error[0])


def test_denominator_that_overflows_float16_is_still_wrong() -> None:
    """N-8: u c / lr is 1e9, and the step that it would lose is a thousandth."""
    hp = Hyperparameters(lr=1e-3, betas=(0.0, 0.0), eps=0.0)
    bound = one_step("float16", hp, grad=3e4)["param"]
    assert accepts(bound, -1e-3)
    assert not accepts(bound, 0.0)


def test_update_that_float16_cannot_hold_may_be_infinite() -> None:
    hp = Hyperparameters(lr=1e5, betas=(0.0, 0.0), eps=0.0)
    bound = one_step("float16", hp, param=6e4)["param"]
    assert accepts(bound, -np.inf)
    assert accepts(bound, -4e4)


def test_update_that_float16_cannot_hold_may_be_nan_on_an_infinite_parameter() -> None:
    for lr, either in ((1e5, True), (1.0, False)):
        hp = Hyperparameters(lr=lr, betas=(0.0, 0.5), eps=0.0)
        bound = one_step("float16", hp, param=-np.inf, grad=-1.0)["param"]
        assert accepts(bound, -np.inf)
        assert accepts(bound, np.nan) is either
        assert not accepts(bound, 0.0)


def test_equal_weights_may_be_factored_out() -> None:
    for beta1, open_ in ((0.5, True), (0.75, False)):
        hp = Hyperparameters(lr=1.0, betas=(beta1, 0.5), eps=0.0)
        bound = one_step("float32", hp, grad=2e38, exp_avg=3e38)["exp_avg"]
        assert accepts(bound, np.inf) is open_
        assert accepts(
            bound, beta1 * float(np.float32(3e38)) + (1 - beta1) * float(np.float32(2e38))
        )


def test_scalar_that_vanishes_in_float32_is_a_factor_of_zero_or_itself() -> None:
    hp = Hyperparameters(lr=1e-50, betas=(0.75, 0.5), eps=0.0)
    for dtype, lost in (("float32", True), ("float64", False)):
        bound = one_step(dtype, hp, grad=0.0, exp_avg=4e30, exp_inf=2.0, reported=(3e30, 1.0))[
            "param"
        ]
        exact = float(bound.carried.value[0])
        assert exact < -1e-20
        assert accepts(bound, exact)
        assert accepts(bound, 0.0) is lost
        assert not accepts(bound, 1e6)


def test_special_values_have_the_widest_range_there_is() -> None:
    """lr / c is beyond float64, and the step is zero times that: zero, not NaN."""
    hp = Hyperparameters(lr=1e308, betas=(0.9, 0.5), eps=1.0)
    bound = one_step("float64", hp, grad=0.0)["param"]
    assert bound.special.number[0]
    assert accepts(bound, 0.0)


def test_what_is_computed_from_an_overflow_is_open() -> None:
    huge = Carried.of([LARGEST], FLOAT32) + Carried.of([LARGEST], FLOAT32)
    assert huge.error[0] < UNBOUNDED_FROM
    one = Carried.of([1.0], FLOAT32)
    for result in (huge + one, one - huge, huge * one, one / huge, huge / one):
        assert result.error[0] >= UNBOUNDED_FROM
    assert Carried.maximum(huge, one).error[0] < UNBOUNDED_FROM


@pytest.mark.parametrize(("format_", "computed"), [(FLOAT16, FLOAT32), (BFLOAT16, FLOAT32)])
def test_half_precision_has_the_range_of_float32(format_: Any, computed: Any) -> None:
    assert computed_in(format_) is computed
    assert format_.reach >= computed.largest


def test_filter_decides_the_same_for_many_elements() -> None:
    """The same extreme values, in arrays of twelve."""
    hp = Hyperparameters(lr=1e-30, betas=(0.5, 0.5), eps=LARGEST)
    rng = np.random.default_rng(0)
    sizes = 10.0 ** rng.integers(-37, 38, (4, 12))
    p, g, m, u = sizes.astype(np.float32)
    before, after = Moments(1, m, u), Moments(2, (m + g) / 2, np.full(12, np.inf, np.float32))
    fast = bounds(p, g, before, hp, reported=after, accurate_correction=False)
    slow = allowed(p, g, before, hp, reported=after)
    for quantity, got in (("param", p), ("exp_avg", after.exp_avg), ("exp_inf", after.exp_inf)):
        with np.errstate(all="ignore"):
            one, other = fast[quantity].excess(got), slow[quantity].excess(got)
        assert np.array_equal(one <= 1, other <= 1)


@pytest.mark.parametrize("exponent", [-25, 0, 25])
def test_shortcut_for_moderate_numbers_gives_the_error_of_the_long_way(
    exponent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ends of the range that is called moderate, in every place."""
    hp = Hyperparameters(lr=2.0**exponent, betas=(0.5, 0.5), eps=0.0)
    sizes = 2.0 ** np.array([exponent, -exponent, 0.0])
    m, u = (array.ravel().astype(np.float32) for array in np.meshgrid(sizes, sizes))
    before, after = Moments(1, m, u), Moments(2, m, u)
    short = allowed(m, m, before, hp, reported=after)
    monkeypatch.setattr("adamax_conformance.bounds.oracle._moderate", lambda _number: False)
    long = allowed(m, m, before, hp, reported=after)
    for quantity, bound in short.items():
        assert bound.carried.error.tolist() == long[quantity].carried.error.tolist()
