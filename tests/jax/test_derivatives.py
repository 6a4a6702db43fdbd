"""`adamax_transform` can be differentiated by every number, also where formulas change."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from adamax_jax import adamax_transform
from adamax_jax.rule import bias_correction, decay
from exact import THREE_STEPS, assert_within, derivative
from jax_steps import run


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("name", ["p", "g1", "g2", "g3", "lr", "b1", "b2", "eps", "wd"])
def test_three_steps_are_differentiable(name: str, decoupled: bool) -> None:
    def final(value: Any) -> Any:
        at = THREE_STEPS | {name: value}
        optimizer = adamax_transform(
            at["lr"],
            at["b1"],
            at["b2"],
            at["eps"],
            weight_decay=at["wd"],
            decoupled_weight_decay=decoupled,
        )
        grads = (jnp.asarray(at[key]) for key in ("g1", "g2", "g3"))
        return run(optimizer, jnp.asarray(at["p"]), *grads)[0]

    with jax.enable_x64(True):
        slope = float(jax.grad(final)(THREE_STEPS[name]))
    exact, bound = derivative(name, decoupled)
    assert_within([slope], [exact], [bound])


@pytest.mark.parametrize("name", ["b1", "weight_decay", "learning_rate", "eps", "b2"])
def test_the_derivative_at_the_lower_end_of_a_domain_is_finite(name: str) -> None:
    def final(value: Any) -> Any:
        optimizer = adamax_transform(**{name: value})
        return run(optimizer, jnp.array(1.0), jnp.array(0.5), jnp.array(-1.0))[0]

    assert jnp.isfinite(jax.grad(final)(0.0))


@pytest.mark.parametrize("b1", [0.0, 0.5, 0.9])
def test_the_derivative_by_b1_is_continuous_where_the_formula_changes(b1: float) -> None:
    """At the first step c = 1 - b1 whatever b1 is."""
    slope = jax.grad(lambda b: bias_correction(decay(b), jnp.array(1)))(jnp.float32(b1))
    assert float(slope) == -1
