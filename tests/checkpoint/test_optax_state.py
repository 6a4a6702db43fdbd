"""The state of optax: anywhere in a tree, with one count and without complex norms."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from adamax_checkpoint import CheckpointError, Group
from adamax_checkpoint.optax import arrays_of, from_optax, names_of, to_optax, tree_of
from adamax_checkpoint.torch import to_torch
from adamax_jax import adamax_transform
from checkpoints import assert_same, drawn
from trained_in_torch import FAST, SLOW


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("steps", [0, 3])
def test_optax_has_one_count_and_gets_its_own_back(dtype: str, steps: int) -> None:
    with jax.enable_x64(True):
        params = {"w": jnp.ones((2, 3), dtype), "b": [jnp.zeros(2, dtype)]}
        chain = optax.chain(
            optax.clip(1.0), optax.adamaxw(optax.linear_schedule(0.1, 0.01, 9), weight_decay=0.1)
        )
        state = chain.init(params)
        for _ in range(steps):
            _, state = chain.update(jax.tree.map(jnp.ones_like, params), state, params)
        checkpoint = from_optax(state, FAST, params)
        assert checkpoint.state.step == {"b.0": steps, "w": steps}
        back = to_optax(checkpoint, chain.init(params))
        assert str(jax.tree.structure(back)) == str(jax.tree.structure(state))
        for one, other in zip(jax.tree.leaves(back), jax.tree.leaves(state), strict=True):
            assert one.dtype == other.dtype
            assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_optax_inside_of_labels_and_injected_hyperparameters() -> None:
    params = {"w": jnp.ones(2), "b": jnp.zeros(3)}
    labels = {"w": "one", "b": "two"}
    each = {
        "one": optax.inject_hyperparams(optax.adamax)(0.1),
        "two": adamax_transform(0.01),
    }
    optimizer = optax.multi_transform(each, labels)
    state = optimizer.init(params)
    for _ in range(2):
        _, state = optimizer.update(params, state, params)
    groups = (Group(("w",), SLOW), Group(("b",), FAST))
    checkpoint = from_optax(state, groups)
    assert checkpoint.state.step == {"w": 2, "b": 2}
    back = to_optax(checkpoint, optimizer.init(params))
    for one, other in zip(jax.tree.leaves(back), jax.tree.leaves(state), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_trees_of_parameters_move_too() -> None:
    params = {"w": jnp.ones(2, jnp.bfloat16), "index": jnp.arange(2)}
    assert names_of(params) == ("index", "w")
    arrays = arrays_of(params)
    assert [*arrays] == ["w"]
    assert tree_of(arrays, {"w": jnp.zeros(2)})["w"].dtype == jnp.bfloat16
    assert to_torch(arrays["w"]).dtype == torch.bfloat16
    with pytest.raises(CheckpointError, match="only in the tree: v; only in the arrays: w"):
        tree_of(arrays, {"v": jnp.zeros(2)})
    with pytest.raises(CheckpointError, match=r"w has shape \(2,\), in the tree \(1, 2\)"):
        tree_of(arrays, {"w": jnp.zeros((1, 2))})
    with pytest.raises(CheckpointError, match="float64, which JAX would round to float32"):
        tree_of({"w": np.array([1 / 3])}, {"w": jnp.zeros(1)})


def test_the_state_of_several_models_is_refused() -> None:
    for optimizer in (adamax_transform(0.1), optax.adamax(0.1)):
        states = jax.vmap(optimizer.init)({"w": jnp.ones((2, 3))})
        with pytest.raises(
            CheckpointError, match=r"the count has shape \(2,\): the state of sever"
        ):
            from_optax(states, SLOW)


def test_a_state_is_filled_that_has_shapes_alone() -> None:
    optimizer = adamax_transform(0.1)
    shapes = jax.eval_shape(optimizer.init, {"w": jnp.ones(3)})
    checkpoint = drawn({"w": ((3,), "float32")})
    assert_same(from_optax(to_optax(checkpoint, shapes), checkpoint.groups), checkpoint)


def test_what_a_state_of_jax_cannot_hold() -> None:
    optimizer = adamax_transform(0.1)
    fresh = optimizer.init({"w": jnp.ones(3)})
    with pytest.raises(
        CheckpointError, match=r"w: the moments are float64, in the optimizer float"
    ):
        to_optax(drawn({"w": ((3,), "float64")}), fresh)
    with pytest.raises(CheckpointError, match=r"w has shape \(3,\), in the checkpoint \(2,\)"):
        to_optax(drawn({"w": ((2,), "float32")}), fresh)
    with pytest.raises(CheckpointError, match=r"2147483648 steps is above 2\*\*31 - 1"):
        to_optax(drawn({"w": ((3,), "float32")}, step=2**31), fresh)
    with pytest.raises(
        CheckpointError, match="only in the optimizer: w; only in the checkpoint: v"
    ):
        to_optax(drawn({"v": ((3,), "float32")}), fresh)
    with pytest.raises(CheckpointError, match="holds neither AdamaxState nor ScaleByAdamState"):
        from_optax(optax.sgd(0.1).init({"w": jnp.ones(3)}), SLOW)


def test_what_the_one_count_and_the_modulus_of_optax_cannot_hold() -> None:
    two = {"v": jnp.ones(3), "w": jnp.ones(3)}
    counts = drawn({"v": ((3,), "float32"), "w": ((3,), "float32")})
    with pytest.raises(CheckpointError, match="use adamax_transform, which has a count each"):
        to_optax(counts, optax.adamax(0.1).init(two))
    state = optax.adamax(0.1).init({"z": jnp.ones(2, jnp.complex64)})
    with pytest.raises(TypeError, match="norm is of the modulus"):
        from_optax(state, SLOW)


def test_counts_of_injected_schedules() -> None:
    """Else the schedule of a training of 50 steps would begin anew."""
    optimizer = optax.MultiSteps(
        optax.inject_hyperparams(optax.adamax)(learning_rate=lambda count: 1.0 / (1 + count)), 1
    )
    params = {"w": jnp.ones(3)}
    fresh = optimizer.init(params)
    state = to_optax(drawn({"w": ((3,), "float32")}, step=50), fresh)
    _, state = optimizer.update(params, state, params)
    assert float(state.inner_opt_state.hyperparams["learning_rate"]) == np.float32(1 / 51)


def test_parameters_of_one_adamax_have_one_rule() -> None:
    params = {"v": jnp.ones(3), "w": jnp.ones(3)}
    shapes = dict.fromkeys(params, ((3,), "float32"))
    groups = (Group(("v",), SLOW), Group(("w",), FAST))
    checkpoint = replace(drawn(shapes, step=1), groups=groups)
    for optimizer in (adamax_transform(0.1), optax.adamax(0.1)):
        with pytest.raises(CheckpointError, match=r"different betas and eps .*multi_transform"):
            to_optax(checkpoint, optimizer.init(params))
    each = {"v": optax.adamax(0.1), "w": optax.adamax(0.2)}
    labelled = optax.multi_transform(each, {"v": "v", "w": "w"})
    assert_same(from_optax(to_optax(checkpoint, labelled.init(params)), groups), checkpoint)
    # A mask of weight decay is no reason for two.
    masked = (Group(("v",), SLOW), Group(("w",), replace(SLOW, weight_decay=0.0)))
    to_optax(replace(checkpoint, groups=masked), adamax_transform(0.1).init(params))
