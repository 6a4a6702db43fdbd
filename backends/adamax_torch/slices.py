"""Many tensors in batches, large ones in slices: what a step makes on its way is small."""

import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

SLICE = 2**20
"""Elements of a slice on a processor: what a step makes of it stays in a cache."""

BATCH = 2**18
"""Elements that a processor steps in one batch, for the same reason."""

SMALL = 2**16
"""How many elements may always be widened at once: they take little memory."""


class Limits(NamedTuple):
    """How many elements take a step at once: of one tensor, and of all in a batch."""

    slice: int
    batch: int


def limits(device: torch.device, elements: int, *, wide: bool, together: bool) -> Limits:
    """How tensors of so many elements are stepped.

    Args:
        device: a processor has a cache to stay in.
        elements: how many there are.
        wide: whether none has to be widened. Else five copies of an eleventh of them in float32 are
            less than one of all in half precision.
        together: whether an accelerator steps many tensors in one launch. A processor launches
            nothing, and takes small ones together in any case.
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
    """Columns of at most ``limit.batch`` elements, or of one slice; and of which rows they are.

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
    """Tensors of one shape in slices of at most `limit` elements, which are views.

    >>> [part.shape for [part] in slices([torch.zeros(5, 2)], 4)]
    [torch.Size([2, 2]), torch.Size([2, 2]), torch.Size([1, 2])]
    """
    tensor = tensors[0]
    if tensor.numel() <= limit:
        yield tensors
        return
    # Along the outermost dimension a slice lies together.
    long = (dim for dim in range(tensor.dim()) if tensor.size(dim) > 1)
    outermost = max(long, key=tensor.stride)
    rows = max(1, limit * tensor.size(outermost) // tensor.numel())
    for part in zip(*(torch.split(each, rows, outermost) for each in tensors), strict=True):
        yield from slices(part, limit)
