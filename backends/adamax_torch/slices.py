"""Large tensors in slices: what a step makes on its way is small, and stays in the cache."""

import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

CACHED = 2**18
"""How many elements a processor takes at once: what a step makes of them stays in its cache."""

SMALL = 2**16
"""How many elements may always be widened at once: they take little memory."""


class Tensors(NamedTuple):
    """What takes a step together: four tensors of one shape."""

    param: Tensor
    grad: Tensor
    exp_avg: Tensor
    exp_inf: Tensor


Piece = tuple[Tensors, float | Tensor]
"""Tensors, and which step it is that they take."""


def at_once(device: torch.device, elements: int, *, wide: bool) -> int:
    """How many of the elements of some tensors take a step at once.

    Args:
        device: a processor has a cache to stay in.
        elements: how many there are.
        wide: whether none has to be widened. Else five copies of a tenth of them in float32 are as
            much as one of all in half precision.
    """
    if torch.compiler.is_compiling():
        # The compiler makes its own slices.
        return sys.maxsize
    limit = CACHED if device.type == "cpu" else sys.maxsize
    return limit if wide else min(limit, max(SMALL, elements // 10))


def slices(tensors: Tensors, limit: int) -> Iterator[Tensors]:
    """The tensors in slices of at most `limit` elements, which are views.

    >>> four = Tensors(*torch.zeros(4, 5, 2))
    >>> [part.grad.shape for part in slices(four, 4)]
    [torch.Size([2, 2]), torch.Size([2, 2]), torch.Size([1, 2])]
    """
    param = tensors.param
    # A slice of a tensor that is spread over processes would be spread anew.
    plain = all(type(tensor) in (Tensor, torch.nn.Parameter) for tensor in tensors)
    if param.numel() <= limit or not plain:
        yield tensors
        return
    # Along the outermost dimension a slice lies together.
    long = (dim for dim in range(param.dim()) if param.size(dim) > 1)
    outermost = max(long, key=param.stride)
    rows = max(1, limit * param.size(outermost) // param.numel())
    for part in zip(*(torch.split(tensor, rows, outermost) for tensor in tensors), strict=True):
        yield from slices(Tensors(*part), limit)


def batches(many: Sequence[Piece], limit: int) -> Iterator[list[Piece]]:
    """Batches of at most `limit` elements, so that their wide copies are never all there at once.

    >>> many = [(Tensors(*torch.zeros(4, 5)), 1.0), (Tensors(*torch.zeros(4, 2)), 3.0)]
    >>> [[(len(part.param), count) for part, count in batch] for batch in batches(many, 3)]
    [[(3, 1.0)], [(2, 1.0)], [(2, 3.0)]]
    """
    batch: list[Piece] = []
    room = limit
    for tensors, count in many:
        for part in slices(tensors, limit):
            size = part.param.numel()
            if batch and size > room:
                yield batch
                batch, room = [], limit
            batch.append((part, count))
            room -= size
    if batch:
        yield batch
