"""The tensors of a step, in columns, and what kinds of tensors there are."""

import sys
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad


class Columns(NamedTuple):
    """What takes a step together: lists of one length; a row is four tensors of one shape.

    Lists and no list of rows: thousands of small objects would call the garbage collector.
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
"""What can be right or wrong of a tensor, whatever its shape and its values."""

Kind = tuple[Look, Look, Look, Look]
"""The looks of parameter, gradient, first moment and infinity norm."""

look = attrgetter("__class__", "dtype", "device", "layout")


def by_kind(columns: Columns) -> dict[Kind, list[int]]:
    """Which rows are of which kind.

    >>> ones = [torch.ones(2), torch.ones(3)]
    >>> list(by_kind(Columns(ones, ones, ones, ones, ones)).values())
    [[0, 1]]
    """
    found: dict[Kind, list[int]] = {}
    for row, kind in enumerate(zip(*(map(look, column) for column in columns[:4]), strict=True)):
        found.setdefault(kind, []).append(row)
    return found


def is_memory(kind: type[Tensor]) -> bool:
    """Whether the tensors of a class are what lies in their memory, and nothing more.

    A class that handles PyTorch's operations itself is more: a fake tensor, a DTensor.

    >>> is_memory(torch.nn.Parameter)
    True
    """
    return kind.__torch_dispatch__ is Tensor.__torch_dispatch__


def is_sharded(kind: type[Tensor]) -> bool:
    """Whether the tensors of a class are spread over processes: DTensor, under FSDP2 too."""
    # To import it takes longer than all the rest, and whoever has one has imported it.
    distributed = sys.modules.get("torch.distributed.tensor")
    return distributed is not None and issubclass(kind, distributed.DTensor)


def sorted_out(columns: Columns, kinds: set[Kind], *, by_kernel: bool) -> tuple[Columns, Columns]:
    """The rows that can be stepped many at once, and the others, which are stepped one by one.

    Of tensors that are spread over processes, the parts of this process.
    """
    nothing = Columns([], [], [], [], [])
    # PyTorch changes a list of tensors in place only where none of them is lazily negated.
    written = chain(columns.params, columns.exp_avgs, columns.exp_infs)
    if any(map(Tensor.is_neg, written)):
        return nothing, columns
    # The kernel knows nothing of forward-mode AD, and would lose a tangent silently.
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
    """Whether a tensor carries a tangent of forward-mode AD."""
    dual: Any = forward_ad.unpack_dual(tensor)  # type: ignore[no-untyped-call]  # not typed
    return dual.tangent is not None


def _local(columns: Columns) -> Columns:
    """The columns, and of DTensors what this process has, where the rule applies to it.

    The rule is elementwise, so tensors that are spread in the same way can be stepped part by part.
    Those that are spread otherwise, or are parts of a sum, are left to PyTorch.
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
