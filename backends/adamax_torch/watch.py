"""Finding out of many tensors, in few calls, whether they are what and where they were.

A kernel that knows addresses has to be told when they change. To ask one tensor after the other, in
Python, takes longer than to step 256 elements of each, so all are asked by compiled code.
"""

import ctypes
import os
import weakref
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch._C._dynamo import guards

from adamax_fused.places import Readable
from adamax_torch.fusable import span
from adamax_torch.slices import Tensors

Integers = npt.NDArray[np.int64]


class Slots:
    """The state of an optimizer as it is at this moment: the slot of each parameter, in order.

    Attributes:
        params: pointers to the keys, int64.
        slots: pointers to the values, int64.
    """

    def __init__(self, state: Mapping[Tensor, Any]) -> None:
        self.params = pointers(state)
        self.slots = pointers(state.values())


def is_plain(state: Mapping[Tensor, Any]) -> bool:
    """Whether what compiled code finds in a state is what Python finds there."""
    return type(state) in (dict, defaultdict)


class Watch:
    """What tells whether parameters, their gradients and their state are those of the last step.

    It holds neither parameters nor state, so that both can be let go of. It holds their memory, in
    which nothing else can come to lie meanwhile, until one of the moments is gone.

    Args:
        rows: parameters, gradients and moments; all are on the processor.
        steps: their counts.
        state: of the optimizer that they are in.
    """

    def __init__(
        self, rows: Sequence[Tensors], steps: Sequence[Tensor], state: Mapping[Tensor, Any]
    ) -> None:
        # Numba is imported where there is something for it to do.
        from adamax_fused.objects import are_items, look_up  # noqa: PLC0415 - as above

        self._are_items, self._look_up = are_items, look_up
        known = [
            (row.param, step, row.exp_avg, row.exp_inf)
            for row, step in zip(rows, steps, strict=True)
        ]
        self._ids = np.array([[*map(id, row)] for row in known], np.int64)
        self._memory = _Memory(steps, [part for row in rows for part in row[2:]])
        self._asked = np.append(self._ids.ravel(), self._memory.pointers)
        self._addresses = np.zeros_like(self._asked)
        self._look_up(_DATA_PTR, self._asked, self._addresses)
        places = {id(param): place for place, param in enumerate(state)}
        self._places = np.array([places[id(row.param)] for row in rows], np.int64)
        grads = [row.grad for row in rows]
        self._alike = _guard([*(row.param for row in rows), *grads])
        self._process = os.getpid()
        self._readable = Readable(
            [span(tensor, True, 0)[:2] for row in known for tensor in row],
            [grad.nbytes for grad in grads],
            [grad.element_size() for grad in grads],
        )
        self._gradients = np.array([grad.data_ptr() for grad in grads], np.int64)

    def find(
        self, params: Sequence[Tensor], grads: Sequence[Tensor | None], slots: Slots
    ) -> tuple[Integers, Sequence[Tensor]] | None:
        """Where the gradients are, and what holds the memory of the state.

        None where these are not the same parameters and state. Gradients may be others, and
        elsewhere, as long as they are of the same kind and can be read where they are.
        """
        memory = self._memory.held()
        if memory is None or len(params) != len(self._ids) or self._process != os.getpid():
            return None
        given = pointers(params), self._places, slots.params, slots.slots
        try:
            with torch.no_grad():  # as where the first were looked at
                if not (
                    self._are_items(_GET_ITEM, _NAMES, *given, self._ids)
                    and self._alike(*params, *grads)
                ):
                    return None
        except TypeError:
            return None  # a gradient is missing
        if self._look_up(_DATA_PTR, self._asked, self._addresses):
            return None
        moved = self._look_up(_DATA_PTR, pointers(grads), self._gradients)
        can_read = not moved or self._readable.at(self._gradients).all()
        return (self._gradients, memory) if can_read else None


class _Memory:
    """The memory of counts and moments, held until one of them is gone.

    Attributes:
        pointers: to tensors in the memory of the moments, which say so once it is given back.
    """

    def __init__(self, steps: Sequence[Tensor], moments: Sequence[Tensor]) -> None:
        # Not the tensors themselves, whose memory may be exchanged.
        own = [moment.detach() for moment in moments]
        held = [[*own, *(step.detach() for step in steps)]]
        self.pointers = np.array([*map(id, own)], np.int64)
        self._held = held
        self._refs = [weakref.ref(each, lambda _: held.clear()) for each in (*moments, *steps)]

    def held(self) -> list[Tensor] | None:
        """What holds it; None where one of the tensors that were given is gone."""
        return next(iter(self._held), None)


def pointers(objects: Collection[Any]) -> Integers:
    """What `id` says of each, and holds them; a fifth of the time.

    >>> objects = ["one", "two"]
    >>> pointers(objects).tolist() == list(map(id, objects))
    True
    """
    held = np.fromiter(objects, object, len(objects))
    return np.ndarray(len(objects), np.int64, held)


_NAMES = pointers(("step", "exp_avg", "exp_inf"))
_GET_ITEM = ctypes.cast(ctypes.pythonapi.PyDict_GetItem, ctypes.c_void_p).value
"""Of the functions that look up in a dict the one that finds nothing in what is none."""
_DATA_PTR: int = guards._torchinductor_pyobject_tensor_data_ptr  # type: ignore[attr-defined]
"""Where the C function behind `Tensor.data_ptr` is, which what TorchInductor compiles calls. It
takes 6 ns where the method takes 55, and that is more than the step of 256 elements."""


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
