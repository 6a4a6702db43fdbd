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

from adamax_torch.fusable import PARTS, lies_like, local, obstacle
from adamax_torch.precision import STEP_DTYPE
from adamax_torch.slices import Tensors


class Plan:
    """The parameters of a group that have gradients, their table, and what tells that it holds."""

    def __init__(self, rows: Sequence[Tensors], steps: Sequence[Tensor]) -> None:
        from adamax_fused.table import Row, Table  # noqa: PLC0415 - imports Numba

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
        self._process = os.getpid()
        # Copies live for one step, and what is spread is anew what this process has of it.
        lasting = all(all(map(is_, old, new)) for old, new in zip(rows, laid, strict=True))
        self._copied = [] if lasting else list(zip(parts, laid, strict=True))
        if lasting:
            grads = [row.grad for row in rows]
            slots = [(t, m, u) for (_, _, m, u), t in zip(rows, steps, strict=True)]
            self._known = [*self._params, *chain.from_iterable(slots)]
            self._alike = _guard(grads)
            # The gradients are last, since they may be other objects at each step.
            self._ids = np.array([*map(id, self._known), *map(id, grads)], np.int64)
            self._addresses = np.zeros_like(self._ids)
            self._moved()

    def holds(self, params: Sequence[Tensor], state: Mapping[Tensor, Any]) -> bool:
        """Whether a step of these parameters, with their gradients and state, is this one."""
        if self._copied or self._process != os.getpid():
            return False
        grads = [param.grad for param in params]
        if len(params) != len(self._params):
            params = [p for p, g in zip(params, grads, strict=True) if g is not None]
            grads = [g for g in grads if g is not None]
            if len(params) != len(self._params):
                return False
        # Looking up a tensor takes a call of its __hash__, in Python.
        in_order = len(state) == len(params) and all(map(is_, state, params))
        slots = state.values() if in_order else map(state.__getitem__, params)
        try:
            known = chain(params, chain.from_iterable(map(_SLOT, slots)))
            if not (all(map(is_, known, self._known)) and self._alike(*grads)):
                return False
        except (KeyError, TypeError):
            return False  # a gradient is missing, or the state
        self._ids[len(self._known) :] = np.fromiter(map(id, grads), np.int64, len(grads))
        return self._moved() == 0

    def _moved(self) -> int:
        """How many of the tensors are elsewhere than when this was last asked.

        They are the known ones and gradients like the first, so each has an address.
        """
        from adamax_fused.kernel import look_up  # noqa: PLC0415 - imports Numba

        return int(look_up(_DATA_PTR, self._ids, self._addresses))

    def step(self, group: Mapping[str, Any]) -> None:
        """One step in place with the hyperparameters of a group, which are inside their domains."""
        from adamax_fused.kernel import count_steps  # noqa: PLC0415 - as above

        beta1, beta2 = group["betas"]
        self._table.step(
            count_steps(self._counts),
            lr=float(group["lr"]),
            betas=(float(beta1), float(beta2)),
            eps=float(group["eps"]),
            weight_decay=float(group["weight_decay"]),
            maximize=group["maximize"],
            decoupled_weight_decay=group["decoupled_weight_decay"],
        )
        for old, new in self._copied:
            for field in ("param", "exp_avg", "exp_inf"):
                if getattr(old, field) is not getattr(new, field):
                    getattr(old, field).copy_(getattr(new, field))
        # So that autograd notices what it had saved before.
        torch.autograd.graph.increment_version(self._params)


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
    countable = all(
        type(step) is Tensor and step.dtype == STEP_DTYPE and step.is_cpu for step in steps
    )
    return Plan(rows, steps) if countable and obstacle(rows) is None else None
