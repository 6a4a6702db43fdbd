"""The rule for one array against exact rationals, and its bias correction."""

from fractions import Fraction
from typing import Any

import gmpy2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify

from adamax_jax.rule import Hyper, adamax, bias_correction, decay
from exact import ulps


def test_two_steps_of_the_table_of_dialects() -> None:
    """On dyadic numbers the moments are exact: m = 1/4, u = 5/4, then m = 5/16, u = 35/32."""
    hyper = Hyper(0.125, decay(0.75), 0.875, 0.25, 0.0)
    modes = {"maximize": False, "decoupled": False}
    zero = jnp.zeros(1)
    _, m, u = adamax(None, zero + 1, zero, zero, jnp.array(-0.5), hyper, **modes)
    assert (m.tolist(), u.tolist()) == ([0.25], [1.25])
    _, m, u = adamax(None, zero + 0.5, m, u, jnp.array(-0.125 / 0.4375), hyper, **modes)
    assert (m.tolist(), u.tolist()) == ([0.3125], [1.09375])


@pytest.mark.parametrize(
    ("maximize", "decoupled", "moments", "update"),
    [
        (False, False, (0.375, 1.75), -0.5 * (0.375 / 1.75)),
        (True, False, (-0.125, 0.75), 0.5 * (0.125 / 0.75)),
        (False, True, (0.25, 1.25), -0.5 * (0.25 / 1.25) - 0.125 * 0.25 * 2),
        (True, True, (-0.25, 1.25), 0.5 * (0.25 / 1.25) - 0.125 * 0.25 * 2),
    ],
)
def test_sign_comes_before_decay(
    maximize: bool, decoupled: bool, moments: tuple[float, float], update: float
) -> None:
    """p = 2, g = 1, weight decay 1/4: coupled, the gradient is 3/2, or -1/2 when it ascends."""
    hyper = Hyper(0.125, decay(0.75), 0.875, 0.25, 0.25)
    modes = {"maximize": maximize, "decoupled": decoupled}
    zero = jnp.zeros(1)
    delta, m, u = adamax(zero + 2, zero + 1, zero, zero, jnp.array(-0.5), hyper, **modes)
    assert (m.item(), u.item()) == moments
    assert delta[0] == jnp.float32(update)


ROUNDOFFS = 4  # docs/spec.md, N-3
B1S = [0.0, 1e-30, 0.1, 0.49999999999999994, 0.5, 0.6, 0.69, 0.7, 0.71, 0.9, 0.99, 0.999]
NEAR_ONE = [0.9999, 0.99999, 0.999999, 1 - 2**-23, 1 - 2**-24]


def corrections(how: str, b1: float, counts: Any) -> tuple[float, Any]:
    """The bias corrections, and the b1 that they are exactly those of."""
    if how == "number outside jit":
        return b1, jax.jit(bias_correction)(decay(b1), counts)
    if how == "number under jit":
        return b1, jax.jit(lambda counts: bias_correction(decay(b1), counts))(counts)
    traced = jnp.asarray(b1, float)
    return float(traced), jax.jit(lambda b1: bias_correction(decay(b1), counts))(traced)


@pytest.mark.parametrize("x64", [False, True], ids=["32 bits", "64 bits"])
@pytest.mark.parametrize("how", ["number outside jit", "number under jit", "array"])
@pytest.mark.parametrize("b1", [*B1S, *NEAR_ONE])
def test_the_bias_correction_is_within_four_units_of_roundoff(
    b1: float, how: str, x64: bool
) -> None:
    """For counts to 6000, and for some of every size to 2^31 - 1."""
    rng = np.random.default_rng(0)
    large = np.exp2(rng.uniform(12, 31, 500)).astype(np.int64) - 1
    counts = [*range(1, 6001), *large.tolist(), 2**24, 2**24 + 1, 2**31 - 2, 2**31 - 1]
    with jax.enable_x64(x64), gmpy2.context(precision=200):
        exactly, found = corrections(how, b1, jnp.array(counts, jnp.int32))
        if exactly == 1:
            assert not x64  # an array of float32 cannot hold what is closer to one
            return
        assert found.dtype == (jnp.float64 if x64 else jnp.float32)
        unit = gmpy2.mpfr(2) ** (-53 if x64 else -24)
        for count, correction in zip(counts, found.tolist(), strict=True):
            right = 1 - gmpy2.mpfr(exactly) ** count
            assert abs(correction - right) <= ROUNDOFFS * unit * right, (count, correction)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("b1", [0.0, 1e-45, 0.5, 0.9, 1 - 2**-24])
def test_no_operation_of_the_bias_correction_gives_nan_or_divides_by_zero(
    b1: float, traced: bool
) -> None:
    """Not even in the branch that is not chosen, where checkify and debug_nans would see it."""

    def correction(value: Any, count: jax.Array) -> jax.Array:
        return bias_correction(decay(value if traced else b1), count)

    checked = jax.jit(checkify.checkify(correction, errors=checkify.float_checks))
    for count in (1, 2, 2**31 - 1):
        error, _ = checked(jnp.float32(b1), jnp.int32(count))
        assert error.get() is None


@pytest.mark.parametrize("beta1", [0.0, 0.25, 0.75])
@pytest.mark.parametrize("order", [1, 2])
def test_the_derivatives_of_the_bias_correction_are_finite_and_right(
    beta1: float, order: int
) -> None:
    """``-t b^(t-1)`` and ``-t (t-1) b^(t-2)``: two products and a power, eight units."""
    with jax.enable_x64(True):
        for count in (1, 2, 5):
            slope: Any = lambda b, t=count: bias_correction(decay(b), jnp.array(t))  # noqa: E731 - derived in turn
            factor = -1
            for k in range(order):
                slope, factor = jax.grad(slope), factor * (count - k)
            right = factor * Fraction(beta1) ** (count - order) if factor else Fraction(0)
            assert ulps(slope(jnp.float64(beta1)), right, 53) <= 8


@pytest.mark.parametrize("wide", ["bfloat16", "float32", "float64"])
@pytest.mark.parametrize("b1", [0.999, 0.3])
def test_one_minus_b1_is_rounded_once(wide: str, b1: float) -> None:
    """Rounded from the value in the array: in float32, 1 - 0.999 is off by 108 ulp."""
    with jax.enable_x64(True):
        value = jnp.asarray(b1, wide)
        rate = decay(value)
        assert rate.b1 == float(value)
        assert jnp.float32(rate.complement) == jnp.float32(1 - float(value))
