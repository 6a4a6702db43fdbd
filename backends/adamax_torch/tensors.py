"""The tensors of a step in columns, and classification of tensors by kind."""

import sys
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad


class Columns(NamedTuple):
    """The tensors of a step: lists of one length; a row is four tensors of one shape, and a count.

    Columns instead of rows: thousands of small objects would trigger the garbage collector.
    """

    params: list[Tensor]
    grads: list[Tensor]
    exp_avgs: list[Tensor]
    exp_infs: list[Tensor]
    steps: list[Tensor]

    def only(self, rows: list[int]) -> "Columns":
        """Some of the rows."""
        return Columns(*([column[row] for row in rows] for column in self))


Look = tuple[type[Tensor], torch.dtype, torch.device, torch.layout]
"""The properties, besides shape and values, that decide whether a tensor can be stepped."""

Kind = tuple[Look, Look, Look, Look]
"""The looks of parameter, gradient, first moment and infinity norm."""

look = attrgetter("__class__", "dtype", "device", "layout")


def by_kind(columns: Columns) -> dict[Kind, list[int]]:
    """Group row indices by kind.

    >>> ones = [torch.ones(2), torch.ones(3)]
    >>> list(by_kind(Columns(ones, ones, ones, ones, ones)).values())
    [[0, 1]]
    """
    found: dict[Kind, list[int]] = {}
    for row, kind in enumerate(zip(*(map(look, column) for column in columns[:4]), strict=True)):
        found.setdefault(kind, []).append(row)
    return found


def is_memory(kind: type[Tensor]) -> bool:
    """Are tensors of this class plain memory?

    False for classes that override PyTorch's operations, such as fake tensors and DTensors.

    >>> is_memory(torch.nn.Parameter)
    True
    """
    return kind.__torch_dispatch__ is Tensor.__torch_dispatch__


def is_sharded(kind: type[Tensor]) -> bool:
    """Is this class DTensor, whose tensors are sharded over processes (FSDP2 uses it)?"""
    # Importing it is slow, and a caller that has a DTensor has imported it.
    distributed = sys.modules.get("torch.distributed.tensor")
    return distributed is not None and issubclass(kind, distributed.DTensor)


def sorted_out(columns: Columns, kinds: set[Kind], *, by_kernel: bool) -> tuple[Columns, Columns]:
    """Split into rows that can be stepped many at once, and rows to step one by one.

    DTensors are replaced by their local shards if possible.
    """
    nothing = Columns([], [], [], [], [])
    # Foreach operations cannot write to lazily negated tensors.
    written = chain(columns.params, columns.exp_avgs, columns.exp_infs)
    if any(map(Tensor.is_neg, written)):
        return nothing, columns
    # The kernel does not support forward-mode AD; it would silently drop tangents.
    if by_kernel and any(map(_is_dual, columns.grads)):
        return nothing, columns
    if all(is_memory(cls) for kind in kinds for cls, *_ in kind):
        return columns, nothing
    columns = _local(columns)
    plain = [
        index
        for index, row in enumerate(zip(*columns[:4], strict=True))
        if all(is_memory(type(tensor)) for tensor in row)
    ]
    odd = sorted({*range(len(columns.params))} - {*plain})
    return columns.only(plain), columns.only(odd)


def _is_dual(tensor: Tensor) -> bool:
    """Does the tensor carry a tangent of forward-mode AD?"""
    dual: Any = forward_ad.unpack_dual(tensor)  # type: ignore[no-untyped-call]  # not typed
    return dual.tangent is not None


def _local(columns: Columns) -> Columns:
    """Replace DTensors by their local shards where all tensors of a row are sharded alike.

    The rule is elementwise, so each process can step its own shards. Other rows, and partial sums,
    are left to PyTorch.
    """
    rows = zip(*columns[:4], strict=True)
    params, grads, exp_avgs, exp_infs = zip(*(_local_row(*row) for row in rows), strict=True)
    return Columns(list(params), list(grads), list(exp_avgs), list(exp_infs), columns.steps)


def _local_row(*row: Any) -> tuple[Tensor, ...]:
    param = row[0]
    if not all(is_sharded(type(tensor)) for tensor in row):
        return row
    spread = param.device_mesh, param.placements
    alike = all((each.device_mesh, each.placements) == spread for each in row)
    if not alike or any(placement.is_partial() for placement in param.placements):
        return row
    return tuple(each.to_local() for each in row)
