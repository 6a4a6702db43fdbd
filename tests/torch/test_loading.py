"""`load_state_dict`: what is taken from other optimizers, what is refused, and what stays."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import Parameter

from adamax_torch import Adamax


def two_parameters(dtype: torch.dtype = torch.float32) -> list[Parameter]:
    return [Parameter(torch.tensor(values, dtype=dtype)) for values in ([1.0, -1.0], [0.5])]


def after_a_step(optimizer: Any) -> Any:
    for group in optimizer.param_groups:
        for param in group["params"]:
            param.grad = torch.ones_like(param)
    optimizer.step()
    return optimizer


def test_options_that_the_saved_groups_do_not_know_stay() -> None:
    """The groups of torch.optim.Adamax know neither: its state is no reason to drop them."""
    stock = after_a_step(torch.optim.Adamax(two_parameters(torch.bfloat16), lr=0.5))
    ours = Adamax(
        two_parameters(torch.bfloat16),
        weight_decay=0.1,
        decoupled_weight_decay=True,
        state_dtype=torch.float32,
    )
    ours.load_state_dict(stock.state_dict())
    (group,) = ours.param_groups
    assert (group["decoupled_weight_decay"], group["state_dtype"]) == (True, torch.float32)
    assert (group["lr"], group["weight_decay"]) == (0.5, 0)
    assert {slot["exp_avg"].dtype for slot in ours.state.values()} == {torch.float32}
    after_a_step(ours)


Break = Callable[[dict[str, Any]], Any]
BROKEN: dict[str, tuple[Break, str]] = {
    "text step": (lambda d: d["state"][0].update(step="x"), "step = 'x', which is not a count"),
    "negative step": (lambda d: d["state"][0].update(step=-5), "step = -5, which is not a count"),
    "nan step": (
        lambda d: d["state"][0].update(step=torch.tensor(float("nan"))),
        "which is not a count",
    ),
    "number": (lambda d: d["state"][1].update(exp_avg=3.0), "exp_avg = 3.0, which is no moment"),
    "integers": (
        lambda d: d["state"][1].update(exp_inf=torch.ones(1, dtype=torch.int64)),
        "exp_inf = .* which is no moment",
    ),
    "complex": (
        lambda d: d["state"][1].update(exp_inf=torch.ones(1, dtype=torch.complex64)),
        "exp_inf of torch.complex64, the parameter is torch.float32",
    ),
    "shape": (
        lambda d: d["state"][0].update(exp_avg=torch.ones(3)),
        r"exp_avg of shape \(3,\), the parameter has shape \(2,\)",
    ),
    "no norm": (lambda d: d["state"][0].pop("exp_inf"), "has exp_avg, step; Adamax has step"),
    "bad lr": (lambda d: d["param_groups"][0].update(lr=float("nan")), "lr = nan is outside"),
    "bad betas": (lambda d: d["param_groups"][0].update(betas=(0.9,)), "is not a pair"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_state_is_refused_and_nothing_changed(name: str) -> None:
    damage, message = BROKEN[name]
    ours = after_a_step(Adamax(two_parameters()))
    before = copy.deepcopy(ours.state_dict())
    saved = copy.deepcopy(before)
    damage(saved)
    with pytest.raises(ValueError, match=message):
        ours.load_state_dict(saved)
    assert str(ours.state_dict()) == str(before)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda p: torch.optim.SGD(p, lr=0.1), "group 0 has no betas, eps: it is not Adamax's"),
        (torch.optim.Adam, "group 0 has amsgrad: this looks like Adam or AdamW"),
    ],
)
def test_optimizers_that_have_taken_no_step_are_told_by_their_groups(
    other: Callable[[list[Parameter]], Any], message: str
) -> None:
    ours = Adamax(two_parameters())
    with pytest.raises(ValueError, match=message):
        ours.load_state_dict(other(two_parameters()).state_dict())
    after_a_step(ours)


def test_another_number_of_groups_or_parameters_is_torchs_error() -> None:
    ours = Adamax(two_parameters())
    for params in (two_parameters()[:1], [{"params": p} for p in two_parameters()]):
        saved = after_a_step(Adamax(params)).state_dict()
        with pytest.raises(ValueError, match="parameter group"):
            ours.load_state_dict(saved)
