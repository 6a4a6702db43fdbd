"""Stepping a group by the kernel of `adamax_fused`, in one pass over memory."""

from collections.abc import Mapping, Sequence
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adamax_torch.fusable import PARTS, is_countable, lies_like, local, obstacle
from adamax_torch.slices import Tensors
from adamax_torch.watch import Slots, Watch, is_plain


class Plan:
    """The parameters of a group that have gradients, and their table, kept from step to step.

    Attributes:
        lasts: whether it can hold for another step; else it has copies, or parts of what is spread
            over processes, and is good for one.
    """

    def __init__(
        self, rows: Sequence[Tensors], steps: Sequence[Tensor], state: Mapping[Tensor, Any]
    ) -> None:
        # Numba is imported where there is something for it to do.
        from adamax_fused.kernel import count_steps  # noqa: PLC0415 - as above
        from adamax_fused.table import Row, Table  # noqa: PLC0415 - as above

        self._count_steps = count_steps
        parts = [Tensors(*map(local, row)) for row in rows]
        laid = [_laid_out(part) for part in parts]
        # What is stepped is held meanwhile, since another thread may let go of it; not between.
        self._params: Sequence[Tensor] = [row.param for row in rows]
        self._held: tuple[Any, ...] = (laid, steps)
        self._size = len(rows)
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
        self.lasts = all(all(map(is_, old, new)) for old, new in zip(rows, laid, strict=True))
        self._copied = [] if self.lasts else list(zip(parts, laid, strict=True))
        if self.lasts:
            self._watch = Watch(rows, steps, state)

    def holds(self, params: Sequence[Tensor], slots: Slots) -> bool:
        """Whether this is a step of these parameters, with their gradients and state.

        Gradients may be elsewhere than at the last step: the table is told.
        """
        grads = [param.grad for param in params]
        if len(grads) != self._size:
            params = [p for p, g in zip(params, grads, strict=True) if g is not None]
            grads = [grad for grad in grads if grad is not None]
        found = self._watch.find(params, grads, slots)
        if found is None:
            return False
        addresses, memory = found
        self._table.move_gradients(addresses)
        self._params, self._held = params, (grads, memory)
        return True

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
        self._params, self._held = (), ()


def _written(row: Tensors) -> tuple[Tensor, Tensor, Tensor]:
    return row.param, row.exp_avg, row.exp_inf


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


def made(
    rows: Sequence[Tensors], steps: Sequence[Tensor], state: Mapping[Tensor, Any]
) -> Plan | None:
    """A plan for these, where the kernel can step them all."""
    if not is_plain(state) or not all(map(is_countable, steps)):
        return None
    if obstacle([(*row, step) for row, step in zip(rows, steps, strict=True)]) is not None:
        return None
    return Plan(rows, steps, state)
