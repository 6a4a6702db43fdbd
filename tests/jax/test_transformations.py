"""`adamax_transform` under JAX's transformations: one program, one carry, any derivative."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adamax_jax import adamax_transform
from adamax_jax.transform import _compiled
from jax_steps import bits
from marks import first_fast

NAMES = ["learning_rate", "b1", "b2", "eps", "weight_decay"]
VALUES: dict[str, Any] = {
    "learning_rate": 0.125,
    "b1": 0.75,
    "b2": 0.875,
    "eps": 0.25,
    "weight_decay": 0.125,
}


def loss(params: Any) -> jax.Array:
    return sum((jnp.sum((leaf - 3) ** 2) for leaf in jax.tree.leaves(params)), jnp.array(0.0))


def example(dtype: Any = jnp.float32) -> dict[str, jax.Array]:
    return {"w": jnp.array([[1, -2], [0.5, 3]], dtype), "b": jnp.array(-1, dtype)}


def step(carry: Any, optimizer: Any) -> Any:
    params, state = carry
    updates, state = optimizer.update(jax.grad(loss)(params), state, params)
    return optax.apply_updates(params, updates), state


def trained(hyper: dict[str, Any], params: Any, steps: int, *, remat: bool = False) -> Any:
    """The parameters after so many steps of a scan."""
    optimizer = adamax_transform(**hyper)
    body = jax.checkpoint(lambda carry: step(carry, optimizer)) if remat else None
    final, _ = jax.lax.scan(
        lambda carry, _: (body(carry) if body else step(carry, optimizer), None),
        (params, optimizer.init(params)),
        length=steps,
    )
    return final[0]


def test_an_outer_jit_sees_one_inner_function_for_leaves() -> None:
    params = example()
    optimizer = adamax_transform(**VALUES)
    jaxpr = jax.make_jaxpr(optimizer.update)(params, optimizer.init(params), params)
    assert "_advance" not in str(jaxpr)
    assert {eqn.params["name"] for eqn in jaxpr.eqns if "jaxpr" in eqn.params} == {"step_leaf"}


def test_eager_updates_compile_once() -> None:
    params = {"only here": jnp.ones(17)}
    optimizer = adamax_transform(lambda count: 0.1 / (count + 1))
    state = optimizer.init(params)
    programs: Any = _compiled
    before = programs._cache_size()
    for _ in range(4):
        _, state = optimizer.update(params, state, params)
    assert programs._cache_size() == before + 1
    assert state.steps == (4,)


def test_leaves_on_several_devices_stay_there() -> None:
    first, second = jax.devices()[:2]
    params = {"a": jax.device_put(jnp.ones(2), first), "b": jax.device_put(jnp.ones(2), second)}
    optimizer = adamax_transform(0.1)
    state = optimizer.init(params)
    for _ in range(2):
        updates, state = optimizer.update(params, state, params)
        params = optax.apply_updates(params, updates)
    for tree in (params, updates, state.mu, state.nu):
        assert tree["a"].devices() == {first}
        assert tree["b"].devices() == {second}
    together = jax.device_put({"a": jnp.ones(2), "b": jnp.ones(2)}, first)
    state = optimizer.init(together)
    for _ in range(2):
        updates, state = optimizer.update(together, state, together)
        together = optax.apply_updates(together, updates)
    assert bits(params) == bits(together)


def test_while_loop_carries_the_state() -> None:
    optimizer = adamax_transform(0.1, weight_decay=0.1)
    params = example()
    start = (params, optimizer.init(params))
    looped = jax.lax.while_loop(
        lambda carry: carry[1].count < 3, lambda carry: step(carry, optimizer), start
    )
    stepped = start
    for _ in range(3):
        stepped = jax.jit(step, static_argnums=1)(stepped, optimizer)
    assert bits(looped) == bits(stepped)


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
@pytest.mark.parametrize("state_dtype", [None, "float32"])
@pytest.mark.parametrize("grad_dtype", [None, "float32"])
def test_the_types_of_the_state_never_change(
    x64: bool, dtype: str, state_dtype: str | None, grad_dtype: str | None
) -> None:
    """No weak types and no dtype changes, for all gradients, in 32-bit and 64-bit mode."""
    with jax.enable_x64(x64):
        params = example(dtype)
        kind = dtype if grad_dtype is None or dtype == "complex64" else grad_dtype
        grads = jax.tree.map(lambda p: p.astype(kind), params)
        optimizer = adamax_transform(0.1, weight_decay=0.1, state_dtype=state_dtype)
        state = optimizer.init(params)
        types = jax.tree.map(jax.typeof, state)
        assert not any(leaf.weak_type for leaf in jax.tree.leaves(types))
        for update in (optimizer.update, jax.jit(optimizer.update)):
            updates, after = update(grads, state, params)
            assert jax.tree.map(jax.typeof, after) == types
            assert jax.tree.map(jax.typeof, updates) == jax.tree.map(jax.typeof, params)


def test_eval_shape_allocates_nothing_and_is_correct() -> None:
    params = example(jnp.bfloat16)
    shapes = jax.eval_shape(lambda: params)
    optimizer = adamax_transform(0.1, state_dtype=jnp.float32)
    state = jax.eval_shape(optimizer.init, shapes)
    updates, after = jax.eval_shape(optimizer.update, shapes, state, shapes)
    real = optimizer.init(params)
    for one, other in ((state, real), (after, real), (updates, params)):
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), one) == jax.tree.map(
            lambda leaf: (leaf.shape, leaf.dtype), other
        )
    # init takes shapes too, as optax's does, and gives arrays.
    assert bits(optimizer.init(shapes)) == bits(real)


def test_donation_does_not_change_the_step() -> None:
    optimizer = adamax_transform(0.1, weight_decay=0.1)
    kept = donated = (example(), optimizer.init(example()))
    plain = jax.jit(step, static_argnums=1)
    reusing = jax.jit(step, static_argnums=1, donate_argnums=0)
    donated = jax.tree.map(jnp.copy, kept)
    for _ in range(3):
        before = donated
        kept, donated = plain(kept, optimizer), reusing(donated, optimizer)
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before[0]))
    assert bits(donated) == bits(kept)


@pytest.mark.parametrize("name", NAMES)
def test_vmap_over_a_hyperparameter_is_one_training_after_the_other(name: str) -> None:
    values = jnp.array([0.0, 0.25, 0.5])
    together = jax.vmap(lambda value: trained(VALUES | {name: value}, example(), 3))(values)
    for index, value in enumerate(values):
        alone = jax.jit(lambda value: trained(VALUES | {name: value}, example(), 3))(value)
        for one, other in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            # A compiler may contract one of the two: three steps of fewer than eight roundings.
            assert (abs(one[index] - other) <= 24 * jnp.spacing(jnp.maximum(abs(other), 3))).all()


def test_vmap_over_models_is_one_model_after_the_other() -> None:
    optimizer = adamax_transform(0.1, weight_decay=0.1)
    models = jax.tree.map(lambda p: jnp.stack([p, p + 1, 2 * p]), example())
    states = jax.vmap(optimizer.init)(models)
    updates, states = jax.vmap(optimizer.update)(models, states, models)
    assert {each.shape for each in (states.count, *states.steps)} == {(3,)}
    for index in range(3):
        model = jax.tree.map(lambda p, i=index: p[i], models)
        expected = optimizer.update(model, optimizer.init(model), model)
        assert bits(jax.tree.map(lambda p, i=index: p[i], (updates, states))) == bits(expected)


@pytest.mark.parametrize("name", first_fast(NAMES))
def test_forward_and_reverse_mode_agree_through_a_scan(name: str) -> None:
    """Both modes compute the same sum of products, up to the roundings of 30 steps."""
    with jax.enable_x64(True):

        def final(value: Any) -> jax.Array:
            return loss(trained(VALUES | {name: value}, example(jnp.float64), 30))

        value = jnp.float64(VALUES[name])
        reverse, forward = jax.jit(jax.grad(final))(value), jax.jit(jax.jacfwd(final))(value)
        remat = jax.jit(
            jax.grad(
                lambda v: loss(trained(VALUES | {name: v}, example(jnp.float64), 30, remat=True))
            )
        )(value)
        assert np.isfinite(reverse)
        assert reverse != 0
        for other in (forward, remat):
            assert abs(other - reverse) <= 30 * 64 * np.spacing(abs(reverse))


def test_the_jacobian_by_all_hyperparameters_at_once() -> None:
    with jax.enable_x64(True):
        values = jnp.array([VALUES[name] for name in NAMES])

        def final(values: jax.Array) -> Any:
            hyper = dict(zip(NAMES, values, strict=True))
            return trained(hyper, {"w": jnp.array([1.0, -2.0])}, 4)["w"]

        jacobian = jax.jacrev(final)(values)
        assert jacobian.shape == (2, 5)
        assert jnp.isfinite(jacobian).all()
        assert (
            abs(jacobian - jax.jacfwd(final)(values)) <= 4 * 64 * np.spacing(abs(jacobian))
        ).all()


@pytest.mark.parametrize("jit", [False, True])
def test_debug_nans_sees_none_in_a_zero_first_gradient(jit: bool) -> None:
    params = {"w": jnp.zeros(3, jnp.float16)}
    optimizer = adamax_transform()
    with jax.debug_nans(True):
        update = jax.jit(optimizer.update) if jit else optimizer.update
        updates, state = update(params, optimizer.init(params), params)
        assert not updates["w"].any()
        with pytest.raises(FloatingPointError):
            update({"w": jnp.array([jnp.nan, 0, 0], jnp.float16)}, state, params)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("hyper", [jnp.bfloat16, jnp.float32, float])
def test_strict_promotion_takes_any_hyperparameters(dtype: str, hyper: Any) -> None:
    with jax.enable_x64(dtype == "float64"), jax.numpy_dtype_promotion("strict"):
        params = example(dtype)
        optimizer = adamax_transform(*(hyper(VALUES[name]) for name in NAMES[:4]))
        updates, _ = optimizer.update(params, optimizer.init(params), params)
        assert updates["w"].dtype == dtype


def test_jax_gradients_of_complex_parameters_descend_when_conjugated() -> None:
    """JAX's gradient of a real loss is the conjugate of the direction of ascent."""
    target = jnp.array([1 + 2j, -3 - 0.5j], jnp.complex64)

    def distance(z: jax.Array) -> jax.Array:
        return jnp.sum(jnp.abs(z - target) ** 2)

    params = jnp.zeros(2, jnp.complex64)
    optimizer = adamax_transform(0.5)
    grads = jax.grad(distance)(params)
    updates, _ = optimizer.update(grads.conj(), optimizer.init(params), params)
    # Each part steps towards its target.
    assert jnp.sign(updates.real).tolist() == [1, -1]
    assert jnp.sign(updates.imag).tolist() == [1, -1]
    wrong, _ = optimizer.update(grads, optimizer.init(params), params)
    assert jnp.sign(wrong.imag).tolist() == [-1, 1]


def test_a_new_b1_compiles_nothing() -> None:
    """Outside jit b1 is an argument, with what is computed from it in float64."""
    params = {"of this test alone": jnp.ones(19)}
    programs: Any = _compiled
    before = programs._cache_size()
    for trial in range(5):
        optimizer = adamax_transform(0.1, b1=trial / 8)
        optimizer.update(params, optimizer.init(params), params)
    assert programs._cache_size() == before + 1


@pytest.mark.slow
def test_patterns_of_missing_gradients_share_a_program() -> None:
    """One where none is missing, and one for all others, whose leaves keep every bit."""
    nan = jnp.full(3, jnp.nan)
    params = {f"expert {index}": jnp.arange(3.0) + index for index in range(4)} | {"nan": nan}
    optimizer = adamax_transform(0.1, weight_decay=0.1)
    _, state = optimizer.update(params, optimizer.init(params), params)
    programs: Any = _compiled
    before = programs._cache_size()
    for pattern in range(31):
        present = {name: pattern >> index & 1 for index, name in enumerate(params)}
        grads = {name: params[name] if here else None for name, here in present.items()}
        updates, after = optimizer.update(grads, state, params)
        expected, wanted = jax.jit(optimizer.update)(grads, state, params)
        assert bits((updates, after)) == bits((expected, wanted))
        for index, (name, here) in enumerate(sorted(present.items())):
            assert after.steps[index] == 1 + here
            if not here:
                assert bits([updates[name]]) == bits([jnp.zeros(3)])
                assert bits([after.mu[name], after.nu[name]]) == bits(
                    [state.mu[name], state.nu[name]]
                )
    assert programs._cache_size() == before + 1
