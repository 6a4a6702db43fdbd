"""Autograd through the steps of `Adamax`: first and second order, forward and backward."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from adamax_torch import Adamax
from exact import THREE_STEPS, assert_within, derivative
from torch_steps import bits, parameter, stepped


def through_three_steps(
    at: dict[str, Tensor], *, decoupled: bool, in_tensors: bool = True, capturable: bool = False
) -> Tensor:
    """The parameter after three differentiable steps."""
    param = at["p"].clone()

    def number(name: str) -> Any:
        return at[name] if in_tensors else at[name].item()

    optimizer = Adamax(
        [param],
        lr=number("lr"),
        betas=(number("b1"), number("b2")),
        eps=number("eps"),
        weight_decay=number("wd"),
        differentiable=True,
        capturable=capturable,
        decoupled_weight_decay=decoupled,
    )
    for name in ("g1", "g2", "g3"):
        param.grad = at[name]
        optimizer.step()
    return param


@pytest.mark.parametrize("capturable", [False, True])
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("name", ["p", "g1", "g2", "g3", "lr", "b1", "b2", "eps", "wd"])
def test_autograd_differentiates_three_steps(name: str, decoupled: bool, capturable: bool) -> None:
    at = {key: torch.tensor(x, dtype=torch.float64) for key, x in THREE_STEPS.items()}
    at[name].requires_grad_()
    (slope,) = torch.autograd.grad(
        through_three_steps(at, decoupled=decoupled, capturable=capturable), at[name]
    )
    exact, bound = derivative(name, decoupled)
    assert_within([slope.item()], [exact], [bound])


def test_forward_mode_reaches_the_learning_rate() -> None:
    """A dual tensor does not require a gradient, but its value must not be read."""

    def after_a_step(lr: Tensor) -> Tensor:
        param = torch.ones(2, dtype=torch.float64)
        optimizer = Adamax([param], lr, eps=0.0, differentiable=True)
        param.grad = torch.tensor([1.0, 2.0], dtype=torch.float64)
        optimizer.step()
        return param.sum()

    lr = torch.tensor(0.5, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, at the first forward derivative
        slope = torch.func.jvp(after_a_step, (lr,), (torch.ones_like(lr),))[1]
    assert slope == -2


@pytest.mark.parametrize("decoupled", [False, True])
def test_second_derivatives_pass_gradgradcheck(decoupled: bool) -> None:
    names = list(THREE_STEPS)
    inputs = [
        torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in THREE_STEPS.values()
    ]

    def final(*values: Tensor) -> Tensor:
        return through_three_steps(dict(zip(names, values, strict=True)), decoupled=decoupled)

    assert torch.autograd.gradgradcheck(final, inputs)


def loss_gradient_after_a_step(seen_by_the_loss: Callable[[Tensor], Tensor]) -> Tensor:
    """p = w - lr * 2w / (2w + eps), so dp/dw = 1 - lr * 2 eps / (2w + eps)^2, at w = 1, eps = 2."""
    start = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    param = start.clone()
    optimizer = Adamax([param], lr=0.5, betas=(0.0, 0.5), eps=2.0, differentiable=True)
    (param.grad,) = torch.autograd.grad(seen_by_the_loss(param).square(), param, create_graph=True)
    optimizer.step()
    (slope,) = torch.autograd.grad(param, start)
    return slope


def test_autograd_reaches_a_gradient_that_was_computed_with_create_graph() -> None:
    assert loss_gradient_after_a_step(torch.clone).item() == 1 - 0.5 * 4 / 16


def test_a_loss_whose_graph_is_needed_must_use_a_clone() -> None:
    """The parameter changes in place, as the docstring says, and autograd notices."""
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss_gradient_after_a_step(lambda param: param)


def test_differentiable_gives_the_bits_of_the_plain_step() -> None:
    at = {key: torch.tensor([x], dtype=torch.float64) for key, x in THREE_STEPS.items()}
    plain = Adamax(
        [parameter(THREE_STEPS["p"])],
        THREE_STEPS["lr"],
        (THREE_STEPS["b1"], THREE_STEPS["b2"]),
        THREE_STEPS["eps"],
        THREE_STEPS["wd"],
    )
    after = stepped(plain, *(at[name] for name in ("g1", "g2", "g3")))
    assert bits(through_three_steps(at, decoupled=False, in_tensors=False)) == bits(after)


def test_differentiable_may_be_an_option_of_one_group() -> None:
    lr = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    param = torch.tensor([1.0], dtype=torch.float64)
    optimizer = Adamax([{"params": [param], "differentiable": True, "lr": lr}], eps=0.0)
    stepped(optimizer, 1.0)
    (slope,) = torch.autograd.grad(param.sum(), lr)
    assert slope == -1
