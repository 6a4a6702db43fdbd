"""Stepping many tensors at once gives the bits of stepping them one by one."""

from typing import Any

import pytest
import torch

from adamax_torch import Adamax
from torch_steps import DTYPES, OPTIONS, bits, make_parameters, set_gradients, snapshot

EVERY: list[dict[str, Any]] = [
    *OPTIONS,
    {"capturable": True, "weight_decay": 0.1},
    {"betas": (0.0, 0.0), "lr": 0.5},
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", EVERY, ids=str)
def test_foreach_gives_the_bits_of_the_loop(dtype: torch.dtype, options: dict[str, Any]) -> None:
    one, many = make_parameters(dtype), make_parameters(dtype)
    loop = Adamax(one, foreach=False, **options)
    foreach = Adamax(many, foreach=True, **options)
    before = snapshot(loop)
    for seed in range(1, 5):
        for params in (one, many):
            set_gradients(params, seed)
        loop.step()
        foreach.step()
        assert snapshot(loop) == snapshot(foreach)
    assert snapshot(loop) != before


@pytest.mark.parametrize("capturable", [False, True])
def test_scalars_have_the_bits_of_vectors(capturable: bool) -> None:
    """A zero-dimensional tensor would take the dtype of a tensor hyperparameter."""
    values = torch.randn(50, generator=torch.Generator().manual_seed(0))
    grads = torch.randn((20, 50), generator=torch.Generator().manual_seed(1))
    vector = torch.nn.Parameter(values.clone())
    options: dict[str, Any] = {
        "betas": (torch.tensor(0.9), torch.tensor(0.999).double()),
        "weight_decay": torch.tensor(0.1),
        "decoupled_weight_decay": True,
        "capturable": capturable,
    }
    whole = Adamax([vector], 0.1, foreach=False, **options)
    optimizers = [
        Adamax([torch.nn.Parameter(value.clone()) for value in values], 0.1, foreach=f, **options)
        for f in (False, True)
    ]
    for row in grads:
        vector.grad = row
        for optimizer in optimizers:
            for param, grad in zip(optimizer.param_groups[0]["params"], row, strict=True):
                param.grad = grad
        for optimizer in (whole, *optimizers):
            optimizer.step()
    assert snapshot(optimizers[0]) == snapshot(optimizers[1])
    assert torch.equal(torch.stack(optimizers[0].param_groups[0]["params"]), vector)


def test_one_group_may_hold_several_dtypes_and_a_state_dtype() -> None:
    mixes = [[make_parameters(dtype) for dtype in DTYPES] for _ in range(2)]
    loop, foreach = (
        Adamax([p for params in mix for p in params], state_dtype=torch.float32, foreach=each)
        for mix, each in zip(mixes, (False, True), strict=True)
    )
    for seed in range(1, 4):
        for params in mixes[0] + mixes[1]:
            set_gradients(params, seed)
        loop.step()
        foreach.step()
    assert snapshot(loop) == snapshot(foreach)


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradients_are_not_modified(dtype: torch.dtype, foreach: bool) -> None:
    params = make_parameters(dtype)
    optimizer = Adamax(params, foreach=foreach, maximize=True, weight_decay=0.1)
    set_gradients(params, 2)
    before = [bits(p.grad) for p in params if p.grad is not None]
    optimizer.step()
    assert [bits(p.grad) for p in params if p.grad is not None] == before


def test_foreach_with_no_gradient_at_all_does_nothing() -> None:
    optimizer = Adamax(make_parameters(), foreach=True)
    before = snapshot(optimizer)
    optimizer.step()
    assert snapshot(optimizer) == before
