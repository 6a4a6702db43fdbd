"""Properties of the state that users rely on: scalars, trees, shapes, serialization."""

import pickle
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx, serialization
from flax.training.train_state import TrainState
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from adamax_jax import AdamaxState, adamax_transform
from jax_steps import bits

P: Any = PartitionSpec  # not typed
PARAMS = {
    "w": jnp.array([[1.0, -2.0], [0.5, 3.0]]),
    "b": jnp.array([0.25, -1.0]),
    "c": jnp.ones(()),
}
GRADS = jax.tree.map(lambda p: 1 - p / 2, PARAMS)


def structure(tree: Any) -> Any:
    return jax.tree.structure(tree)


def after(updates: int, optimizer: Any = None) -> Any:
    optimizer = optimizer or adamax_transform(0.1)
    state = optimizer.init(PARAMS)
    for _ in range(updates):
        _, state = optimizer.update(GRADS, state, PARAMS)
    return state


def mesh() -> jax.sharding.Mesh:
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


WRAPPED: dict[str, Any] = {
    "alone": lambda make: make(0.1),
    "chain": lambda make: optax.chain(optax.clip(1.0), make(0.1)),
    "masked": lambda make: optax.masked(make(0.1), {"w": True, "b": True, "c": False}),
    "partition": lambda make: optax.partition(
        {"a": make(0.1), "z": optax.set_to_zero()}, {"w": "a", "b": "z", "c": "a"}
    ),
    "flatten": lambda make: optax.flatten(make(0.1)),
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_count_is_the_scalar_that_it_is_in_optax(wrapper: str) -> None:
    ours, theirs = (
        optax.tree.get(after(3, WRAPPED[wrapper](make)), "count")
        for make in (adamax_transform, optax.adamax)
    )
    assert jax.typeof(ours) == jax.typeof(theirs)
    assert int(ours) == int(theirs) == 3
    assert jax.lax.cond(ours < 5, lambda: 1, lambda: 2) == 1
    assert optax.linear_schedule(1.0, 0.0, 6)(ours) == 0.5


def test_steps_are_scalars_in_the_order_of_the_moments() -> None:
    optimizer = adamax_transform(0.1)
    _, state = optimizer.update(GRADS | {"c": None}, after(1), PARAMS)
    assert {jax.typeof(each) for each in state.steps} == {jax.typeof(state.count)}
    steps = jax.tree.unflatten(structure(state.mu), state.steps)
    assert steps == {"w": 2, "b": 2, "c": 1}


def test_arrays_with_dimensions_have_the_shape_of_a_parameter() -> None:
    shapes = [leaf.shape for leaf in jax.tree.leaves(PARAMS) if leaf.ndim]
    assert [leaf.shape for leaf in jax.tree.leaves(after(1)) if leaf.ndim] == shapes * 2


def test_one_model_of_a_population_is_indexed_by_dimensions() -> None:
    """One model of several, and one state for all as well: ``x[i] if x.ndim else x``."""
    optimizer = adamax_transform(0.1)
    models = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), PARAMS)
    states = jax.vmap(optimizer.init)(models)
    _, states = jax.vmap(optimizer.update)(models, states, models)
    _, whole = optimizer.update(models, optimizer.init(models), models)
    for index in range(2):
        model = jax.tree.map(lambda p, i=index: p[i], models)
        _, expected = optimizer.update(model, optimizer.init(model), model)
        for each in (states, whole):
            one = jax.tree.map(lambda x, i=index: x[i] if x.ndim else x, each)
            assert bits(one) == bits(expected)


def test_a_sharding_by_dimensions_fits() -> None:
    """``P("data") if x.ndim else P()``."""
    params = {"w": jnp.ones((8, 2)), "b": jnp.ones(8), "c": jnp.ones(())}
    sharding = NamedSharding(mesh(), P("data"))
    whole = NamedSharding(mesh(), P())
    optimizer = adamax_transform(0.1)
    shape = jax.eval_shape(optimizer.init, params)
    placed = jax.tree.map(lambda x: sharding if x.ndim else whole, shape)
    state = jax.jit(optimizer.init, out_shardings=placed)(params)
    assert state.mu["w"].sharding.is_equivalent_to(sharding, 2)
    assert state.steps[0].sharding.is_equivalent_to(whole, 0)


def test_map_params_puts_the_shardings_of_parameters_on_the_moments() -> None:
    """The use that optax documents, for the output shardings of a program."""
    params = {"w": jnp.ones((8, 2)), "b": jnp.ones(8)}
    specs = {"w": P("data", "model"), "b": P("data")}
    optimizer = optax.chain(optax.clip(1.0), adamax_transform(0.1))
    shape = jax.eval_shape(optimizer.init, params)
    mapped = optax.tree.map_params(
        optimizer, lambda _, spec: spec, shape, specs, transform_non_params=lambda _: P()
    )
    placed = jax.tree.map(
        lambda spec: NamedSharding(mesh(), spec),
        mapped,
        is_leaf=lambda node: isinstance(node, PartitionSpec),
    )
    state = jax.jit(optimizer.init, out_shardings=placed)(params)[1]
    assert {name: leaf.sharding.spec for name, leaf in state.nu.items()} == specs
    unmapped = optax.tree.map_params(optimizer, lambda leaf: leaf * 0 + 7, optimizer.init(params))
    assert unmapped[1].steps == (0, 0)
    assert unmapped[1].mu["b"][0] == 7


class Dense(nn.Module):
    """A layer whose kernel is annotated with sharding axes."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        split = nn.with_partitioning(nn.initializers.lecun_normal(), ("data", "model"))
        return nn.Dense(8, kernel_init=split)(x)


def test_flax_shards_the_moments_as_it_does_their_parameter() -> None:
    """Flax stores the axes in nodes around the parameter, which jax.tree.map copies."""
    model = Dense()

    def create(key: jax.Array) -> Any:
        params = model.init(key, jnp.ones((2, 16)))["params"]
        make: Any = TrainState.create  # not typed
        return make(apply_fn=model.apply, params=params, tx=adamax_transform(0.1))

    specs = nn.get_partition_spec(jax.eval_shape(create, jax.random.key(0)))
    placed = jax.tree.map(
        lambda spec: NamedSharding(mesh(), spec),
        specs,
        is_leaf=lambda node: isinstance(node, PartitionSpec),
    )
    state = jax.jit(create, out_shardings=placed)(jax.random.key(0))
    kernel = state.opt_state.mu["Dense_0"]["kernel"].value
    assert kernel.sharding.spec == P("data", "model")
    state = state.apply_gradients(grads=state.params)
    assert state.opt_state.steps == (1, 1)


def test_nnx_shards_the_moments_as_it_does_their_parameter() -> None:
    split = nnx.with_partitioning(nnx.initializers.lecun_normal(), ("data", "model"))

    @nnx.jit
    def create() -> Any:
        model = nnx.Linear(16, 8, rngs=nnx.Rngs(0), kernel_init=split)
        optimizer = nnx.Optimizer(model, adamax_transform(0.1), wrt=nnx.Param)
        state = nnx.state(optimizer)
        constrain: Any = jax.lax.with_sharding_constraint  # not typed
        constrained = constrain(state, nnx.get_partition_spec(state))
        nnx.update(optimizer, constrained)
        return optimizer

    with jax.set_mesh(mesh()):
        state = create().opt_state
        assert state.mu["kernel"].sharding.spec == P("data", "model")


def test_pickle_and_flax_restore_a_state() -> None:
    state = after(2)
    for back in (
        pickle.loads(pickle.dumps(state)),  # noqa: S301 - what was dumped before
        serialization.from_bytes(after(0), serialization.to_bytes(state)),
    ):
        assert isinstance(back, AdamaxState)
        assert structure(back) == structure(state)
        assert bits(back) == bits(state)
        optimizer = adamax_transform(0.1)
        assert bits(optimizer.update(GRADS, back)) == bits(optimizer.update(GRADS, state))


def earlier(state: AdamaxState) -> AdamaxState:
    """The unpickled state of the old layout: a vector of counts, and the clock at the end."""
    return AdamaxState(jnp.stack(state.steps), state.mu, state.nu, state.count)


def test_a_state_of_the_old_layout_raises_with_the_remedy() -> None:
    state = earlier(after(2))
    optimizer = adamax_transform(0.1)
    with pytest.raises(
        ValueError, match=r"^state.count has shape \(3,\), but must be a scalar"
    ) as info:
        optimizer.update(GRADS, state, PARAMS)
    remedy = str(info.value).rpartition("earlier version with ")[2]
    names = {"AdamaxState": AdamaxState, "state": state}
    mended = eval(remedy, names)  # noqa: S307 - the code that the message gives
    assert structure(mended) == structure(after(2))
    assert bits(mended) == bits(after(2))


def test_flax_names_the_fields_of_the_old_layout() -> None:
    fields = {"count": np.zeros(3, np.int32), "mu": PARAMS, "nu": PARAMS, "clock": np.int32(0)}
    with pytest.raises(ValueError, match=r"AdamaxState|clock|steps"):
        serialization.from_state_dict(after(0), fields)


def test_a_state_of_several_models_needs_vmap() -> None:
    models = jax.tree.map(lambda p: jnp.stack([p, p]), PARAMS)
    states = jax.vmap(adamax_transform(0.1).init)(models)
    with pytest.raises(ValueError, match=r"shape \(2,\).*several models under jax.vmap"):
        adamax_transform(0.1).update(models, states, models)


def test_a_tree_without_trained_leaves_keeps_its_state() -> None:
    optimizer = adamax_transform(0.1)
    for params in ({}, {"index": jnp.arange(3)}):
        state = optimizer.init(params)
        grads = dict.fromkeys(params)
        updates, stepped = jax.jit(optimizer.update)(grads, state, params)
        assert updates == grads
        assert stepped.count == 1
        assert structure(stepped) == structure(state)
