"""`load_state_dict`: what is taken from other optimizers, what is refused, and what stays."""

import copy
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import Parameter

from adamax_core import Hyperparameters
from adamax_torch import Adamax
from exact import Followed, assert_within, follow
from torch_steps import snapshot


def two_parameters(dtype: torch.dtype = torch.float32) -> list[Parameter]:
    return [Parameter(torch.tensor(values, dtype=dtype)) for values in ([1.0, -1.0], [0.5])]


def after_a_step(optimizer: Any) -> Any:
    for group in optimizer.param_groups:
        for param in group["params"]:
            param.grad = torch.ones_like(param)
    optimizer.step()
    return optimizer


def test_options_missing_in_the_saved_groups_are_kept() -> None:
    """torch.optim.Adamax does not save these options, so loading its state must not drop them."""
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
    "text step": (lambda d: d["state"][0].update(step="x"), "step = 'x', not a finite number >= 0"),
    "negative step": (
        lambda d: d["state"][0].update(step=-5),
        "step = -5, not a finite number >= 0",
    ),
    "nan step": (
        lambda d: d["state"][0].update(step=torch.tensor(float("nan"))),
        "not a finite number >= 0",
    ),
    "number": (lambda d: d["state"][1].update(exp_avg=3.0), "exp_avg = 3.0, not a dense floating"),
    "integers": (
        lambda d: d["state"][1].update(exp_inf=torch.ones(1, dtype=torch.int64)),
        "exp_inf = .*, not a dense floating",
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
    "huge step": (lambda d: d["state"][0].update(step=10**400), "not a finite number >= 0"),
    "no slot": (lambda d: d["state"].update({0: [1, 2]}), "^the state of parameter 0 is list"),
    "tensor for slot": (
        lambda d: d["state"].update({0: torch.ones(2)}),
        "is Tensor, not a dict",
    ),
    "sparse": (
        lambda d: d["state"][0].update(exp_avg=torch.ones(2).to_sparse()),
        "not a dense floating-point or complex tensor",
    ),
    "keys of all kinds": (
        lambda d: d["state"].update({0: {1: 2, "step": 3}}),
        "^the state of parameter 0 has 1, step; Adamax has step, exp_avg and exp_inf$",
    ),
    "bad lr": (lambda d: d["param_groups"][0].update(lr=float("nan")), "lr = nan is outside"),
    "bad betas": (lambda d: d["param_groups"][0].update(betas=(0.9,)), "is not a pair"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_state_raises_and_nothing_changes(name: str) -> None:
    damage, message = BROKEN[name]
    ours = after_a_step(Adamax(two_parameters()))
    before = copy.deepcopy(ours.state_dict())
    saved = copy.deepcopy(before)
    damage(saved)
    with pytest.raises(ValueError, match=message):
        ours.load_state_dict(saved)
    assert str(ours.state_dict()) == str(before)


# Every optimizer of torch.optim but Adamax, and how it is called; L-BFGS needs a closure to step.
OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "Adadelta": ({}, "Adadelta"),
    "Adafactor": ({}, "Adafactor"),
    "Adagrad": ({}, "Adagrad"),
    "Adam": ({}, "Adam or AdamW"),
    "AdamW": ({"amsgrad": True}, "Adam or AdamW"),
    "ASGD": ({}, "ASGD"),
    "LBFGS": ({}, ""),
    "Muon": ({}, "Muon"),
    "NAdam": ({}, "NAdam"),
    "RAdam": ({"weight_decay": 0.3, "decoupled_weight_decay": True}, "RAdam"),
    "RMSprop": ({}, "RMSprop"),
    "Rprop": ({}, "Rprop"),
    "SGD": ({"momentum": 0.9}, "SGD"),
    "SparseAdam": ({}, ""),
}


def test_all_other_optimizers_of_torch_are_tested() -> None:
    there = {
        name
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
    }
    assert there - {"Adamax", "Optimizer"} == set(OTHERS)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("steps", [0, 1])
def test_the_state_of_another_optimizer_raises_and_nothing_changes(name: str, steps: int) -> None:
    options, guess = OTHERS[name]
    # Muon takes matrices alone.
    other = getattr(torch.optim, name)([Parameter(torch.ones(2, 2))], **options)
    if steps and name not in ("LBFGS", "SparseAdam"):
        after_a_step(other)
    ours = after_a_step(Adamax([Parameter(torch.full((2, 2), 3.0))], lr=0.25))
    before, groups = snapshot(ours), copy.deepcopy(ours.state_dict()["param_groups"])
    looks = f"this looks like {guess}$" if guess else "is not Adamax's"
    with pytest.raises(ValueError, match=looks):
        ours.load_state_dict(other.state_dict())
    assert snapshot(ours) == before
    assert ours.state_dict()["param_groups"] == groups
    assert not ours._optimizer_load_state_dict_pre_hooks


@pytest.mark.parametrize(
    "step", [3, 3.0, np.float32(3), np.int64(3), torch.tensor(3.0), torch.tensor(3)], ids=repr
)
def test_old_state_dicts_load(step: Any) -> None:
    """Flags that the saved state lacks are off, whatever the loading optimizer had."""
    new = Adamax(two_parameters())
    for _ in range(3):
        after_a_step(new)
    saved = copy.deepcopy(new.state_dict())
    for slot in saved["state"].values():
        slot["step"] = step
    for option in set(saved["param_groups"][0]) - {"params", "lr", "betas", "eps", "weight_decay"}:
        del saved["param_groups"][0][option]
    loaded = Adamax(two_parameters(), maximize=True)
    loaded.load_state_dict(saved)
    assert not loaded.param_groups[0]["maximize"]
    after_a_step(loaded)
    assert {slot["step"].item() for slot in loaded.state.values()} == {4}
    assert {slot["step"].dtype for slot in loaded.state.values()} == {torch.float64}


def test_another_number_of_groups_or_parameters_raises_the_error_of_torch() -> None:
    ours = Adamax(two_parameters())
    for params in (two_parameters()[:1], [{"params": p} for p in two_parameters()]):
        saved = after_a_step(Adamax(params)).state_dict()
        with pytest.raises(ValueError, match="parameter group"):
            ours.load_state_dict(saved)


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("source", [Adamax, torch.optim.Adamax], ids=["ours", "stock"])
@pytest.mark.parametrize("target", [Adamax, torch.optim.Adamax], ids=["ours", "stock"])
def test_training_continues_with_the_state_of_the_other_class(
    source: Any, target: Any, foreach: bool
) -> None:
    """Loading restores the saved state; from there both follow the exact trajectory."""
    options = {"lr": 0.25, "weight_decay": 0.125, "foreach": foreach}
    first = source(two_parameters(torch.float64), **options)
    for _ in range(3):
        after_a_step(first)
    params = [Parameter(param.detach().clone()) for param in first.param_groups[0]["params"]]
    second = target(params, lr=1.0)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    at = [
        Followed(Fraction(p), Fraction(m), Fraction(u), int(slot["step"]))
        for param in params
        for slot in [second.state[param]]
        for p, m, u in zip(
            param.tolist(), slot["exp_avg"].tolist(), slot["exp_inf"].tolist(), strict=True
        )
    ]
    saved = first.state_dict()["state"].values()
    assert [each.exp_avg for each in at] == [x for slot in saved for x in slot["exp_avg"].tolist()]
    hp = Hyperparameters(lr=0.25, weight_decay=0.125)
    at = [follow(each, 1.0, hp, Fraction(1, 2**53)) for each in at]
    for optimizer in (first, second):
        after_a_step(optimizer)
        values = [x for p in optimizer.param_groups[0]["params"] for x in p.tolist()]
        assert_within(values, [each.param for each in at], [each.d_param for each in at])
        assert {int(slot["step"]) for slot in optimizer.state.values()} == {4}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_loaded_state_is_a_copy(dtype: torch.dtype) -> None:
    """torch.optim shares count and moments with the optimizer that they were saved from."""
    source, target = (
        after_a_step(Adamax(two_parameters(dtype), state_dtype=torch.float32)) for _ in range(2)
    )
    target.load_state_dict(source.state_dict())
    before = snapshot(source)
    after_a_step(target)
    assert snapshot(source) == before


def test_the_state_returned_by_user_hooks_is_checked() -> None:
    """So a hook can convert another optimizer's state, but cannot bypass the check."""
    adam = after_a_step(torch.optim.Adam(two_parameters()))
    ours = after_a_step(Adamax(two_parameters()))

    def converts(_: Any, saved: dict[str, Any]) -> dict[str, Any]:
        saved = copy.deepcopy(saved)
        for slot in saved["state"].values():
            slot["exp_inf"] = slot.pop("exp_avg_sq").sqrt()
        for group in saved["param_groups"]:
            del group["amsgrad"], group["decoupled_weight_decay"]
        return saved

    handle = ours.register_load_state_dict_pre_hook(converts)
    ours.load_state_dict(adam.state_dict())
    for slot, given in zip(ours.state.values(), adam.state.values(), strict=True):
        assert torch.equal(slot["exp_inf"], given["exp_avg_sq"].sqrt())
    handle.remove()
    before = snapshot(ours)
    ours.register_load_state_dict_pre_hook(lambda *_: adam.state_dict())
    with pytest.raises(ValueError, match="this looks like Adam"):
        ours.load_state_dict(ours.state_dict())
    assert snapshot(ours) == before


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        {},
        {"state": {}},
        {"model": 1},
        {"state": None, "param_groups": []},
        {"state": {}, "param_groups": {}},
        {"state": {}, "param_groups": [3]},
        {"state": {}, "param_groups": [{"lr": 0.1}]},
    ],
    ids=str,
)
def test_an_object_that_is_not_a_state_dict_raises(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^not an optimizer's state_dict: "):
        Adamax(two_parameters()).load_state_dict(given)


def test_an_empty_slot_is_no_state() -> None:
    """Reading `optimizer.state[param]` creates an empty slot."""
    source, target = Adamax(two_parameters()), Adamax(two_parameters())
    assert source.state[source.param_groups[0]["params"][0]] == {}
    target.load_state_dict(source.state_dict())
    after_a_step(target)


def test_additional_state_entries_are_loaded() -> None:
    """Entries of a parameter, or global ones, as in torch.optim."""
    source = after_a_step(Adamax(two_parameters()))
    source.state[source.param_groups[0]["params"][0]]["average"] = torch.ones(2)
    source.state["calls"] = 7
    target = Adamax(two_parameters())
    target.load_state_dict(source.state_dict())
    assert target.state["calls"] == 7  # type: ignore[index]  # as above
    first = target.param_groups[0]["params"][0]
    assert torch.equal(target.state[first]["average"], torch.ones(2))
    after_a_step(target)


def test_loading_replaces_the_options_of_a_group_as_torch_does() -> None:
    """Loading drops what a schedule has added to the groups of the loading optimizer."""
    target = Adamax(two_parameters())
    target.param_groups[0]["initial_lr"] = 0.5
    target.load_state_dict(Adamax(two_parameters()).state_dict())
    assert "initial_lr" not in target.param_groups[0]


def test_a_state_loads_before_a_lazy_module_is_materialized() -> None:
    source = after_a_step(Adamax(torch.nn.Linear(2, 3).parameters()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lazy modules are new, says torch
        module = torch.nn.LazyLinear(3)
    target = Adamax(module.parameters())
    target.load_state_dict(source.state_dict())
    module(torch.ones(1, 2))
    after_a_step(target)
    assert {slot["step"].item() for slot in target.state.values()} == {2}


def test_a_state_on_meta_loads() -> None:
    """`torch.load` gives such counts with ``map_location="meta"``."""
    saved = after_a_step(Adamax([Parameter(torch.ones(2, device="meta"))])).state_dict()
    saved["state"][0]["step"] = saved["state"][0]["step"].to("meta")
    target = Adamax([Parameter(torch.ones(2, device="meta"))], capturable=True)
    saved["param_groups"][0]["capturable"] = True
    target.load_state_dict(saved)
    after_a_step(target)
