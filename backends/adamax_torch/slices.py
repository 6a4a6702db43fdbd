"""Split tensors into batches and slices, so that the temporaries of a step stay small."""

import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

SLICE = 2**20
"""Elements of a slice on a CPU: its temporaries stay in the cache."""

BATCH = 2**18
"""Elements of a batch on a CPU, for the same reason."""

SMALL = 2**16
"""Elements that may always be widened at once: they take little memory."""


class Limits(NamedTuple):
    """The most elements to step at once: of one tensor, and of all tensors in a batch."""

    slice: int
    batch: int


def limits(device: torch.device, elements: int, *, wide: bool, together: bool) -> Limits:
    """Choose the limits for a step.

    Args:
        device: on a CPU, temporaries should stay in the cache.
        elements: the number of elements to widen.
        wide: no tensor needs widening. If False, slices of an eleventh of the elements keep five
            float32 copies smaller than one half precision copy of all.
        together: step many tensors in one launch on an accelerator. A CPU batches small tensors in
            any case.
    """
    processor = device.type == "cpu"
    size = SLICE if processor else sys.maxsize
    if not wide:
        size = min(size, max(SMALL, elements // 11))
    if processor:
        return Limits(size, min(size, BATCH))
    return Limits(size, size if together else 0)


def batches(
    columns: Sequence[Sequence[Tensor]], limit: Limits
) -> Iterator[tuple[slice, list[list[Tensor]]]]:
    """Yield batches of at most ``limit.batch`` elements, or single slices, with their rows.

    >>> columns = [[torch.zeros(5), torch.zeros(2), torch.zeros(1)]]
    >>> for rows, [column] in batches(columns, Limits(4, 4)):
    ...     print(rows.start, rows.stop, [len(tensor) for tensor in column])
    0 1 [4]
    0 1 [1]
    1 3 [2, 1]
    """
    sizes = list(map(Tensor.numel, columns[0]))
    if sum(sizes) <= limit.batch or (len(sizes) == 1 and sizes[0] <= limit.slice):
        yield slice(None), [list(column) for column in columns]
        return
    first, room = 0, limit.batch
    for index, size in enumerate(sizes):
        if index > first and size > room:
            yield slice(first, index), [list(column[first:index]) for column in columns]
            first, room = index, limit.batch
        room -= size
        if size > limit.slice:
            for part in slices([column[index] for column in columns], limit.slice):
                yield slice(index, index + 1), [[tensor] for tensor in part]
            first, room = index + 1, limit.batch
    if first < len(sizes):
        yield slice(first, len(sizes)), [list(column[first:]) for column in columns]


def slices(tensors: Sequence[Tensor], limit: int) -> Iterator[Sequence[Tensor]]:
    """Yield tensors of one shape in slices of at most `limit` elements; slices are views.

    >>> [part.shape for [part] in slices([torch.zeros(5, 2)], 4)]
    [torch.Size([2, 2]), torch.Size([2, 2]), torch.Size([1, 2])]
    """
    tensor = tensors[0]
    if tensor.numel() <= limit:
        yield tensors
        return
    # Slices along the outermost dimension are contiguous.
    long = (dim for dim in range(tensor.dim()) if tensor.size(dim) > 1)
    outermost = max(long, key=tensor.stride)
    rows = max(1, limit * tensor.size(outermost) // tensor.numel())
    for part in zip(*(torch.split(each, rows, outermost) for each in tensors), strict=True):
        yield from slices(part, limit)
