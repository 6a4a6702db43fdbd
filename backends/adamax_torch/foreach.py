"""The rule for many tensors of one device and dtype at once, in place; `adamax_torch.rule` in bulk.

The same operations in the same order, so that both give the same bits. Beyond its arguments it
holds one copy of the tensors at a time (two with decoupled decay), as torch.optim.Adamax does.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from adamax_torch.precision import compute_dtype, store, widened
from adamax_torch.rule import Hyper, Scalar, bias_correction
from adamax_torch.slices import Piece, at_once, batches


def step_many(pieces: Iterable[Piece], hyper: Hyper) -> None:
    """One step in place for tensors of any devices and dtypes, as many at once as go together.

    >>> from adamax_torch.slices import Tensors
    >>> hyper = Hyper(0.125, 0.75, 0.875, 0.0, 0.0, maximize=False, decoupled=False)
    >>> wide, half = (Tensors(*torch.ones(4, 1, dtype=d)) for d in (torch.float64, torch.float16))
    >>> step_many([(wide, 1), (half, 2)], hyper)
    >>> wide.param, half.param
    (tensor([0.5000], dtype=torch.float64), tensor([0.7144], dtype=torch.float16))
    """
    buckets: dict[tuple[Any, ...], list[Piece]] = {}
    for tensors, step in pieces:
        # Tensors that are spread over processes go with their like.
        param = tensors.param
        key = (type(param.data), param.device, *(tensor.dtype for tensor in tensors))
        buckets.setdefault(key, []).append((tensors, step))
    for (_, device, *dtypes), bucket in buckets.items():
        elements = sum(tensors.param.numel() for tensors, _ in bucket)
        dtype = compute_dtype(*dtypes)
        for batch in batches(bucket, at_once(device, elements, wide=set(dtypes) == {dtype})):
            _step_batch(batch, dtype, hyper)


def _step_batch(batch: Sequence[Piece], dtype: torch.dtype, hyper: Hyper) -> None:
    """By itself, so that its wide copies are gone before those of the next are made."""
    p, g, m, u = map(list, zip(*(widened(*tensors) for tensors, _ in batch), strict=True))
    adamax_(p, g, m, u, [step for _, step in batch], hyper)
    for (tensors, _), *new in zip(batch, p, m, u, strict=True):
        for old, wide in zip((tensors.param, tensors.exp_avg, tensors.exp_inf), new, strict=True):
            # What had not to be widened is in place already.
            if old.dtype != dtype:
                store(wide, old)


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
    # x - g has the bits of x + (-g), and needs no -g.
    add_signed_ = torch._foreach_sub_ if maximize else torch._foreach_add_

    def decayed() -> list[Tensor]:
        g = list(torch._foreach_mul(params, weight_decay))
        add_signed_(g, grads)
        return g

    torch._foreach_mul_(exp_avgs, beta1)
    torch._foreach_mul_(exp_infs, beta2)
    if hyper.decays and not decoupled:
        scaled = decayed()
        torch._foreach_mul_(scaled, 1 - beta1)
        torch._foreach_add_(exp_avgs, scaled)
        # Computed twice, so that there are never two copies.
        del scaled
        size = decayed()
        torch._foreach_abs_(size)
    else:
        add_signed_(exp_avgs, torch._foreach_mul(grads, 1 - beta1))
        size = list(torch._foreach_abs(grads))
    torch._foreach_add_(size, eps)
    torch._foreach_maximum_(exp_infs, size)
    del size

    updates = torch._foreach_div(exp_avgs, exp_infs)
    corrections = _bias_corrections(beta1, steps)
    torch._foreach_mul_(updates, [-lr / correction for correction in corrections])  # type: ignore[misc]  # takes tensors of one element too
    if hyper.decays and decoupled:
        torch._foreach_sub_(updates, torch._foreach_mul(params, lr * weight_decay))
    torch._foreach_add_(params, updates)


def _bias_corrections(beta1: Scalar, steps: Sequence[float | Tensor]) -> Sequence[Scalar]:
    """A-6 for each of the steps; those that are on a device take one launch an operation."""
    counts = [step for step in steps if isinstance(step, Tensor)]
    if counts:
        corrections = bias_correction(beta1, torch.stack(counts))
        return corrections.unbind() if isinstance(corrections, Tensor) else [corrections]
    return [bias_correction(beta1, step) for step in steps]
