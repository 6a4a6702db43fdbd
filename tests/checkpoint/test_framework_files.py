"""Files of torch.save and of Flax's serialization: what they hold, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from flax import serialization

from adamax_checkpoint import Checkpoint, CheckpointError, Group, optax_file, torch_file
from adamax_checkpoint.verify import verify
from adamax_core import Hyperparameters
from adamax_torch import Adamax
from checkpoints import assert_same, drawn

HP = Hyperparameters(0.1, (0.8, 0.9), 1e-6, 0.25)


@pytest.fixture
def content() -> dict[str, Any]:
    """What a training in PyTorch saves."""
    model = torch.nn.Linear(2, 1)
    optimizer = Adamax(model.named_parameters())
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    return {"optimizer": optimizer.state_dict(), "model": model.state_dict()}


@pytest.fixture
def read(tmp_path: Path) -> Callable[[Any], Checkpoint]:
    """The checkpoint of what torch.save has saved."""

    def read(content: Any) -> Checkpoint:
        torch.save(content, tmp_path / "run.pt")
        return torch_file.read(tmp_path / "run.pt")

    return read


def test_two_sets_of_parameters_in_a_torch_file(
    content: dict[str, Any], read: Callable[[Any], Checkpoint]
) -> None:
    """Else an average of the weights could take their place."""
    with pytest.raises(CheckpointError, match="model and ema have the parameters: save one"):
        read(content | {"ema": content["model"]})


def test_a_model_with_more_than_tensors_in_a_torch_file(
    content: dict[str, Any], read: Callable[[Any], Checkpoint]
) -> None:
    """As the extra state of a module, or an entry of the user that is called as ours."""
    found = read({**content, "model": content["model"] | {"extra": 3}, "adamax": {"version": 7}})
    assert found.params is not None
    np.testing.assert_array_equal(found.params["weight"], content["model"]["weight"].numpy())


def test_without_parameters_of_their_names_the_state_alone_is_verified(
    content: dict[str, Any], read: Callable[[Any], Checkpoint]
) -> None:
    other = {f"module.{name}": each for name, each in content["model"].items()}
    found = read({**content, "model": other})
    assert found.params is None
    assert str(verify(found, steps=1)).startswith("same bits of the state alone; ")


def test_a_torch_file_keeps_the_dtype_of_the_moments(tmp_path: Path) -> None:
    """Else a program with parameters of another dtype would round them when it loads the file."""
    saved = drawn({"w": ((3,), "float32")})
    torch_file.write(tmp_path / "run.pt", saved)
    content = torch.load(tmp_path / "run.pt", weights_only=True)
    half = torch.ones(3, dtype=torch.bfloat16)
    optimizer = Adamax([half])
    optimizer.load_state_dict(content["optimizer"])
    moment = optimizer.state[half]["exp_avg"]
    assert moment.dtype == torch.float32
    np.testing.assert_array_equal(moment.numpy(), saved.state.exp_avg["w"])


def test_a_group_without_parameters(tmp_path: Path) -> None:
    saved = drawn({"w": ((3,), "float32")}, params=True)
    saved = replace(saved, groups=(*saved.groups, Group((), HP)))
    torch_file.write(tmp_path / "run.pt", saved)
    found = torch_file.read(tmp_path / "run.pt")
    assert_same(found, saved)
    verify(saved, found, sides=("numpy", "torch"), steps=1)


def test_names_and_values_that_look_otherwise_in_an_optax_file(tmp_path: Path) -> None:
    """Names of the parts of a state, and betas that have changed, as by a schedule of PyTorch."""
    shapes = {f"layer.{name}": ((2,), "float32") for name in ("count", "mu", "nu")}
    state = drawn(shapes, step=1).state
    large = {name: 50 * array for name, array in state.exp_inf.items()}
    saved = Checkpoint(state._replace(exp_avg=large), (Group(tuple(shapes), HP),))
    optax_file.write(tmp_path / "state", saved)
    assert_same(optax_file.read(tmp_path / "state"), saved)


def test_two_parameters_of_one_name_in_an_optax_file(tmp_path: Path) -> None:
    params = {"a.b": jnp.ones(2), "a": {"b": jnp.ones(2)}}
    state = optax.adamax(0.1).init(params)
    (tmp_path / "state").write_bytes(serialization.to_bytes(state))
    with pytest.raises(CheckpointError, match=r"two parameters have the name a\.b"):
        optax_file.read(tmp_path / "state", HP)


def test_an_entry_of_the_user_that_is_called_as_ours_in_an_optax_file(tmp_path: Path) -> None:
    state = optax.adamax(0.1).init({"w": jnp.ones(2)})
    content = {"adamax": serialization.to_state_dict(state)}
    (tmp_path / "state").write_bytes(serialization.msgpack_serialize(content))
    assert optax_file.read(tmp_path / "state", HP).names == ("w",)
