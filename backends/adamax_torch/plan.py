"""Stepping a group by the kernel of `adamax_fused`, in one pass over memory.

A `Plan` is kept from step to step, and holds for as long as every tensor is where it was, and what
it was; most of what a step of many small tensors takes is to find that out.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import is_, itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._C._dynamo import guards

from adamax_torch.fusable import PARTS, is_countable, lies_like, local, obstacle, span
from adamax_torch.slices import Tensors


class Plan:
    """The parameters of a group that have gradients, their table, and what tells that it holds.

    Attributes:
        lasts: whether it can hold for another step; else it has copies, or parts of what is spread
            over processes, and is good for one.
    """

    def __init__(self, rows: Sequence[Tensors], steps: Sequence[Tensor]) -> None:
        # Numba is imported where there is something for it to do.
        from adamax_fused.kernel import count_steps, look_up  # noqa: PLC0415 - as above
        from adamax_fused.table import Row, Table  # noqa: PLC0415 - as above

        self._count_steps, self._look_up = count_steps, look_up
        parts = [Tensors(*map(local, row)) for row in rows]
        laid = [_laid_out(part) for part in parts]
        self._params = [row.param for row in rows]
        self._counts = np.array([step.data_ptr() for step in steps], np.int64)
        self._table = Table(
            [
                Row(
                    tuple(tensor.data_ptr() for tensor in row),
                    tuple(PARTS[tensor.dtype] for tensor in row),
                    row.param.numel() << row.param.is_complex(),
                )
                for row in laid
            ]
        )
        # What is stepped is held meanwhile, since another thread may let go of it.
        self._grads: list[Tensor] = [row.grad for row in laid]
        self.lasts = all(all(map(is_, old, new)) for old, new in zip(rows, laid, strict=True))
        self._copied = [] if self.lasts else list(zip(parts, laid, strict=True))
        if self.lasts:
            self._watch(rows, steps)

    def _watch(self, rows: Sequence[Tensors], steps: Sequence[Tensor]) -> None:
        """Remember what tells that the table holds."""
        slots = [(t, m, u) for (_, _, m, u), t in zip(rows, steps, strict=True)]
        state = list(chain.from_iterable(slots))
        self._known = [*self._params, *state]
        # While it is held nothing else can come to lie at the same address.
        self._memory = [tensor.untyped_storage() for tensor in state]
        self._alike = _guard([*self._params, *self._grads])
        self._process = os.getpid()
        self._ids = np.array([*map(id, self._known)], np.int64)
        self._addresses = np.zeros_like(self._ids)
        self._look_up(_DATA_PTR, self._ids, self._addresses)
        self._grad_addresses = np.array([grad.data_ptr() for grad in self._grads], np.int64)
        written = [span(tensor, True, 0)[:2] for row in rows for tensor in _written(row)]
        self._starts, self._ends = np.sort(np.array(written, np.int64).reshape(-1, 2), axis=0).T
        self._sizes = np.array([[g.nbytes, g.element_size()] for g in self._grads]).T

    def holds(self, params: Sequence[Tensor], state: Mapping[Tensor, Any]) -> bool:
        """Whether this is a step of these parameters, with their gradients and state.

        Gradients may be elsewhere than at the last step: then the table is told.
        """
        grads: list[Any] = [param.grad for param in params]
        if len(grads) != len(self._params):
            params = [p for p, g in zip(params, grads, strict=True) if g is not None]
            grads = [grad for grad in grads if grad is not None]
        if len(grads) != len(self._params) or self._process != os.getpid():
            return False
        if (
            not self._is_known(params, state)
            or not self._is_alike(params, grads)
            or self._look_up(_DATA_PTR, self._ids, self._addresses)
        ):
            return False
        ids = np.fromiter(map(id, grads), np.int64, len(grads))
        if self._look_up(_DATA_PTR, ids, self._grad_addresses):
            if not self._can_read(self._grad_addresses):
                return False
            self._table.move_gradients(self._grad_addresses)
        self._grads = grads
        return True

    def _is_known(self, params: Sequence[Tensor], state: Mapping[Tensor, Any]) -> bool:
        """Whether parameters and state are the same objects."""
        # Looking up a tensor takes a call of its __hash__, in Python.
        in_order = len(state) == len(params) and all(map(is_, state, params))
        slots: Any = state.values() if in_order else map(state.get, params)
        try:
            found = chain(params, chain.from_iterable(map(_SLOT, slots)))
            return all(map(is_, found, self._known))
        except (KeyError, TypeError):
            return False  # there is no state

    def _is_alike(self, params: Sequence[Tensor], grads: Sequence[Any]) -> bool:
        with torch.no_grad():  # as where the first were looked at
            try:
                return self._alike(*params, *grads)
            except TypeError:
                return False  # a gradient is missing

    def _can_read(self, starts: Any) -> bool:
        """Whether gradients may be at these addresses: aligned, and apart from what is written."""
        sizes, elements = self._sizes
        ends = starts + sizes
        # The first that ends after a gradient begins, unless there is none.
        after = np.searchsorted(self._ends, starts, side="right")
        begins = np.append(self._starts, np.iinfo(np.int64).max)[after]
        return not ((sizes > 0) & ((starts == 0) | (starts % elements > 0) | (begins < ends))).any()

    def step(self, group: Mapping[str, Any]) -> None:
        """One step in place with the hyperparameters of a group, which are inside their domains."""
        beta1, beta2 = group["betas"]
        numbers = self._table.numbers(
            lr=float(group["lr"]),
            betas=(float(beta1), float(beta2)),
            eps=float(group["eps"]),
            weight_decay=float(group["weight_decay"]),
            maximize=group["maximize"],
            decoupled_weight_decay=group["decoupled_weight_decay"],
        )
        # Nothing fails from here on.
        self._table.step(self._count_steps(self._counts), numbers)
        for old, new in self._copied:
            for tensor, result in zip(_written(old), _written(new), strict=True):
                if result is not tensor:
                    tensor.copy_(result)
        # So that autograd notices what it had saved before.
        torch.autograd.graph.increment_version(self._params)
        self._grads = []


def _written(row: Tensors) -> tuple[Tensor, Tensor, Tensor]:
    return row.param, row.exp_avg, row.exp_inf


_SLOT = itemgetter("step", "exp_avg", "exp_inf")

_DATA_PTR: int = guards._torchinductor_pyobject_tensor_data_ptr  # type: ignore[attr-defined]
"""Where the C function behind `Tensor.data_ptr` is, which what TorchInductor compiles calls. It
takes 6 ns where the method takes 55, and that is more than the step of 256 elements."""


def _laid_out(tensors: Tensors) -> Tensors:
    """The tensors themselves, or copies of those that cannot be walked together with the others."""
    like = tensors.exp_avg
    if not lies_like(like, like):
        like = torch.empty_like(like, memory_format=torch.contiguous_format)
    return Tensors(
        *(
            tensor
            if lies_like(tensor, like) and not (tensor.is_neg() or tensor.is_conj())
            else torch.empty_like(like, dtype=tensor.dtype).copy_(tensor)
            for tensor in tensors
        )
    )


def _guard(tensors: Sequence[Tensor]) -> Callable[..., bool]:
    """What tells, of as many tensors, whether they are like these but for where they are.

    That is type, dtype, shape, strides, whether they are dense, and whether lazily negated. It is
    TorchDynamo's own, in C++: to ask each tensor takes as long as the step of 256 elements.
    """
    shapes: Any = [list(tensor.shape) for tensor in tensors]
    strides: Any = [list(tensor.stride()) for tensor in tensors]
    guard = guards.TensorGuards(*tensors, dynamic_dims_sizes=shapes, dynamic_dims_strides=strides)
    check: Callable[..., bool] = guard.check
    return check


def made(rows: Sequence[Tensors], steps: Sequence[Tensor]) -> Plan | None:
    """A plan for these, where the kernel can step them all."""
    return Plan(rows, steps) if all(map(is_countable, steps)) and obstacle(rows) is None else None
