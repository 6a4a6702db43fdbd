"""The rule for one array against exact rationals, and its bias correction."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from adamax_jax.rule import Hyper, adamax, averaging, bias_correction


def test_two_steps_of_the_table_of_dialects() -> None:
    """On dyadic numbers the moments are exact: m = 1/4, u = 5/4, then m = 5/16, u = 35/32."""
    hyper = Hyper(0.125, 0.75, 0.875, 0.25, 0.0, maximize=False, decoupled=False)
    zero = jnp.zeros(1)
    _, m, u = adamax(None, zero + 1, zero, zero, jnp.array(0.5), hyper)
    assert (m.tolist(), u.tolist()) == ([0.25], [1.25])
    _, m, u = adamax(None, zero + 0.5, m, u, jnp.array(0.125 / 0.4375), hyper)
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
    hyper = Hyper(0.125, 0.75, 0.875, 0.25, 0.25, maximize, decoupled)
    zero = jnp.zeros(1)
    delta, m, u = adamax(zero + 2, zero + 1, zero, zero, jnp.array(0.5), hyper)
    assert (m.item(), u.item()) == moments
    assert delta[0] == jnp.float32(update)


@pytest.mark.parametrize(
    "beta1", [0.0, 0.1, 0.25, 0.49999999999999994, 0.5, 0.9, 0.999, 1 - 2**-40]
)
@pytest.mark.parametrize("wrap", [float, jnp.float64], ids=["number", "array"])
def test_bias_correction_is_right_to_the_last_places(
    beta1: float, wrap: Callable[[float], Any], ulps: Callable[..., Fraction]
) -> None:
    """Five units, as tests/core/test_rule.py derives, for functions good to one unit each.

    XLA's own log and expm1 claim two where the C library's claim one: three more, so eight.
    """
    counts = [1, 2, 3, 10, 100]
    with jax.enable_x64(True):
        corrections = bias_correction(wrap(beta1), jnp.array(counts, jnp.int32))
        for count, correction in zip(counts, corrections.tolist(), strict=True):
            assert ulps(correction, 1 - Fraction(beta1) ** count, 53) <= 8


@pytest.mark.parametrize("beta1", [0.1, 0.5, 0.9, 0.999])
def test_a_number_keeps_its_digits_in_float32(beta1: float, ulps: Callable[..., Fraction]) -> None:
    """The logarithm is taken in float64: a unit for rounding it, one for the product, two expm1."""
    counts = [1, 2, 10, 1000]
    corrections = bias_correction(beta1, jnp.array(counts, jnp.int32))
    assert corrections.dtype == jnp.float32
    for count, correction in zip(counts, corrections.tolist(), strict=True):
        assert ulps(correction, 1 - Fraction(beta1) ** count, 24) <= 4


@pytest.mark.parametrize("beta1", [0.0, 0.25, 0.75])
def test_the_derivative_of_the_bias_correction_is_finite_and_right(
    beta1: float, ulps: Callable[..., Fraction]
) -> None:
    """``-t b^(t-1)``: a logarithm and its quotient, a product and an exponential: eight units."""
    with jax.enable_x64(True):
        for count in (1, 2, 5):
            slope = jax.grad(lambda b, t=count: bias_correction(b, jnp.array([t]))[0])(
                jnp.float64(beta1)
            )
            assert ulps(slope, -count * Fraction(beta1) ** (count - 1), 53) <= 8


@pytest.mark.parametrize("wide", ["bfloat16", "float32", "float64"])
@pytest.mark.parametrize("b1", [0.999, 0.3])
def test_what_b1_leaves_is_rounded_once(wide: str, b1: float) -> None:
    """Of what the array holds, however precise: 1 - 0.999 in float32 is off by 108 units."""
    with jax.enable_x64(True):
        value = jnp.asarray(b1, wide)
        kept, new = averaging(value, jnp.float32)
        assert kept == jnp.float32(float(value))
        assert new == jnp.float32(1 - float(value))
