"""State moves from PyTorch to JAX, to NumPy and back, with the same bits."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import adamax_core
from adamax_checkpoint import Checkpoint, CheckpointError, Group, load, save
from adamax_checkpoint.checkpoint import DTYPES
from adamax_checkpoint.dialects import to_dialect
from adamax_checkpoint.keras import to_keras
from adamax_checkpoint.names import moved, rename
from adamax_checkpoint.optax import from_optax, to_optax, tree_of
from adamax_checkpoint.torch import from_state_dict, to_state_dict
from adamax_checkpoint.trees import from_state, to_state
from adamax_checkpoint.verify import verify
from adamax_core import Hyperparameters, State
from adamax_jax import adamax_transform
from adamax_torch import Adamax
from checkpoints import assert_same, drawn
from trained_in_torch import SLOW, raw, trained


def nested(arrays: Mapping[str, Any], leaf: Callable[[Any], Any] = jnp.array) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *path, last = name.split(".")
        at = tree
        for part in path:
            at = at.setdefault(part, {})
        at[last] = leaf(array)
    return tree


@pytest.mark.parametrize("make", [Adamax, torch.optim.Adamax], ids=["ours", "stock"])
@pytest.mark.parametrize("dtype", [*map(str, DTYPES)])
def test_torch_to_optax_to_numpy_to_torch_keeps_every_bit(
    dtype: str, make: Any, tmp_path: Path
) -> None:
    params, optimizer = trained(dtype, make)
    names = list(params)
    before = optimizer.state_dict()
    first = from_state_dict(before, names, params)
    assert first.state.step == {"encoder.0.w": 4, "encoder.1.w": 4, "scale": 3, "none": 2}
    save(tmp_path / "state", first)

    with jax.enable_x64(True):
        loaded = load(tmp_path / "state")
        assert loaded.params is not None
        tree = nested(loaded.params)
        each = {group.names[0]: adamax_transform(1e-3) for group in loaded.groups}
        labels = {name: group.names[0] for group in loaded.groups for name in group.names}
        chain = optax.chain(
            optax.clip_by_global_norm(1.0), optax.multi_transform(each, nested(labels, str))
        )
        in_jax = to_optax(loaded, chain.init(tree))
        counts = {k: int(s.inner_state.count) for k, s in in_jax[1].inner_states.items()}
        assert counts == {"encoder.0.w": 4, "scale": 4}
        second = from_optax(in_jax, loaded.groups, tree)
    assert_same(second, first)

    core = to_state(second, second.params)
    third = from_state(core, second.groups, second.params)
    assert_same(third, first)

    target = make(
        [{"params": [params[n] for n in names[:2]]}, {"params": [params[n] for n in names[2:]]}]
    )
    state_dict = to_state_dict(third, target.state_dict(), names)
    target.load_state_dict(state_dict)
    after = target.state_dict()
    assert raw(after) == raw(before)
    assert after["param_groups"] == before["param_groups"]


def test_training_goes_on_as_if_it_had_not_been_moved() -> None:
    params, optimizer = trained("float32")
    twins = {name: param.clone() for name, param in params.items()}
    names = list(params)
    halves = [{"params": [twins[n] for n in names[:2]]}, {"params": [twins[n] for n in names[2:]]}]
    twin = Adamax(halves)
    moved = to_state_dict(from_state_dict(optimizer.state_dict(), names), twin.state_dict(), names)
    twin.load_state_dict(moved)
    for tensors, each in ((params, optimizer), (twins, twin)):
        for param in tensors.values():
            param.grad = torch.full_like(param, 0.5)
        each.step()
    assert all(torch.equal(params[name], twins[name]) for name in names)


def test_nothing_that_is_loaded_shares_memory() -> None:
    checkpoint = drawn({"w": ((3,), "float32")})
    model = {"w": torch.nn.Parameter(torch.ones(3))}
    optimizer = torch.optim.Adamax(model.items())
    optimizer.load_state_dict(to_state_dict(checkpoint, optimizer.state_dict()))
    kept = checkpoint.state.exp_avg["w"].copy()
    model["w"].grad = torch.ones(3)
    optimizer.step()
    state = to_state(checkpoint, {"w": np.ones(3)})
    state.exp_avg["w"][:] = 7
    np.testing.assert_array_equal(checkpoint.state.exp_avg["w"], kept)


def test_the_state_of_adam_is_refused() -> None:
    model = torch.nn.Linear(2, 1)
    adam = torch.optim.Adam(model.named_parameters())
    model(torch.ones(2)).sum().backward()
    adam.step()
    with pytest.raises(CheckpointError, match="looks like Adam"):
        from_state_dict(adam.state_dict())
    params = {"w": jnp.array([1e-3, 2e-3])}
    theirs = optax.adam(1e-3)
    _, state = theirs.update(params, theirs.init(params))
    with pytest.raises(CheckpointError, match="It looks like Adam's"):
        from_optax(state, Hyperparameters())


def test_names_of_trees_are_unique() -> None:
    params = {"a.b": np.ones(1), "a": {"b": np.ones(1)}}
    with pytest.raises(CheckpointError, match=r"two parameters have the name a\.b"):
        from_state(adamax_core.init(params), SLOW)


@pytest.mark.parametrize("exchanged", [np.float32(-1), np.array([1j - 1]), np.array([1 - 1j])])
def test_exchanged_moments_are_seen(exchanged: Any) -> None:
    array = np.asarray(exchanged)
    with pytest.raises(CheckpointError, match="w: exp_inf has elements below zero"):
        from_state(State({"w": 1}, {"w": abs(array) + 0 * array}, {"w": array}), SLOW)


def test_a_state_of_other_parameters() -> None:
    checkpoint = drawn({"w": ((3,), "float32")})
    with pytest.raises(CheckpointError, match=r"w has shape \(2,\), in the checkpoint \(3,\)"):
        to_state(checkpoint, {"w": np.ones(2)})
    one = np.ones(1)
    with pytest.raises(CheckpointError, match="exp_avg and exp_inf have different parameters"):
        from_state(State({"w": 1}, {"w": one}, {"v": one}), SLOW)


def test_another_dialect_is_converted_first() -> None:
    state = drawn({"w": ((3,), "float32")})
    outside = Checkpoint(state.state, state.groups, dialect="eps=outside")
    fresh = adamax_transform(0.1).init({"w": jnp.ones(3)})
    with pytest.raises(CheckpointError, match=r"eps=outside, but .*convert it with .*to_dialect"):
        to_optax(outside, fresh)


def test_arguments_in_the_wrong_order(tmp_path: Path) -> None:
    checkpoint = drawn({"w": ((3,), "float32")})
    params = {"w": jnp.ones(3)}
    fresh = adamax_transform(0.1).init(params)
    for wrong in (
        lambda: save(tmp_path / "out", {"state": {}}),  # type: ignore[arg-type]  # on purpose
        lambda: to_optax(fresh, checkpoint),
        lambda: to_state_dict({"state": {}}, checkpoint),  # type: ignore[arg-type]  # on purpose
        lambda: to_state(params, checkpoint),  # type: ignore[arg-type]  # on purpose
        lambda: to_keras(["w"], checkpoint),  # type: ignore[arg-type]  # on purpose
        lambda: to_dialect("canonical", checkpoint),  # type: ignore[arg-type]  # on purpose
        lambda: moved({}, checkpoint),  # type: ignore[arg-type]  # on purpose
        lambda: rename({}, checkpoint),  # type: ignore[arg-type]  # on purpose
        lambda: verify(checkpoint.state),  # type: ignore[arg-type]  # on purpose
    ):
        with pytest.raises(TypeError, match="expected a Checkpoint, not a "):
            wrong()
    assert not list(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match="the state holds neither AdamaxState nor"):
        to_optax(checkpoint, params)
    with pytest.raises(TypeError, match=r"arrays is None, not a dict .*: save the checkpoint with"):
        tree_of(checkpoint.params, params)  # type: ignore[arg-type]  # on purpose


def test_hyperparameters_of_one_group_or_of_none() -> None:
    fresh = adamax_transform(0.1).init({"w": jnp.ones(3)})
    group = Group(("w",), SLOW)
    assert from_optax(fresh, group).groups == from_optax(fresh, [group]).groups == (group,)
    for wrong in (0.1, [SLOW], {"w": SLOW}, Group("w", SLOW)):  # type: ignore[arg-type]  # on purpose
        with pytest.raises(TypeError, match="expected a Group of a tuple of names and Hyperparam"):
            from_optax(fresh, wrong)  # type: ignore[arg-type]  # on purpose
