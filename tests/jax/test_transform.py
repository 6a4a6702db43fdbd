"""`adamax_transform` in optax's world: chains, schedules, masks, missing gradients, state."""

from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adamax_core import Hyperparameters
from adamax_jax import AdamaxState, adamax_transform
from exact import Followed, assert_within, follow, ulps
from jax_steps import SETTINGS, Layer, example, named_bits, run, transform

LAST = 2**31 - 1


@pytest.mark.parametrize("hp", SETTINGS)
@pytest.mark.parametrize("jit", [False, True])
def test_float64_is_within_the_counted_roundings_of_the_exact_rule(
    hp: Hyperparameters, jit: bool
) -> None:
    rng = np.random.default_rng(1)
    start, *grads = rng.normal(size=(5, 8))
    exact = [Followed(Fraction(x), Fraction(0), Fraction(0), 0) for x in start]
    with jax.enable_x64(True):
        optimizer = transform(hp)
        update = jax.jit(optimizer.update) if jit else optimizer.update
        params = jnp.array(start)
        state = optimizer.init(params)
        for grad in grads:
            updates, state = update(jnp.array(grad), state, params)
            params = optax.apply_updates(params, updates)
            exact = [
                follow(at, g, hp, Fraction(1, 2**53)) for at, g in zip(exact, grad, strict=True)
            ]
            for values, name in ((params, "param"), (state.mu, "exp_avg"), (state.nu, "exp_inf")):
                right = [getattr(at, name) for at in exact]
                bounds = [getattr(at, "d_" + name) for at in exact]
                assert_within(values.tolist(), right, bounds)


def test_the_first_update_in_float32_is_within_two_ulp() -> None:
    """optax.adamax is off by 108 units here, with b1 = 0.999."""
    grads = np.random.default_rng(2).normal(size=64).astype(np.float32)
    optimizer = adamax_transform(0.125, b1=0.999, eps=0.0)
    updates, _ = optimizer.update(jnp.array(grads), optimizer.init(jnp.array(grads)))
    for update, grad in zip(updates.tolist(), grads, strict=True):
        assert ulps(update, Fraction(-1, 8) * (1 if grad > 0 else -1), 24) <= 2


def test_it_chains_with_clipping() -> None:
    clipped = optax.chain(optax.clip(0.5), adamax_transform(0.25, eps=0.125))
    grads = jnp.array([3.0, -0.25, -7.0])
    start = jnp.zeros(3)
    chained, _ = run(clipped, start, grads, -grads)
    by_hand = (jnp.clip(grads, -0.5, 0.5), jnp.clip(-grads, -0.5, 0.5))
    alone, _ = run(adamax_transform(0.25, eps=0.125), start, *by_hand)
    assert named_bits(chained) == named_bits(alone)


def test_a_schedule_is_given_the_number_of_updates_so_far() -> None:
    seen = []

    def schedule(count: jax.Array) -> jax.Array:
        seen.append(int(count))
        return 0.5 / (count + 1)

    one = jnp.ones(1)
    params, _ = run(adamax_transform(schedule, eps=0.0), jnp.zeros(1), one, None, one)
    assert seen == [0, 1, 2]
    by_hand, _ = run(adamax_transform(lambda t: jnp.array([0.5, 9.0, 0.5 / 3])[t], eps=0.0),
                     jnp.zeros(1), one, None, one)  # fmt: skip
    assert params == by_hand


def test_jit_traces_once_for_all_steps() -> None:
    optimizer = adamax_transform(lambda count: 0.1 / (count + 1), weight_decay=0.1)
    traces: list[None] = []

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        traces.append(None)
        updates, state = optimizer.update(params, state, params)
        return optax.apply_updates(params, updates), state

    params = example()
    state = optimizer.init(params)
    for _ in range(4):
        params, state = step(params, state)
    assert len(traces) == 1
    assert state.steps == (4, 4, 4, 4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
def test_scan_carries_the_state(dtype: str) -> None:
    optimizer = adamax_transform(0.1, weight_decay=0.1, state_dtype=jnp.float32)
    params = example(dtype)

    @jax.jit
    def step(carry: Any, scale: Any) -> Any:
        params, state = carry
        grads = jax.tree.map(lambda p: (p * scale).astype(p.dtype), params)
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), None

    scales = jnp.array([1.0, -0.5, 2.0])
    scanned, _ = jax.lax.scan(step, (params, optimizer.init(params)), scales)
    looped = (params, optimizer.init(params))
    for scale in scales:
        looped, _ = step(looped, scale)
    assert named_bits(scanned) == named_bits(looped)
    assert scanned[1].steps == (3, 3, 3, 3)


def test_vmap_goes_over_learning_rates() -> None:
    params = jnp.array([1.0, -2.0])
    rates = jnp.array([0.0, 0.125, 0.5])

    def first_update(lr: Any) -> Any:
        optimizer = adamax_transform(lr, eps=0.0, b1=0.0)
        return optimizer.update(params, optimizer.init(params), params)[0]

    assert jax.vmap(first_update)(rates).tolist() == [[0, 0], [-0.125, 0.125], [-0.5, 0.5]]


def test_a_missing_gradient_leaves_its_leaf_and_its_count() -> None:
    optimizer = adamax_transform(weight_decay=0.1)
    params = example()
    _, before = run(optimizer, params, params)
    grads = params | {"layer": Layer(None, jnp.array(1.0))}
    updates, state = optimizer.update(grads, before, params)
    assert not updates["layer"].weight.any()
    assert updates["layer"].weight.shape == (2, 2)
    assert state.steps == (1, 2, 2, 2)
    assert state.count == 2
    assert named_bits(state.mu["layer"].weight) == named_bits(before.mu["layer"].weight)
    assert named_bits(state.nu["layer"].weight) == named_bits(before.nu["layer"].weight)


def test_a_first_gradient_at_the_second_step_is_a_first_step() -> None:
    one = jnp.ones(1)
    params = {"early": one, "late": one}
    both, _ = run(adamax_transform(), params, {"early": one, "late": None}, params)
    alone, _ = run(adamax_transform(), one, one)
    assert both["late"] == alone
    assert both["early"] < alone


def test_counts_saturate() -> None:
    params = {"last": jnp.ones(1), "before": jnp.ones(1)}
    optimizer = adamax_transform(0.25, b1=0.5, eps=0.0)
    state = optimizer.init(params)._replace(
        steps=(jnp.int32(LAST - 1), jnp.int32(LAST)), count=jnp.int32(LAST)
    )
    updates, state = optimizer.update(params, state, params)
    assert state.steps == (LAST, LAST)
    assert state.count == LAST
    # The correction is one by now: m = 1/2 and u = 1.
    assert jax.tree.leaves(updates) == [-0.125, -0.125]


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize(
    "mask",
    [
        {"layer": Layer(True, False), "rest": [False, (False,)]},
        {"layer": Layer(True, False), "rest": False},
        lambda params: jax.tree.map(lambda p: p.ndim == 2 and p.size > 0, params),
    ],
    ids=["tree", "prefix", "function"],
)
def test_a_mask_leaves_out_the_decay_and_not_the_step(decoupled: bool, mask: Any) -> None:
    def options(weight_decay: float) -> dict[str, Any]:
        return {"weight_decay": weight_decay, "decoupled_weight_decay": decoupled}

    params = example()
    grads = jax.tree.map(lambda p: 1 - p, params)
    masked = run(adamax_transform(**options(0.25), mask=mask), params, grads, grads)
    decayed = run(adamax_transform(**options(0.25)), params, grads, grads)
    plain = run(adamax_transform(**options(0.0)), params, grads, grads)
    assert named_bits(masked[0]["layer"].weight) == named_bits(decayed[0]["layer"].weight)
    assert named_bits(masked[0]["layer"].bias) == named_bits(plain[0]["layer"].bias)
    assert named_bits(masked[0]["rest"]) == named_bits(plain[0]["rest"])
    assert named_bits(decayed[0]["layer"]) != named_bits(plain[0]["layer"])


def test_without_decay_the_parameters_are_not_needed() -> None:
    params = example()
    optimizer = adamax_transform()
    state = optimizer.init(params)
    assert named_bits(optimizer.update(params, state)) == named_bits(
        optimizer.update(params, state, params)
    )


def test_an_empty_tree_steps_to_an_empty_tree() -> None:
    optimizer = adamax_transform()
    updates, state = optimizer.update({}, optimizer.init({}), {})
    assert updates == state.mu == state.nu == {}


def test_inputs_are_not_changed() -> None:
    params, grads = (jax.tree.map(np.array, example()) for _ in range(2))
    optimizer = adamax_transform(weight_decay=0.1, maximize=True)
    before = named_bits((params, grads))
    optimizer.update(grads, optimizer.init(params), params)
    assert named_bits((params, grads)) == before


@pytest.mark.parametrize("learning_rate", [0.125, lambda count: 0.125 * (count + 1)])
def test_inject_hyperparams_makes_them_arrays(learning_rate: Any) -> None:
    params = example()
    injected = optax.inject_hyperparams(adamax_transform)(
        learning_rate=learning_rate, b1=0.75, b2=0.875, eps=0.25
    )
    state = injected.init(params)
    one, state = jax.jit(injected.update)(params, state, params)
    assert state.hyperparams["learning_rate"] == 0.125
    plain = adamax_transform(0.125, b1=0.75, b2=0.875, eps=0.25)
    expected, _ = jax.jit(plain.update)(params, plain.init(params), params)
    # All is exact on these numbers but two bias corrections, each within 4 units of roundoff (N-3),
    # and two roundings after each.
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(expected), strict=True):
        assert (abs(left - right) <= 12 * 2.0**-24 * abs(right)).all()


def test_a_static_weight_decay_of_zero_needs_no_parameters() -> None:
    """An injected decay is a traced array of unknown value; a static one is a number."""
    params = example()
    injected = optax.inject_hyperparams(adamax_transform, static_args=("weight_decay",))(0.125)
    updates, _ = injected.update(params, injected.init(params))
    assert float(updates["layer"].bias) > 0


def test_the_initial_state_is_zero_with_int32_counts() -> None:
    state = adamax_transform().init(example())
    assert isinstance(state, AdamaxState)
    assert len(state.steps) == 4
    assert {(each.shape, each.dtype.name) for each in (state.count, *state.steps)} == {
        ((), "int32")
    }
    assert not any(leaf.any() for leaf in jax.tree.leaves(state))


def test_a_decay_that_is_known_to_be_zero_reads_no_parameter() -> None:
    _, state = run(adamax_transform(weight_decay=jnp.float32(0)), jnp.array([jnp.inf]), jnp.ones(1))
    assert np.isfinite(state.mu).all()
