"""The rule for many tensors of one device and dtype at once, in place; `adamax_torch.rule` in bulk.

The same operations in the same order, so that both give the same bits.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from adamax_torch.rule import Hyper, bias_correction


def adamax_(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_infs: list[Tensor],
    steps: Sequence[float | Tensor],
    hyper: Hyper,
) -> None:
    """One step for each of the real tensors, which all have one dtype; gradients are not changed.

    >>> hyper = Hyper(0.125, 0.75, 0.875, 0.0, 0.0, maximize=False, decoupled=False)
    >>> p, m, u = [torch.zeros(1)], [torch.zeros(1)], [torch.zeros(1)]
    >>> adamax_(p, [torch.ones(1)], m, u, [1], hyper)
    >>> p, m, u
    ([tensor([-0.1250])], [tensor([0.2500])], [tensor([1.])])
    """
    lr, beta1, beta2, eps, weight_decay, maximize, decoupled = hyper
    decays = isinstance(weight_decay, Tensor) or weight_decay != 0
    g = list(torch._foreach_neg(grads)) if maximize else grads
    if decays and not decoupled:
        g = list(torch._foreach_add(torch._foreach_mul(params, weight_decay), g))

    torch._foreach_mul_(exp_avgs, beta1)
    torch._foreach_add_(exp_avgs, torch._foreach_mul(g, 1 - beta1))

    torch._foreach_mul_(exp_infs, beta2)
    size = torch._foreach_abs(g)
    torch._foreach_add_(size, eps)
    torch._foreach_maximum_(exp_infs, size)

    shrinkage = torch._foreach_mul(params, lr * weight_decay) if decays and decoupled else None
    moved = torch._foreach_div(exp_avgs, exp_infs)
    step_sizes = [lr / bias_correction(beta1, step) for step in steps]
    torch._foreach_mul_(moved, step_sizes)  # type: ignore[arg-type]  # takes tensors of one element too
    torch._foreach_sub_(params, moved)
    if shrinkage is not None:
        torch._foreach_sub_(params, shrinkage)
