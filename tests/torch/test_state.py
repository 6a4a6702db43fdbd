"""A step uses counts and moments that were set by hand."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from adamax_torch import Adamax
from torch_steps import snapshot


def parameter(*values: float) -> Parameter:
    return Parameter(torch.tensor(values, dtype=torch.float64))


def stepped(optimizer: Adamax, values: list[float]) -> None:
    (param,) = optimizer.param_groups[0]["params"]
    param.grad = torch.tensor(values, dtype=torch.float64)
    optimizer.step()


@pytest.mark.parametrize("count", [5, 5.0, torch.tensor(5.0), torch.tensor([5]), np.int64(5)])
@pytest.mark.parametrize("fused", [None, False])
def test_a_count_set_by_hand_is_used(count: Any, fused: bool | None) -> None:
    param = parameter(3, -3)
    optimizer = Adamax([param], fused=fused)
    stepped(optimizer, [1.0, 1.0])
    optimizer.state[param]["step"] = count
    stepped(optimizer, [1.0, 1.0])
    step = optimizer.state[param]["step"]
    assert torch.equal(step, torch.tensor(6.0, dtype=torch.float64))


@pytest.mark.parametrize("fused", [None, False])
@pytest.mark.parametrize(
    "count",
    [-1, None, "5", float("nan"), torch.ones(2), 1j, torch.tensor(-1.0), torch.tensor(math.nan)],
)
def test_an_invalid_count_raises_and_nothing_changes(count: Any, fused: bool | None) -> None:
    params = [parameter(1), parameter(2)]
    optimizer = Adamax([{"params": [param]} for param in params], fused=fused)
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer.step()
    before = snapshot(Adamax(params))
    optimizer.state[params[1]]["step"] = count
    with pytest.raises(
        ValueError, match=r"^the state of group 1, parameter 0 has step = .*, not a f"
    ):
        optimizer.step()
    assert snapshot(Adamax(params)) == before
    assert optimizer.state[params[0]]["step"] == 1


MOMENTS: list[tuple[str, Callable[[Tensor], Tensor], str]] = [
    ("exp_avg", lambda m: m[:1].expand(2), r"^exp_avg of group 1, parameter 0: the elements of"),
    (
        "exp_inf",
        lambda m: m.to("meta"),
        r"^group 1, parameter 0 is on cpu, but its exp_inf is on meta",
    ),
    ("step", lambda m: m.to("meta"), r"^group 1, parameter 0 is on cpu, but step is on meta"),
]


@pytest.mark.parametrize("fused", [None, False])
@pytest.mark.parametrize(("field", "change", "message"), MOMENTS)
def test_state_that_cannot_change_in_place_raises_before_any_group_is_stepped(
    field: str, change: Callable[[Tensor], Tensor], message: str, fused: bool | None
) -> None:
    params = [parameter(1, 2), parameter(3, 4)]
    optimizer = Adamax([{"params": [param]} for param in params], fused=fused)
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer.step()
    before = snapshot(Adamax(params)), optimizer.state[params[0]]["exp_avg"].tolist()
    slot = optimizer.state[params[1]]
    slot[field] = change(slot[field])
    with pytest.raises((ValueError, RuntimeError), match=message):
        optimizer.step()
    assert (snapshot(Adamax(params)), optimizer.state[params[0]]["exp_avg"].tolist()) == before


@pytest.mark.parametrize("foreach", [None, False, True])
def test_a_step_beyond_its_dtype_is_infinite_in_each_way(foreach: bool | None) -> None:
    param = Parameter(torch.ones(2))
    param.grad = torch.ones(2)
    Adamax([param], lr=1e38, foreach=foreach).step()
    assert param.tolist() == [-torch.inf] * 2


@pytest.mark.parametrize("how", [{"fused": True}, {"capturable": True}, {}])
def test_a_count_beyond_float32_is_loaded_exactly(how: dict[str, Any]) -> None:
    optimizer, other = Adamax([parameter(1)], **how), Adamax([parameter(1)], **how)
    stepped(optimizer, [1.0])
    (slot,) = optimizer.state.values()
    slot["step"].fill_(2**24 + 1)
    with torch.inference_mode():
        other.load_state_dict(optimizer.state_dict())
    (loaded,) = other.state.values()
    assert loaded["step"] == 2**24 + 1
    stepped(other, [1.0])
    assert loaded["step"] == 2**24 + 2


@pytest.mark.parametrize("fused", [None, False])
@pytest.mark.parametrize("field", ["exp_avg", "exp_inf"])
def test_a_conjugated_moment_raises_and_is_named(field: str, fused: bool | None) -> None:
    params = [Parameter(torch.ones(2, dtype=torch.cfloat)) for _ in range(2)]
    optimizer = Adamax(params, fused=fused)
    for param in params:
        param.grad = torch.ones(2, dtype=torch.cfloat)
    optimizer.step()
    slot = optimizer.state[params[1]]
    slot[field] = slot[field].conj()
    with pytest.raises(
        RuntimeError, match=f"^{field} of group 0, parameter 1: a lazily conjugated"
    ):
        optimizer.step()
    assert optimizer.state[params[0]]["step"] == 1


@pytest.mark.parametrize("fused", [None, False])
def test_a_conjugated_parameter_raises_and_is_named(fused: bool | None) -> None:
    first = Parameter(torch.ones(2, dtype=torch.cfloat))
    optimizer = Adamax([first, Parameter(first.detach().conj())], fused=fused)
    for param in optimizer.param_groups[0]["params"]:
        param.grad = torch.ones(2, dtype=torch.cfloat)
    with pytest.raises(RuntimeError, match=r"^group 0, parameter 1: a lazily conjugated tensor"):
        optimizer.step()
    assert not optimizer.state
