"""Leaves of every kind: trained, untrained, and masked from weight decay."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adamax_jax import adamax_transform
from jax_steps import bits

FLOAT0 = jax.dtypes.float0
UNTRAINED: dict[str, Any] = {
    name: np.zeros(3, jnp.dtype(name))
    for name in (
        "bool", "int2", "int4", "int8", "int16", "int32", "int64",
        "uint2", "uint4", "uint8", "uint16", "uint32", "uint64",
    )
} | {
    "key": jax.random.key(0),
    "keys": jax.random.split(jax.random.key(0)),
    "raw key": jax.random.PRNGKey(0),
    "NumPy": np.arange(3),
    "number": 3,
}  # fmt: skip
TRAINED = [
    "float4_e2m1fn", "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn",
    "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "bfloat16", "float16", "float32",
    "float64", "complex64", "complex128",
]  # fmt: skip


@pytest.mark.parametrize("jit", [False, True], ids=["not compiled", "compiled"])
@pytest.mark.parametrize("kind", UNTRAINED)
@pytest.mark.parametrize("missing", [True, False], ids=["None", "float0"])
def test_leaves_that_are_not_floating_point_have_no_state_and_do_not_change(
    kind: str, jit: bool, missing: bool
) -> None:
    with jax.enable_x64("64" in kind):
        leaf = UNTRAINED[kind]
        leaf = jnp.asarray(leaf) if kind.rstrip("0123456789") in ("bool", "int", "uint") else leaf
        params = {"w": jnp.array([1.0, -2.0]), "fixed": leaf}
        optimizer = adamax_transform(0.1, weight_decay=0.1, mask=jax.tree.map(np.ndim, params))
        state = optimizer.init(params)
        assert state.mu["fixed"] is state.nu["fixed"] is None
        assert len(state.steps) == 1
        nothing = None if missing else np.zeros(np.shape(leaf), FLOAT0)
        update = jax.jit(optimizer.update) if jit else optimizer.update
        updates, after = update({"w": params["w"], "fixed": nothing}, state, params)
        given = updates.pop("fixed")
        assert given is None if missing else given.dtype == FLOAT0
        alone = {"w": params["w"]}
        plain = adamax_transform(0.1, weight_decay=0.1, mask={"w": True})
        assert bits((updates, after)) == bits(plain.update(alone, plain.init(alone), alone))


@pytest.mark.parametrize("kind", UNTRAINED)
@pytest.mark.parametrize("grad", [jnp.ones(3), jnp.zeros(3, int), 0.0, {"deeper": 1}])
def test_a_gradient_of_an_untrained_leaf_raises(kind: str, grad: Any) -> None:
    params = {"w": jnp.ones(2), "fixed": UNTRAINED[kind]}
    optimizer = adamax_transform()
    with pytest.raises(TypeError, match=r"^grads\['fixed'\] has dtype .* is not trained"):
        optimizer.update({"w": jnp.ones(2), "fixed": grad}, optimizer.init(params), params)


@pytest.mark.parametrize("dtype", TRAINED)
def test_floating_point_leaves_are_trained(dtype: str) -> None:
    with jax.enable_x64(dtype in ("float64", "complex128")):
        params = {"w": jnp.ones(2, dtype)}
        optimizer = adamax_transform(0.5, b1=0.5, eps=0.0)
        updates, state = optimizer.update(params, optimizer.init(params), params)
        assert updates["w"].dtype == state.mu["w"].dtype == state.nu["w"].dtype == dtype
        assert complex(updates["w"][0]).real == -0.5
        assert complex(state.mu["w"][0]).real == 0.5


class Table(eqx.Module):
    """A typical Equinox model."""

    weight: jax.Array
    index: jax.Array
    visible: jax.Array
    key: jax.Array

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.where(self.visible, self.weight[self.index], 0) * x


def table() -> Table:
    weight = jnp.array([1.0, -2.0])
    return Table(weight, jnp.array([1, 0]), jnp.array([True, True]), jax.random.key(1))


def test_an_equinox_model_is_trained_with_all_of_its_arrays() -> None:
    model = table()
    optimizer = adamax_transform(0.5)
    state = optimizer.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def step(model: Table, state: Any) -> Any:
        grads = eqx.filter_grad(lambda model: jnp.sum(model(jnp.ones(2)) ** 2))(model)
        updates, state = optimizer.update(grads, state, eqx.filter(model, eqx.is_array))
        return eqx.apply_updates(model, updates), state

    after, state = step(model, state)
    assert jnp.sign(after.weight - model.weight).tolist() == [-1, 1]
    assert state.steps == (1,)
    assert (after.index == model.index).all()
    assert after.key == model.key


def test_an_equinox_module_is_a_mask() -> None:
    """A callable mask whose leaves are not callable is read as a tree, as by optax."""
    model = table()
    params = eqx.filter(model, eqx.is_array)
    grads = eqx.filter_grad(lambda model: jnp.sum(model(jnp.ones(2))))(model)
    found = {}
    for name, mask in (("module", jax.tree.map(lambda _: False, params)), ("none", None)):
        optimizer = adamax_transform(0.5, weight_decay=0.5, mask=mask)
        found[name], _ = optimizer.update(grads, optimizer.init(params), params)
    plain, _ = adamax_transform(0.5).update(grads, adamax_transform().init(params), params)
    assert bits(found["module"]) == bits(plain)
    assert bits(found["none"]) != bits(plain)


@pytest.mark.parametrize("yes", [True, np.bool_(True), np.array(True), jnp.array(True), 1])
@pytest.mark.parametrize("no", [False, np.bool_(False), np.array(False), jnp.array(False), 0])
def test_a_mask_may_use_every_form_that_optax_accepts(yes: Any, no: Any) -> None:
    params = {"w": jnp.array([1.0, -2.0]), "b": jnp.array([3.0])}
    masks = [{"w": yes, "b": no}, lambda _params: {"w": yes, "b": no}]
    outcomes = []
    for mask in (*masks, {"w": True, "b": False}):
        optimizer = adamax_transform(0.5, weight_decay=0.5, mask=mask)
        outcomes.append(bits(optimizer.update(params, optimizer.init(params), params)))
        optax.add_decayed_weights(0.5, mask).init(params)
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_a_traced_mask_raises() -> None:
    params = {"w": jnp.ones(2)}

    def step(keep: jax.Array) -> Any:
        optimizer = adamax_transform(weight_decay=0.1, mask={"w": keep})
        return optimizer.update(params, optimizer.init(params), params)

    with pytest.raises(ValueError, match=r"^mask has .* for a leaf; it must be True or False"):
        jax.jit(step)(True)
