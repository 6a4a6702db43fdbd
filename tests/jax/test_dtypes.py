"""Each dtype of parameters and of the state: half precision is rounded once, and types stay."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adamax_core import Hyperparameters
from adamax_jax import adamax_transform
from jax_steps import SETTINGS, example, named_bits, run, transform


@pytest.mark.parametrize("hp", SETTINGS)
def test_complex_parameters_are_pairs_of_reals(hp: Hyperparameters) -> None:
    rng = np.random.default_rng(3)
    pairs = [rng.normal(size=8).astype(np.float32) for _ in range(4)]
    real, real_state = run(transform(hp), *map(jnp.array, pairs))
    whole, state = run(transform(hp), *(jnp.array(pair.view(np.complex64)) for pair in pairs))
    assert whole.dtype == state.mu.dtype == state.nu.dtype == jnp.complex64
    for one, other in ((whole, real), (state.mu, real_state.mu), (state.nu, real_state.nu)):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("hp", SETTINGS)
def test_half_precision_is_the_float32_update_rounded_once(hp: Hyperparameters, dtype: Any) -> None:
    half = jnp.array([1, -2, 0, 3], dtype)
    grads = jnp.array([0.3, 1.7, 0, -2.5], dtype)
    outcomes = []
    for params in (half, half.astype(jnp.float32)):
        optimizer = transform(hp)
        outcomes.append(
            optimizer.update(grads.astype(params.dtype), optimizer.init(params), params)
        )
    (update, state), (wide, wide_state) = outcomes
    assert update.dtype == state.mu.dtype == state.nu.dtype == dtype
    assert named_bits(update) == named_bits(wide.astype(dtype))
    assert named_bits(state.mu) == named_bits(wide_state.mu.astype(dtype))
    assert named_bits(state.nu) == named_bits(wide_state.nu.astype(dtype))


@pytest.mark.parametrize(
    ("dtype", "state_dtype", "expected"),
    [
        ("bfloat16", "float32", "float32"),
        ("float32", "bfloat16", "bfloat16"),
        ("float16", None, "float16"),
        ("complex64", "float32", "complex64"),
    ],
)
def test_state_dtype_is_that_of_the_parts_and_stays(
    dtype: str, state_dtype: Any, expected: str
) -> None:
    params = example(dtype)
    optimizer = adamax_transform(state_dtype=state_dtype)
    after, state = run(optimizer, params, params, params)
    assert {leaf.dtype.name for leaf in jax.tree.leaves((state.mu, state.nu))} == {expected}
    assert {leaf.dtype.name for leaf in jax.tree.leaves(after)} == {dtype}


def test_moments_keep_their_dtype_whatever_that_of_the_gradients() -> None:
    params = jnp.ones(2, jnp.bfloat16)
    after, state = run(adamax_transform(), params, jnp.ones(2, jnp.float32))
    assert after.dtype == state.mu.dtype == state.nu.dtype == jnp.bfloat16


def test_a_float32_state_lets_the_norm_of_bfloat16_decay() -> None:
    """After 0.999^256 = 0.774; in bfloat16 0.999 u rounds back to u."""
    norms = []
    for dtype in (jnp.bfloat16, jnp.float32):
        optimizer = adamax_transform(state_dtype=dtype)
        zero = jnp.zeros((), jnp.bfloat16)
        _, state = run(optimizer, zero, zero + 1)
        for _ in range(256):
            _, state = jax.jit(optimizer.update)(zero, state, zero)
        norms.append(float(state.nu))
    assert norms[0] == 1
    assert 0.774 < norms[1] < 0.775


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.complex64])
def test_strict_promotion_is_supported(dtype: Any) -> None:
    params = jnp.ones(2, dtype)
    with jax.numpy_dtype_promotion("strict"):
        _, state = run(adamax_transform(weight_decay=0.1), params, params, params)
    assert state.mu.dtype == dtype
