"""State dicts of PyTorch: their names, groups and counts."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from adamax_checkpoint import Checkpoint, CheckpointError, Group
from adamax_checkpoint.torch import from_state_dict, to_state_dict
from adamax_core import Hyperparameters
from adamax_torch import Adamax
from checkpoints import assert_same, drawn
from trained_in_torch import FAST, SLOW, raw, trained


def test_names_of_a_state_dict() -> None:
    _, optimizer = trained("float32")
    with pytest.raises(CheckpointError, match="numbers in place of names: pass names"):
        from_state_dict(optimizer.state_dict())
    with pytest.raises(CheckpointError, match="2 names for 4 parameters"):
        from_state_dict(optimizer.state_dict(), ["a", "b"])
    with pytest.raises(CheckpointError, match="two parameters have the name a"):
        from_state_dict(optimizer.state_dict(), ["a", "a", "b", "c"])
    model = torch.nn.Linear(2, 1)
    named = Adamax(model.named_parameters())
    model(torch.ones(2)).sum().backward()
    named.step()
    assert from_state_dict(named.state_dict()).names == ("weight", "bias")
    checkpoint = drawn({"weight": ((1, 2), "float32"), "other": ((1,), "float32")})
    with pytest.raises(CheckpointError, match=r"only in the optimizer: bias; only in the .* other"):
        to_state_dict(checkpoint, named.state_dict())


def test_a_parameter_without_a_step_has_zeros() -> None:
    model = torch.nn.Linear(2, 1)
    optimizer = Adamax(model.named_parameters(), state_dtype="float64")
    with pytest.raises(CheckpointError, match=r"weight has no state.*: pass params, by name"):
        from_state_dict(optimizer.state_dict())
    params = dict(model.named_parameters())
    checkpoint = from_state_dict(optimizer.state_dict(), params=params)
    assert checkpoint.state.step == {"weight": 0, "bias": 0}
    assert checkpoint.state.exp_inf["weight"].dtype == np.float64
    other = Adamax(model.named_parameters())
    other.load_state_dict(to_state_dict(checkpoint, other.state_dict()))
    assert other.state[model.weight]["exp_avg"].dtype == torch.float64
    stock = torch.optim.Adamax(model.named_parameters())
    with pytest.raises(CheckpointError, match=r"the moments have dtype float64, .*would round"):
        to_state_dict(checkpoint, stock.state_dict())


def test_a_count_that_is_no_integer() -> None:
    _, optimizer = trained("float32")
    state_dict = optimizer.state_dict()
    state_dict["state"][0]["step"] = torch.tensor(1.5)
    with pytest.raises(CheckpointError, match=r"w: step = 1\.5 is not an integer"):
        from_state_dict(state_dict, ["w", "b", "c", "d"])


@pytest.mark.parametrize(
    "state", [{}, {"state": {}}, [1], None, {"state": {}, "param_groups": [1]}]
)
def test_what_is_no_state_dict(state: Any) -> None:
    with pytest.raises(CheckpointError, match="not the state_dict of an optimizer"):
        from_state_dict(state)


def test_a_count_that_no_float64_holds() -> None:
    shapes = {"weight": ((1, 2), "float32"), "bias": ((1,), "float32")}
    fresh = Adamax(torch.nn.Linear(2, 1).named_parameters()).state_dict()
    with pytest.raises(CheckpointError, match="weight: step = 9007199254740993 is beyond"):
        to_state_dict(drawn(shapes, step=2**53 + 1), fresh)
    assert to_state_dict(drawn(shapes, step=2**53), fresh)["state"][0]["step"] == 2**53


def test_groups_that_do_not_fit() -> None:
    checkpoint = drawn({"weight": ((1, 2), "float32"), "bias": ((1,), "float32")})
    mixed = Checkpoint(checkpoint.state, (Group(("weight",), SLOW), Group(("bias",), FAST)))
    optimizer = torch.optim.Adamax(torch.nn.Linear(2, 1).named_parameters())
    with pytest.raises(CheckpointError, match="make the optimizer with as many groups"):
        to_state_dict(mixed, optimizer.state_dict())
    decoupled = Hyperparameters(weight_decay=0.1, decoupled_weight_decay=True)
    state = drawn({"weight": ((1, 2), "float32"), "bias": ((1,), "float32")}, 0, decoupled)
    with pytest.raises(CheckpointError, match=r"weight_decay = 0\.1 is decoupled"):
        to_state_dict(state, optimizer.state_dict())


def test_state_dicts_with_names_as_of_distributed_checkpoints() -> None:
    model = torch.nn.Linear(2, 1)
    optimizer = Adamax(model.parameters())
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    named = get_optimizer_state_dict(model, optimizer)
    checkpoint = from_state_dict(named)
    assert_same(checkpoint, from_state_dict(optimizer.state_dict(), ["weight", "bias"]))
    other = Adamax(model.parameters())
    set_optimizer_state_dict(model, other, to_state_dict(checkpoint, named))
    assert raw(other.state_dict()) == raw(optimizer.state_dict())


@pytest.mark.parametrize(
    ("optimizer", "size", "message"),
    [
        (torch.optim.Adamax, 3, r"weight has shape \(1, 3\), in the checkpoint \(1, 2\)"),
        (Adamax, 3, r"weight has shape \(1, 3\), in the checkpoint \(1, 2\)"),
        (torch.optim.Adam, 2, "weight: the optimizer that is to load the state has exp_avg_sq"),
    ],
)
def test_an_optimizer_that_does_not_fit(optimizer: Any, size: int, message: str) -> None:
    def stepped(cls: Any, size: int) -> Any:
        model = torch.nn.Linear(size, 1)
        made = cls(model.named_parameters())
        model(torch.ones(size)).backward()
        made.step()
        return made.state_dict()

    checkpoint = from_state_dict(stepped(torch.optim.Adamax, 2))
    with pytest.raises(CheckpointError, match=message):
        to_state_dict(checkpoint, stepped(optimizer, size))
