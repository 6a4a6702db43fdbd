"""`adamax_transform` inside optax's wrappers, and optax's tools on its state."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

from adamax_jax import AdamaxState, adamax_transform
from jax_steps import bits

PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([0.25, -1.0])}
GRADS = [
    {"w": jnp.array([[0.5, 1.0], [-2.0, 0.25]]), "b": jnp.array([1.0, -0.5])},
    {"w": jnp.array([[-1.0, 0.5], [0.0, 2.0]]), "b": jnp.array([0.125, 4.0])},
    {"w": jnp.array([[2.0, 0.0], [1.0, -0.25]]), "b": jnp.array([-3.0, 0.5])},
]


def run(optimizer: Any, params: Any = PARAMS, grads: Any = GRADS) -> tuple[Any, Any]:
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for grad in grads:
        updates, state = update(grad, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def one_leaf(optimizer: Any, name: str) -> Any:
    """Train one leaf alone."""
    return run(optimizer, PARAMS[name], [grad[name] for grad in GRADS])[0]


def test_named_chain() -> None:
    named = optax.named_chain(("clip", optax.clip(1.0)), ("adamax", adamax_transform(0.1)))
    after, state = run(named)
    assert bits(after) == bits(run(optax.chain(optax.clip(1.0), adamax_transform(0.1)))[0])
    assert isinstance(state["adamax"], AdamaxState)


def test_masked_steps_the_chosen_leaves_and_passes_the_others_through() -> None:
    after, state = run(optax.masked(adamax_transform(0.1), {"w": True, "b": False}))
    assert bits(after["w"]) == bits(one_leaf(adamax_transform(0.1), "w"))
    # optax passes a masked leaf's gradient on as it is.
    assert bits(after["b"]) == bits(PARAMS["b"] + GRADS[0]["b"] + GRADS[1]["b"] + GRADS[2]["b"])
    assert state.inner_state.steps == (3,)


@pytest.mark.parametrize("wrapper", [optax.multi_transform, optax.partition])
def test_labels_choose_the_optimizer_and_frozen_leaves_stay(wrapper: Callable[..., Any]) -> None:
    parts = {"train": adamax_transform(0.1), "freeze": optax.set_to_zero()}
    after, _ = run(wrapper(parts, {"w": "train", "b": "freeze"}))
    assert bits(after["w"]) == bits(one_leaf(adamax_transform(0.1), "w"))
    assert bits(after["b"]) == bits(PARAMS["b"])


@pytest.mark.parametrize("jit", [False, True])
def test_every_hyperparameter_can_be_injected(jit: bool) -> None:
    """Dyadic hyperparameters, whose products are exact in float32."""
    numbers = {
        "learning_rate": 0.125, "b1": 0.75, "b2": 0.875, "eps": 0.25, "weight_decay": 0.5,
    }  # fmt: skip
    injected = optax.inject_hyperparams(adamax_transform)(**numbers)
    state = injected.init(PARAMS)
    assert {name: float(value) for name, value in state.hyperparams.items()} == numbers
    update = jax.jit(injected.update) if jit else injected.update
    plain = adamax_transform(0.125, 0.75, 0.875, 0.25, weight_decay=0.5)
    expected = plain.init(PARAMS)
    for grad in GRADS:
        updates, state = update(grad, state, PARAMS)
        wanted, expected = jax.jit(plain.update)(grad, expected, PARAMS)
        assert bits(state.inner_state.mu) == bits(expected.mu)
        assert bits(state.inner_state.nu) == bits(expected.nu)
        # The bias correction alone is not exact; both are within two units.
        for one, other in zip(jax.tree.leaves(updates), jax.tree.leaves(wanted), strict=True):
            assert (abs(one - other) <= 4 * jnp.spacing(abs(other))).all()


@pytest.mark.parametrize("name", ["learning_rate", "b1", "b2", "eps", "weight_decay"])
def test_an_injected_value_outside_its_domain_raises_outside_jit(name: str) -> None:
    injected = optax.inject_hyperparams(adamax_transform)(**{"learning_rate": 0.1, name: 0.5})
    state = injected.init(PARAMS)
    state.hyperparams[name] = jnp.float32(-1)
    with pytest.raises(ValueError, match=f"^{name} = -1.0 is outside its domain"):
        injected.update(GRADS[0], state, PARAMS)
    jax.jit(injected.update)(GRADS[0], state, PARAMS)  # a tracer passes


def test_multi_steps_is_a_step_of_the_mean() -> None:
    after, state = run(optax.MultiSteps(adamax_transform(0.1), 3))
    total = jax.tree.map(lambda *g: g[0] + (g[1] - g[0]) / 2, *GRADS[:2])
    mean = jax.tree.map(lambda t, g: t + (g - t) / 3, total, GRADS[2])
    assert bits(after) == bits(run(adamax_transform(0.1), PARAMS, [mean])[0])
    assert state.inner_opt_state.steps == (1, 1)


def test_apply_if_finite_skips_a_step_and_its_count() -> None:
    bad = GRADS[0] | {"b": jnp.array([jnp.nan, 0.0])}
    optimizer = optax.apply_if_finite(adamax_transform(0.1), max_consecutive_errors=2)
    after, state = run(optimizer, PARAMS, [GRADS[0], bad, GRADS[1]])
    expected, inner = run(adamax_transform(0.1), PARAMS, GRADS[:2])
    assert bits(after) == bits(expected)
    assert bits(state.inner_state) == bits(inner)


def test_lookahead_steps_the_fast_parameters() -> None:
    optimizer = optax.lookahead(adamax_transform(0.1), sync_period=5, slow_step_size=0.5)
    both = optax.LookaheadParams.init_synced(PARAMS)
    after, _ = run(optimizer, both)
    # Three steps are too few to synchronize.
    assert bits(after.fast) == bits(run(adamax_transform(0.1))[0])
    assert bits(after.slow) == bits(PARAMS)


def test_flatten_makes_one_leaf_of_all() -> None:
    after, state = run(optax.flatten(adamax_transform(0.1)))
    assert bits(after) == bits(run(adamax_transform(0.1))[0])
    assert state.steps == (3,)


def test_extra_arguments_are_ignored() -> None:
    optimizer = optax.with_extra_args_support(adamax_transform(0.1))
    state = optimizer.init(PARAMS)
    with_extra = optimizer.update(GRADS[0], state, PARAMS, value=jnp.array(1.0))
    assert bits(with_extra) == bits(adamax_transform(0.1).update(GRADS[0], state, PARAMS))


@pytest.mark.parametrize(
    "schedule",
    [
        optax.constant_schedule(0.1),
        optax.warmup_cosine_decay_schedule(0.0, 0.1, 2, 10),
        optax.piecewise_constant_schedule(0.1, {1: 0.5}),
        optax.linear_onecycle_schedule(10, 0.1),
    ],
)
def test_a_schedule_gives_the_rate_of_each_update(schedule: optax.Schedule) -> None:
    optimizer = adamax_transform(schedule)
    state = optimizer.init(PARAMS)
    for count, grad in enumerate(GRADS):
        rate = jnp.asarray(schedule(count), jnp.float32)
        expected = adamax_transform(rate).update(grad, state, PARAMS)[0]
        updates, state = optimizer.update(grad, state, PARAMS)
        assert bits(updates) == bits(expected)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("decoupled", [False, True])
def test_a_schedule_gives_the_decay_of_each_update(decoupled: bool, jit: bool) -> None:
    """As of optax.adamaxw. The decays are 1/2, 5/16 and 1/8."""
    schedule = optax.linear_schedule(0.5, 0.125, 2)

    def stepper(decay: Any) -> Any:
        made = adamax_transform(0.125, weight_decay=decay, decoupled_weight_decay=decoupled)
        return jax.jit(made.update) if jit else made.update

    step, state = stepper(schedule), adamax_transform().init(PARAMS)
    for decay, grad in zip((0.5, 0.3125, 0.125), GRADS, strict=True):
        expected = stepper(decay)(grad, state, PARAMS)
        updates, state = step(grad, state, PARAMS)
        assert bits((updates, state)) == bits(expected)
    with pytest.raises(ValueError, match="needs the parameters"):
        step(GRADS[0], state)


def test_a_chain_without_the_learning_rate_begins_with_a_rate_of_one() -> None:
    """LAMB's with the infinity norm: the updates are scaled after, and so is the rate."""
    optimizer = optax.chain(adamax_transform(1.0), optax.scale_by_trust_ratio(), optax.scale(0.5))
    unit, _ = adamax_transform(1.0).update(GRADS[0], adamax_transform(1.0).init(PARAMS), PARAMS)
    updates, _ = optimizer.update(GRADS[0], optimizer.init(PARAMS), PARAMS)
    for name, update in updates.items():
        # Two norms of at most four squares, their quotient and two products: eight roundings.
        ratio = jnp.linalg.norm(PARAMS[name]) / jnp.linalg.norm(unit[name])
        assert (jnp.sign(update) == jnp.sign(unit[name])).all()
        assert (abs(update - 0.5 * ratio * unit[name]) <= 8 * jnp.spacing(abs(update))).all()


def test_map_params_finds_the_moments_and_nothing_else() -> None:
    optimizer = optax.chain(optax.clip(1.0), adamax_transform(0.1))
    state = optimizer.init(PARAMS)
    _, mapped = optax.tree.map_params(
        optimizer, lambda _: "moment", state, transform_non_params=lambda _: "other"
    )
    moments = {"w": "moment", "b": "moment"}
    assert mapped == AdamaxState("other", moments, moments, "other")  # type: ignore[arg-type]  # names for arrays


def test_get_and_set_reach_into_a_chain() -> None:
    optimizer = optax.chain(optax.clip(1.0), adamax_transform(0.1))
    state = optimizer.init(PARAMS)
    steps = (jnp.int32(5), jnp.int32(7))
    changed = optax.tree.set(state, count=jnp.int32(7), steps=steps)
    assert optax.tree.get(changed, "steps") == (5, 7)
    assert int(optax.tree.get(changed, "count")) == 7
    assert bits(optax.tree.get(changed, "mu")) == bits(optax.tree.get(state, "mu"))
    _, stepped = optimizer.update(GRADS[0], changed, PARAMS)
    assert optax.tree.get(stepped, "count") == 8
    assert optax.tree.get(stepped, "steps") == (6, 8)


@pytest.mark.parametrize("jit", [False, True])
def test_injecting_the_learning_rate_needs_no_parameters(jit: bool) -> None:
    """weight_decay is not passed, so it is not injected as a traced array."""
    injected = optax.inject_hyperparams(adamax_transform)(learning_rate=0.125)
    state = injected.init(PARAMS)
    assert "weight_decay" not in state.hyperparams
    update = jax.jit(injected.update) if jit else injected.update
    updates, _ = update(GRADS[0], state)
    assert bits(updates["w"]) == bits(-0.125 * jnp.sign(GRADS[0]["w"]))


def test_injecting_a_decay_needs_the_parameters_and_says_so() -> None:
    injected = optax.inject_hyperparams(adamax_transform)(learning_rate=0.125, weight_decay=0.0)
    with pytest.raises(ValueError, match="leave weight_decay out, or name it in static_args"):
        jax.jit(injected.update)(GRADS[0], injected.init(PARAMS))
