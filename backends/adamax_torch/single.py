"""The rule on one tensor in place, for tensors of every kind."""

import torch
from torch import Tensor

from adamax_torch.precision import store, widened
from adamax_torch.rule import Hyper, adamax
from adamax_torch.tensors import Columns


def step_one(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_inf: Tensor,
    count: float | Tensor,
    hyper: Hyper,
) -> None:
    """One step in place; `count` is its number, and the first step is 1.

    >>> param, grad, exp_avg, exp_inf = torch.ones(4, 2)
    >>> hyper = Hyper(0.125, 0.75, 0.5, 0.0, 0.0, maximize=False, decoupled=False)
    >>> step_one(param, grad, exp_avg, exp_inf, 1, hyper)
    >>> param
    tensor([0.5000, 0.5000])
    """
    p, g, m, u = widened(param, grad, exp_avg, exp_inf)
    update, m, u = adamax(p, g, m, u, count, hyper)
    store(p + update, param)
    store(m, exp_avg)
    store(u, exp_inf)


def count_one(step: Tensor) -> None:
    """A-3: add one to a count."""
    # Not step.add_(1): TorchDynamo treats a zero-dimensional float64 tensor as a constant.
    torch._foreach_add_([step], 1)


def step_each(columns: Columns, hyper: Hyper, *, unread: bool) -> None:
    """Count and take a step of each row; `unread` passes counts as tensors, not as numbers."""
    for param, grad, exp_avg, exp_inf, step in zip(*columns, strict=True):
        count_one(step)
        step_one(param, grad, exp_avg, exp_inf, step if unread else step.item(), hyper)
