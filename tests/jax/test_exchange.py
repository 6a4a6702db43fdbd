"""State to and from optax.adamax, and through Orbax's checkpoints."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from adamax_jax import AdamaxState, adamax_transform, from_optax_state, to_optax_state
from jax_steps import bits

PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([0.25, -1.0])}


def grads(seed: int, scale: float = 1.0) -> Any:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda p: jnp.array(scale * rng.normal(size=p.shape), p.dtype), PARAMS)


def trained(optimizer: Any, steps: int, scale: float = 1.0, params: Any = PARAMS) -> Any:
    state = optimizer.init(params)
    for seed in range(steps):
        updates, state = optimizer.update(grads(seed, scale), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize("steps", [0, 1, 5])
@pytest.mark.parametrize(
    "theirs",
    [
        optax.adamax(0.1),
        optax.adamax(optax.linear_schedule(0.1, 0.01, 10)),
        optax.adamaxw(0.1),
    ],
    ids=["adamax", "schedule", "adamaxw"],
)
def test_there_and_back_keeps_every_bit(theirs: Any, steps: int) -> None:
    _, state = trained(theirs, steps)
    ours = optax.chain(optax.clip(1.0), adamax_transform(0.1))
    converted = from_optax_state(state, ours.init(PARAMS))
    assert converted[1].steps == (steps, steps)
    assert int(converted[1].count) == steps
    back = to_optax_state(converted, theirs.init(PARAMS))
    for name in ("mu", "nu"):
        assert bits(optax.tree.get(back, name)) == bits(optax.tree.get(state, name))
    kinds = optax.ScaleByAdamState, optax.ScaleByScheduleState
    counts = [
        int(node.count)
        for node in jax.tree.leaves(back, is_leaf=lambda node: isinstance(node, kinds))
        if isinstance(node, kinds)
    ]
    assert set(counts) == {steps}


def labelled(make: Any) -> Any:
    return optax.multi_transform({"one": make(0.1), "two": make(0.01)}, {"w": "one", "b": "two"})


WRAPPERS: dict[str, Any] = {
    "MultiSteps": lambda make: optax.MultiSteps(make(0.1), 4).gradient_transformation(),
    "MultiSteps of a schedule": lambda make: optax.MultiSteps(
        make(optax.linear_schedule(0.1, 0.01, 3)), 4
    ).gradient_transformation(),
    "injected": lambda make: optax.inject_hyperparams(make)(0.1),
    "injected schedule": lambda make: optax.inject_hyperparams(make)(
        optax.linear_schedule(0.1, 0.0, 20)
    ),
    "two labels": labelled,
    "masked": lambda make: optax.masked(make(0.1), {"w": True, "b": False}),
    "ema": lambda make: optax.chain(make(0.1), optax.ema(0.9)),
    "two averages": lambda make: optax.chain(optax.ema(0.9), make(0.1), optax.ema(0.5)),
    "trace": lambda make: optax.chain(optax.trace(0.9), make(0.1)),
    "noise": lambda make: optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(1)), make(0.1)),
    "schedule behind": lambda make: optax.chain(
        make(1.0), optax.scale_by_schedule(optax.linear_schedule(0.1, 0.01, 9))
    ),
    "schedule before": lambda make: optax.chain(
        optax.scale_by_schedule(optax.linear_schedule(0.1, 0.01, 9)), make(0.1)
    ),
    "a schedule of its own and one behind": lambda make: optax.chain(
        make(optax.linear_schedule(1.0, 0.5, 9)),
        optax.scale_by_schedule(optax.linear_schedule(0.1, 0.01, 9)),
    ),
    "apply_every": lambda make: optax.chain(make(0.1), optax.apply_every(3)),
    "apply_if_finite": lambda make: optax.apply_if_finite(make(0.1), 3),
    "conditionally": lambda make: optax.conditionally_transform(
        make(0.1), lambda step, **_: step < 3
    ),
    "plateau": lambda make: optax.chain(
        make(0.1), optax.contrib.reduce_on_plateau(patience=1, cooldown=1)
    ),
    "clip by a quantile": lambda make: optax.chain(optax.adaptive_grad_clip(0.1), make(0.1)),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_what_other_transformations_hold_is_carried_to_the_last_bit(wrap: Any) -> None:
    theirs, ours = wrap(optax.adamax), wrap(adamax_transform)
    state, params = theirs.init(PARAMS), PARAMS
    for seed in range(7):
        _, state = theirs.update(grads(seed), state, params, value=1.0)
    converted = from_optax_state(state, ours.init(params))
    assert raw(to_optax_state(converted, theirs.init(params))) == raw(state)
    # What is injected, counted or accumulated goes on: the step after it is theirs.
    updates, _ = theirs.update(grads(7), state, params, value=1.0)
    mine, _ = ours.update(grads(7), converted, params, value=1.0)
    for one, other in zip(jax.tree.leaves(mine), jax.tree.leaves(updates), strict=True):
        # The bias correction of optax has lost at most half of its 24 digits here.
        assert (abs(one - other) <= 2.0**-12 * abs(other)).all()


def raw(state: Any) -> list[bytes]:
    keys = jax.dtypes.prng_key
    return bits(
        jax.tree.map(
            lambda x: jax.random.key_data(x) if jnp.issubdtype(jnp.result_type(x), keys) else x,
            state,
        )
    )


@pytest.mark.parametrize(
    ("name", "leaf"),
    [
        ("MultiSteps", r"\.mini_step"),
        ("injected", r"\.count"),
        ("ema", r"\[1\]\.count"),
        ("trace", r"\[0\]\.trace\['b'\]"),
    ],
)
def test_a_leaf_without_counterpart_is_named(name: str, leaf: str) -> None:
    theirs, ours = WRAPPERS[name](optax.adamax), WRAPPERS[name](adamax_transform)
    plain = adamax_transform(0.1)
    with pytest.raises(ValueError, match=f"^the state that is given holds {leaf}, which has no"):
        from_optax_state(theirs.init(PARAMS), plain.init(PARAMS))
    with pytest.raises(ValueError, match=f"^`fresh` holds {leaf}, which has no counterpart"):
        from_optax_state(optax.adamax(0.1).init(PARAMS), ours.init(PARAMS))


def test_a_leaf_of_another_shape_is_named() -> None:
    theirs = optax.chain(optax.trace(0.9), optax.adamax(0.1)).init(PARAMS)
    fresh = optax.chain(optax.trace(0.9), adamax_transform(0.1)).init(PARAMS)
    trace = fresh[0]._replace(trace=fresh[0].trace | {"b": jnp.ones(3)})
    with pytest.raises(ValueError, match=r"\[0\]\.trace\['b'\] has shape \(2,\), and \(3,\)"):
        from_optax_state(theirs, (trace, *fresh[1:]))


def test_training_continues_from_the_state_of_optax() -> None:
    """The moments of the next steps equal optax's; the bias correction is ours."""
    theirs, ours = optax.adamax(0.125, b1=0.75, b2=0.875), adamax_transform(0.125, 0.75, 0.875)
    params, state = trained(theirs, 3)
    mine = from_optax_state(state, ours.init(PARAMS), b1=0.75, b2=0.875)
    for seed in (7, 8):
        grad = grads(seed)
        _, state = jax.jit(theirs.update)(grad, state, params)
        _, mine = jax.jit(ours.update)(grad, mine, params)
    assert mine.steps == (5, 5)
    assert bits(mine.nu) == bits(optax.tree.get(state, "nu"))
    # A compiler may contract one of the sums: four roundings a step, of numbers below the largest.
    largest = max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves([grads(7), grads(8)]))
    for one, other in zip(mine.mu.values(), optax.tree.get(state, "mu").values(), strict=True):
        assert (abs(one - other) <= 2 * 4 * np.spacing(np.float32(largest))).all()


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.75), (0.0, 0.9), (0.9, 0.9)])
def test_every_state_of_adamax_is_accepted(
    scale: float, dtype: str, betas: tuple[float, float]
) -> None:
    params = jax.tree.map(lambda p: p.astype(dtype), PARAMS)
    theirs, ours = optax.adamax(0.1, *betas), adamax_transform(0.1, *betas)
    state = theirs.init(params)
    update = jax.jit(theirs.update)
    for seed in range(40):
        # Gradients that fade away leave the largest moments over the smallest norms.
        fading = jax.tree.map(
            lambda g: g.astype(dtype), grads(seed % 3, scale * 0.7 ** (seed % 20))
        )
        _, state = update(fading, state, params)
        from_optax_state(state, ours.init(params), b1=betas[0], b2=betas[1])


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 0.5])
@pytest.mark.parametrize("steps", [1, 3, 20])
@pytest.mark.parametrize("other", [optax.adam(0.1), optax.adamw(0.1), optax.nadam(0.1)])
def test_the_state_of_adam_raises(other: Any, steps: int, scale: float) -> None:
    _, state = trained(other, steps, scale)
    with pytest.raises(ValueError, match=r"mu\['.'\]\[\d.*It looks like Adam's, whose nu"):
        from_optax_state(state, adamax_transform().init(PARAMS))


def test_known_cases_in_which_the_state_of_adam_passes() -> None:
    """The limits that the module states: squares of large gradients, and a long run of noise."""
    theirs, fresh = optax.adam(0.1), adamax_transform().init(PARAMS)
    large = jax.tree.map(lambda p: 0 * p + 2e3, PARAMS)
    _, squares = theirs.update(large, theirs.init(PARAMS), PARAMS)
    keys = jax.random.split(jax.random.key(0), 3000)
    noise = jax.vmap(lambda key: {"w": jax.random.normal(key, (2, 2)), "b": jnp.ones(2)})(keys)
    noisy, _ = jax.lax.scan(
        lambda state, grads: (theirs.update(grads, state, PARAMS)[1], None),
        theirs.init(PARAMS),
        noise | {"b": noise["w"][:, 0]},
    )
    for state in (squares, noisy):
        passed = from_optax_state(state, fresh)
        assert bits(passed.mu) == bits(optax.tree.get(state, "mu"))
        assert bits(passed.nu) == bits(optax.tree.get(state, "nu"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3])
def test_grad_dtype_allows_for_less_precise_gradients(dtype: str, scale: float) -> None:
    theirs = optax.adamax(0.1)
    state, fresh = theirs.init(PARAMS), adamax_transform().init(PARAMS)
    for seed in (0, 0, 1):
        coarse = jax.tree.map(lambda g: g.astype(dtype), grads(seed, scale))
        _, state = theirs.update(coarse, state, PARAMS)
        from_optax_state(state, fresh, grad_dtype=dtype)


def test_a_state_of_several_models_raises() -> None:
    models = jax.tree.map(lambda p: jnp.stack([p, p]), PARAMS)
    theirs, ours = (jax.vmap(each.init)(models) for each in (optax.adamax(0.1), adamax_transform()))
    for carry, state, fresh in (
        (from_optax_state, theirs, ours),
        (to_optax_state, ours, theirs),
    ):
        with pytest.raises(ValueError, match=r"the count has shape \(2,\): the state of several"):
            carry(state, fresh)


def test_the_converted_state_is_a_copy_on_the_devices_of_the_fresh_state() -> None:
    device = jax.devices()[1]
    theirs, ours = optax.adamax(optax.constant_schedule(0.1)), adamax_transform()
    _, state = trained(theirs, 2)
    fresh = ours.init(jax.device_put(PARAMS, device))
    carried = from_optax_state(state, fresh)
    assert carried.mu["w"].devices() == {device}
    back = to_optax_state(from_optax_state(state, ours.init(PARAMS)), state)
    pointers = [
        leaf.unsafe_buffer_pointer()
        for leaf in jax.tree.leaves((state, back))
        if leaf.ndim or leaf.size
    ]
    assert len(set(pointers)) == len(pointers)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (optax.sgd(0.1).init(PARAMS), "it has no ScaleByAdamState for 1 AdamaxState"),
        (
            optax.amsgrad(0.1).init(PARAMS),
            "it has no ScaleByAdamState for 1 AdamaxState",
        ),
        ((optax.adam(0.1).init(PARAMS),) * 2, "it has 2 ScaleByAdamState for 1 AdamaxState"),
        (optax.adamax(0.1).init({"w": PARAMS["w"]}), "mu does not have the structure"),
        (optax.adamax(0.1).init(PARAMS | {"b": jnp.ones(3)}), r"mu\['b'\] has shape \(3,\), its"),
    ],
    ids=["sgd", "amsgrad", "two", "structure", "shape"],
)
def test_a_tree_without_exactly_one_state_raises(state: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_optax_state(state, adamax_transform().init(PARAMS))


def test_complex_moments_raise() -> None:
    pairs = PARAMS | {"b": jnp.ones(2) * 1j}
    theirs, ours = optax.adamax(0.1), adamax_transform()
    with pytest.raises(TypeError, match=r"^mu\['b'\] is complex: optax's norm is of the modulus"):
        from_optax_state(theirs.init(pairs), ours.init(pairs))
    with pytest.raises(TypeError, match=r"^mu\['b'\] is complex: optax's norm is of the modulus"):
        to_optax_state(ours.init(pairs), theirs.init(pairs))


def test_a_moment_that_optax_lost_raises_and_says_so() -> None:
    theirs = optax.adamax(0.1)
    _, state = theirs.update(grads(1) | {"b": None}, theirs.init(PARAMS))
    with pytest.raises(ValueError, match="loses the moments of a parameter that had no gradient"):
        from_optax_state(state, adamax_transform().init(PARAMS))


def test_different_step_counts_raise() -> None:
    ours = adamax_transform(0.1)
    _, state = ours.update(grads(1) | {"b": None}, ours.init(PARAMS))
    message = r"parameter \['b'\] has taken 0 steps and \['w'\] 1; optax has one count for all"
    with pytest.raises(ValueError, match=message):
        to_optax_state(state, optax.adamax(0.1).init(PARAMS))


def test_the_fresh_state_decides_the_dtypes() -> None:
    _, state = trained(optax.adamax(0.1), 2)
    halves = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    converted = from_optax_state(state, adamax_transform().init(halves))
    assert {leaf.dtype.name for leaf in jax.tree.leaves((converted.mu, converted.nu))} == {
        "bfloat16"
    }


def test_orbax_saves_and_restores_a_training_to_the_last_bit(tmp_path: Path) -> None:
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        adamax_transform(optax.linear_schedule(0.1, 0.01, 10), weight_decay=0.1),
    )
    params, state = trained(optimizer, 3)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "three", {"params": params, "state": state})
        checkpointer.wait_until_finished()
        like = jax.eval_shape(lambda: {"params": params, "state": optimizer.init(params)})
        restored = checkpointer.restore(tmp_path / "three", like)
    assert isinstance(restored["state"][1], AdamaxState)
    assert bits(restored) == bits({"params": params, "state": state})
    for seed in (7, 8):
        updates, state = optimizer.update(grads(seed), state, params)
        params = optax.apply_updates(params, updates)
        updates, restored["state"] = optimizer.update(
            grads(seed), restored["state"], restored["params"]
        )
        restored["params"] = optax.apply_updates(restored["params"], updates)
    assert bits(restored) == bits({"params": params, "state": state})
