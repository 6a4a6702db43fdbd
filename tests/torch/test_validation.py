"""Invalid arguments raise errors with value, domain and remedy, and change nothing."""

import math
import re
import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from adamax_torch import Adamax
from torch_steps import snapshot

BETAS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "beta1": lambda x: (x, 0.999),
    "beta2": lambda x: (0.9, x),
}
STOCK = {
    "lr": "Invalid learning rate",
    "eps": "Invalid epsilon value",
    "weight_decay": "Invalid weight_decay value",
    "beta1": "Invalid beta parameter at index 0",
    "beta2": "Invalid beta parameter at index 1",
}
BAD: list[tuple[str, float]] = [
    (name, value)
    for name in ("lr", "eps", "weight_decay", *BETAS)
    for value in (-1.0, math.inf, math.nan)
] + [(name, 1.0) for name in BETAS]


def option(name: str, value: Any) -> dict[str, Any]:
    return {"betas": BETAS[name](value)} if name in BETAS else {name: value}


def domain(name: str, value: float) -> str:
    end = "1" if name in BETAS else "inf"
    domain = f"({name} = {value} is outside its domain 0 <= {name} < {end})"
    return f"^{re.escape(f'{STOCK[name]}: {value} {domain}')}$"


def pair(dtype: torch.dtype = torch.float64) -> list[Parameter]:
    params = [Parameter(torch.tensor([1.0, 2.0], dtype=dtype)) for _ in range(2)]
    for param in params:
        param.grad = torch.ones_like(param)
    return params


@pytest.mark.parametrize("kind", [Fraction, Decimal, np.float64, np.array, torch.tensor])
def test_a_number_of_every_type_gives_the_step_of_a_float(kind: Callable[[float], Any]) -> None:
    steps = []
    for number in (float, kind):
        lr, beta1, beta2, eps, decay = map(number, (0.125, 0.75, 0.5, 2.0**-8, 0.25))
        optimizer = Adamax(pair(), lr, (beta1, beta2), eps, decay)
        optimizer.step()
        steps.append(snapshot(optimizer))
    assert steps[0] == steps[1]


@pytest.mark.parametrize("name", BETAS)
def test_a_rational_that_rounds_out_of_its_domain_raises(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} = 1\.0 is outside its domain 0 <= {name} < 1"):
        Adamax(pair(), **option(name, 1 - Fraction(1, 10**30)))


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_hyperparameter_outside_its_domain_is_a_value_error(
    name: str, value: float, as_tensor: bool
) -> None:
    given = option(name, torch.tensor(value) if as_tensor else value)
    with pytest.raises(ValueError, match=domain(name, value)):
        Adamax(pair(), **given)


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_group_with_a_bad_hyperparameter_is_not_added(name: str, value: float) -> None:
    first, second = pair()
    optimizer = Adamax([first])
    with pytest.raises(ValueError, match=domain(name, value)):
        optimizer.add_param_group({"params": [second], **option(name, value)})
    assert len(optimizer.param_groups) == 1


def test_a_group_that_is_not_a_dict_raises_the_error_of_torch() -> None:
    with pytest.raises(TypeError, match="param_group must be a dict"):
        Adamax(pair()).add_param_group([torch.ones(1)])  # type: ignore[arg-type]  # the point


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_hyperparameter_set_later_raises_before_anything_changes(
    name: str, value: float, foreach: bool
) -> None:
    first, second = pair()
    optimizer = Adamax([{"params": [first]}, {"params": [second]}], foreach=foreach)
    optimizer.step()
    optimizer.param_groups[1].update(option(name, value))
    before = snapshot(optimizer)
    with pytest.raises(ValueError, match=domain(name, value)):
        optimizer.step()
    assert snapshot(optimizer) == before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"betas": 0.9}, ValueError, r"^betas = 0.9 is not a pair \(beta1, beta2\)$"),
        ({"betas": (0.9,)}, ValueError, r"is not a pair"),
        ({"lr": None}, TypeError, "^lr = None is not a number$"),
        ({"lr": 0.1j}, TypeError, r"^lr = 0\.1j is not a number$"),
        ({"betas": {"a": 0.5, "b": 0.5}}, TypeError, "^beta1 = 'a' is not a number$"),
        ({"eps": "small"}, TypeError, "^eps = 'small' is not a number$"),
        ({"lr": torch.ones(2)}, ValueError, r"^Tensor lr must be 1-element, has shape \(2,\)$"),
        ({"betas": (torch.ones(0), 0.9)}, ValueError, r"must be 1-element, has shape \(0,\)$"),
        ({"state_dtype": torch.int32}, TypeError, "^state_dtype = torch.int32 is not a real"),
        ({"state_dtype": torch.complex64}, TypeError, "^state_dtype = torch.complex64 is not"),
        ({"state_dtype": "int32"}, TypeError, "^state_dtype = int32 is not a real .* the name of"),
        ({"state_dtype": "nn"}, TypeError, "^state_dtype = nn is not a real floating-point torch"),
        (
            {"foreach": True, "differentiable": True},
            RuntimeError,
            "^`foreach` does not support `differentiable`: leave foreach out$",
        ),
        (
            {"fused": True, "differentiable": True},
            RuntimeError,
            "^`fused` does not support `differentiable`: leave fused out$",
        ),
        (
            {"fused": True, "foreach": True},
            RuntimeError,
            "^`fused` and `foreach` cannot be `True` together.$",
        ),
        (
            {"fused": True, "capturable": True},
            RuntimeError,
            "^`fused` does not support `capturable`: leave fused out$",
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("late", [False, True], ids=["constructor", "group"])
def test_invalid_options_raise(
    options: dict[str, Any], error: type[Exception], message: str, late: bool
) -> None:
    first, second = pair()
    with pytest.raises(error, match=message):
        Adamax([first] if late else [first, second], **({} if late else options)).add_param_group(
            {"params": [second], **options}
        )


def sparse() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's note on its invariant checks
        return torch.sparse_coo_tensor(
            torch.tensor([[0]]), torch.ones(1), (2,), check_invariants=True
        )


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize(
    ("grad", "data", "message"),
    [
        (sparse(), None, r"^Adamax does not support sparse gradients \(group 1, parameter 0\)$"),
        (
            torch.ones(2),
            torch.ones(3),
            r"^group 1, parameter 0: the gradient has shape \(3,\), the parameter \(2,\)$",
        ),
        (
            torch.ones(2),
            torch.ones(2, dtype=torch.complex64),
            "^group 1, parameter 0: the gradient has dtype torch.complex64, .* torch.float32$",
        ),
    ],
    ids=["sparse", "shape", "complex"],
)
def test_a_mismatched_gradient_raises_before_anything_changes(
    grad: Tensor, data: Tensor | None, message: str, foreach: bool
) -> None:
    """torch checks a gradient where it is assigned; its `data` can be replaced afterwards."""
    first, second = pair(torch.float32)
    optimizer = Adamax([{"params": [first]}, {"params": [second]}], foreach=foreach)
    optimizer.step()
    second.grad = grad.clone()
    if data is not None:
        second.grad.data = data
    before = snapshot(optimizer)
    with pytest.raises(RuntimeError, match=message):
        optimizer.step()
    assert snapshot(optimizer) == before


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_parameters_that_are_not_floating_point_raise(dtype: torch.dtype, foreach: bool) -> None:
    param = torch.ones(2, dtype=dtype)
    param.grad = torch.ones(2, dtype=dtype)
    with pytest.raises(RuntimeError, match=f"^group 0, parameter 0: .* the parameter {dtype}$"):
        Adamax([param], foreach=foreach).step()


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda _, p: setattr(p, "data", torch.ones(5)),
            r"^the state of group 1, parameter 0 has exp_avg of shape \(2,\), .* shape \(5,\)$",
        ),
        (
            lambda _, p: setattr(p, "data", torch.ones(2, dtype=torch.complex64)),
            "^the state of group 1, parameter 0 has exp_avg of torch.float32, .*complex64$",
        ),
        (
            lambda o, p: o.state[p].pop("exp_inf"),
            "has exp_inf = None, not a dense floating-point or complex tensor$",
        ),
        (
            lambda o, _: o.param_groups[1].update(lr=torch.tensor(0.1, device="meta")),
            "^group 1, parameter 0 is on cpu, but lr is on meta: move it to",
        ),
        (
            lambda o, _: o.param_groups[1].update(betas=(0.9, torch.tensor(0.1, device="meta"))),
            "^group 1, parameter 0 is on cpu, but beta2 is on meta: move it to",
        ),
    ],
    ids=["shape", "kind", "moment", "lr on meta", "beta2 on meta"],
)
def test_invalid_state_set_from_outside_raises_before_anything_changes(
    break_it: Callable[[Adamax, Parameter], Any], message: str, foreach: bool
) -> None:
    first, second = pair(torch.float32)
    optimizer = Adamax([{"params": [first]}, {"params": [second]}], foreach=foreach)
    optimizer.step()
    break_it(optimizer, second)
    second.grad = torch.ones_like(second)
    before = snapshot(optimizer)
    with pytest.raises(ValueError, match=message):
        optimizer.step()
    assert snapshot(optimizer) == before


@pytest.mark.parametrize(
    ("param", "message"),
    [
        (torch.zeros(1).expand(3), "elements of an expanded tensor share memory"),
        (torch.eye(2).to_sparse(), "only dense tensors can take steps, not torch.sparse_coo$"),
        (torch.ones(2, dtype=torch.complex64).conj(), r"pass its resolve_conj\(\)$"),
    ],
    ids=["expanded", "sparse", "conjugated"],
)
@pytest.mark.parametrize("foreach", [False, True])
def test_parameters_that_cannot_change_in_place_raise(
    param: Tensor, message: str, foreach: bool
) -> None:
    param.grad = param.clone()
    optimizer = Adamax([param], foreach=foreach)
    with pytest.raises(RuntimeError, match=f"^group 0, parameter 0: .*{message}"):
        optimizer.step()
    assert not optimizer.state


def test_bad_defaults_raise_even_if_every_group_overrides_them() -> None:
    for params in ([{"params": pair(), "lr": 0.1}], []):
        with pytest.raises(ValueError, match=r"^Invalid learning rate: -1 \("):
            Adamax(params, lr=-1)


def test_a_differentiable_leaf_without_a_gradient_is_unchanged() -> None:
    params = pair()
    optimizer = Adamax(params, differentiable=True)
    for param in params:
        param.grad = None
    before = snapshot(optimizer)
    optimizer.step()
    assert snapshot(optimizer) == before


def test_a_differentiable_step_of_a_leaf_raises_with_the_remedy() -> None:
    first, second = pair()
    optimizer = Adamax([first, second], differentiable=True)
    before = snapshot(optimizer)
    with pytest.raises(
        RuntimeError, match=r"^group 0, parameter 0: .*pass param\.clone\(\) to the optimizer$"
    ):
        optimizer.step()
    assert snapshot(optimizer) == before


@pytest.mark.parametrize("foreach", [False, True])
def test_state_of_another_shape_raises_before_anything_changes(foreach: bool) -> None:
    source = Adamax(pair())
    source.step()
    params = [Parameter(torch.ones(2, dtype=torch.float64)), Parameter(torch.ones(3).double())]
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer = Adamax(params, foreach=foreach)
    optimizer.step()
    before = snapshot(optimizer)
    with pytest.raises((ValueError, RuntimeError), match=r"\(2,\).*\(3,\)|\(3,\).*\(2,\)"):
        optimizer.load_state_dict(source.state_dict())
    assert snapshot(optimizer) == before
