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
from adamax_checkpoint.torch import from_state_dict, to_numpy, to_state_dict
from adamax_core import Hyperparameters, State
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


@pytest.mark.parametrize("by", ["names", "keys"])
def test_names_of_a_state_dict_are_not_overridden(by: str) -> None:
    """Parameters of one shape would be exchanged without an error."""
    model = torch.nn.LayerNorm(2)
    optimizer = Adamax(model.named_parameters())
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    named = optimizer.state_dict()
    if by == "keys":
        named = get_optimizer_state_dict(model, optimizer)
    assert from_state_dict(named, ["weight", "bias"]).names == ("weight", "bias")
    with pytest.raises(CheckpointError, match="names has 'bias' where the state dict itself has"):
        from_state_dict(named, ["bias", "weight"])
    with pytest.raises(CheckpointError, match="names has 'bias' where the state dict itself has"):
        to_state_dict(from_state_dict(named), named, ["bias", "weight"])


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


def wide(dtype: torch.dtype) -> tuple[torch.nn.Module, Checkpoint]:
    """A model, and a float64 checkpoint, without parameters, of its training."""
    model = torch.nn.Linear(2, 1, dtype=dtype)
    shapes = {name: (tuple(each.shape), "float64") for name, each in model.named_parameters()}
    return model, drawn(shapes)


@pytest.mark.parametrize("known", ["params", "state"])
def test_no_moment_is_rounded_to_the_dtype_of_the_parameters(known: str) -> None:
    model, checkpoint = wide(torch.float32)

    def loaded(optimizer: Any) -> None:
        if known == "state":
            model(torch.ones(2)).sum().backward()
            optimizer.step()
        params = dict(model.named_parameters()) if known == "params" else None
        like = optimizer.state_dict()
        optimizer.load_state_dict(to_state_dict(checkpoint, like, params=params))

    ours = Adamax(model.named_parameters())
    loaded(ours)
    assert_same(from_state_dict(ours.state_dict()), checkpoint)
    narrow = Adamax(model.named_parameters(), state_dtype="float16")
    loaded(narrow)
    assert_same(from_state_dict(narrow.state_dict()), checkpoint)
    with pytest.raises(CheckpointError, match=r"moments have dtype float64, .*round them to: load"):
        loaded(torch.optim.Adamax(model.named_parameters()))


def test_moments_that_one_group_cannot_hold() -> None:
    model = torch.nn.Linear(2, 1)
    mixed = drawn({"weight": ((1, 2), "float64"), "bias": ((1,), "float32")})
    fresh, params = Adamax(model.named_parameters()).state_dict(), dict(model.named_parameters())
    with pytest.raises(CheckpointError, match="moments of float32 and float64, which the optimiz"):
        to_state_dict(mixed, fresh, params=params)
    step, exp_avg, exp_inf = drawn({"weight": ((1, 2), "float32"), "bias": ((1,), "float32")}).state
    norms = {name: norm.astype(np.float64) for name, norm in exp_inf.items()}
    unequal = Checkpoint(State(step, exp_avg, norms), mixed.groups)
    with pytest.raises(CheckpointError, match="weight: exp_avg is float32 and exp_inf float64"):
        to_state_dict(unequal, fresh)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ("list", TypeError, r"params is not a dict of tensors: pass dict\(model\.named_param"),
        ("arrays", TypeError, r"params is not a dict of tensors: pass dict\(model\.named_param"),
        (
            "state",
            CheckpointError,
            r"only in params: num_batches_tracked, .*as dict\(model\.named_param",
        ),
    ],
)
def test_params_are_named_tensors(params: str, error: type[Exception], message: str) -> None:
    model = torch.nn.BatchNorm1d(2)
    state_dict = Adamax(model.named_parameters()).state_dict()
    given: Any = {
        "list": list(model.named_parameters()),
        "arrays": {name: each.detach().numpy() for name, each in model.named_parameters()},
        "state": model.state_dict(),
    }[params]
    with pytest.raises(error, match=message):
        from_state_dict(state_dict, params=given)
    checkpoint = from_state_dict(state_dict, params=dict(model.named_parameters()))
    with pytest.raises(error, match=message):
        to_state_dict(checkpoint, state_dict, params=given)


@pytest.mark.parametrize(
    ("moment", "message"),
    [
        (torch.ones(2, device="meta"), "a tensor on the device meta has no values"),
        (torch.ones(2).to(torch.float8_e4m3fn), "a tensor of torch.float8_e4m3fn is no array"),
    ],
    ids=["meta", "float8"],
)
def test_a_tensor_that_is_no_array(moment: torch.Tensor, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        to_numpy(moment)


def test_a_count_that_is_no_integer() -> None:
    _, optimizer = trained("float32")
    state_dict = optimizer.state_dict()
    # An int64 that no float64 is.
    state_dict["state"][0]["step"] = torch.tensor(2**53 + 1)
    counts = from_state_dict(state_dict, ["w", "b", "c", "d"]).state.step
    assert counts["w"] == 2**53 + 1
    state_dict["state"][0]["step"] = torch.tensor(1.5)
    with pytest.raises(CheckpointError, match=r"w: step = 1\.5 is not an integer"):
        from_state_dict(state_dict, ["w", "b", "c", "d"])


@pytest.mark.parametrize(
    "state",
    [
        *({}, {"state": {}}, [1], None, {"state": {}, "param_groups": [1]}),
        {"state": None, "param_groups": []},
    ],
)
def test_what_is_no_state_dict(state: Any) -> None:
    with pytest.raises(CheckpointError, match="state_dict"):
        from_state_dict(state)


def test_a_learning_rate_that_is_no_number() -> None:
    model = torch.nn.Linear(2, 1)
    state_dict = Adamax(model.named_parameters()).state_dict()
    state_dict["param_groups"][0]["lr"] = "x"
    with pytest.raises(CheckpointError, match="lr = 'x' is not a number"):
        from_state_dict(state_dict, params=dict(model.named_parameters()))


def test_a_count_that_no_float64_holds() -> None:
    shapes = {"weight": ((1, 2), "float32"), "bias": ((1,), "float32")}
    fresh = Adamax(torch.nn.Linear(2, 1).named_parameters()).state_dict()
    with pytest.raises(CheckpointError, match="weight: step = 9007199254740993 is beyond"):
        to_state_dict(drawn(shapes, step=2**53 + 1), fresh)
    assert to_state_dict(drawn(shapes, step=2**53), fresh)["state"][0]["step"] == 2**53


def test_a_count_that_no_float32_holds_in_a_capturable_optimizer() -> None:
    shapes = {"weight": ((1, 2), "float32"), "bias": ((1,), "float32")}
    for cls, held in ((Adamax, True), (torch.optim.Adamax, False)):
        fresh = cls(torch.nn.Linear(2, 1).named_parameters(), capturable=True)
        like = fresh.state_dict()
        assert to_state_dict(drawn(shapes, step=2**24), like)["state"][0]["step"] == 2**24
        if held:
            assert to_state_dict(drawn(shapes, step=2**24 + 1), like)["state"][0]["step"] > 2**24
        else:
            with pytest.raises(CheckpointError, match="step = 16777217 is no float32, in which"):
                to_state_dict(drawn(shapes, step=2**24 + 1), like)


@pytest.mark.parametrize(("moment", "param"), [("complex64", "float32"), ("float32", "complex64")])
def test_complex_moments_of_real_parameters(moment: str, param: str) -> None:
    params = {"w": torch.ones(3, dtype=getattr(torch, param))}
    fresh = torch.optim.Adamax(params.items()).state_dict()
    with pytest.raises(CheckpointError, match=f"w: the moments are {moment}, and in the optimizer"):
        to_state_dict(drawn({"w": ((3,), moment)}), fresh, params=params)


def test_a_parameter_without_a_shape() -> None:
    model = torch.nn.LazyLinear(1)
    state_dict = Adamax(torch.nn.Linear(2, 1).named_parameters()).state_dict()
    with pytest.raises(CheckpointError, match="weight, bias has no shape yet: run the model once"):
        from_state_dict(state_dict, params=dict(model.named_parameters()))


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
        (torch.optim.Adam, 2, "the optimizer that is to .* no Adamax: by its amsgrad this looks"),
        (torch.optim.SGD, 2, "the optimizer that is to .* no Adamax: by its nesterov this looks"),
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
