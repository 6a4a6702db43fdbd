"""The fused kernel as a PyTorch operator: ``torch.ops.adamax_spec.step_``.

The dispatcher passes plain CPU tensors, and only those, to the kernel of `adamax_fused`. Dispatch
modes, profilers and ``make_fx`` see one operator; under ``vmap`` the rule steps one tensor after
the other. The operator keeps nothing between steps.
"""

import functools
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adamax_fused.availability import missing
from adamax_fused.memory import is_dense
from adamax_torch.foreach import count_, step_many
from adamax_torch.rule import Hyper
from adamax_torch.single import step_each
from adamax_torch.tensors import Columns, Kind, is_memory, is_sharded

PARTS = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
    torch.complex64: "float32",
    torch.complex128: "float64",
}
"""The kernel's names of real dtypes; complex numbers are pairs of reals."""


@functools.cache
def obstacle(kind: Kind) -> str | None:
    """The reason why the kernel cannot step tensors of this kind; None if it can.

    The first call for some dtypes compiles the kernel, or loads it.
    """
    parts = []
    for cls, dtype, device, _ in kind:
        if not (is_memory(cls) or is_sharded(cls)):
            return f"the kernel supports plain tensors only, not {cls.__name__}"
        if device.type != "cpu":
            return f"the kernel runs on CPUs only, not on {device}"
        if dtype not in PARTS:
            return f"the kernel does not support {str(dtype).removeprefix('torch.')}"
        parts.append(PARTS[dtype])
    param, grad, exp_avg, exp_inf = parts
    return missing((param, grad, exp_avg, exp_inf))


def step_(columns: Columns, hyper: Hyper) -> None:
    """Count and take a step of each row, in place and in one pass over memory.

    Args:
        columns: CPU tensors of kinds without an `obstacle`. The steps are zero-dimensional float64
            tensors: the number of steps taken so far.
        hyper: numbers, or CPU tensors, whose values are read.

    >>> steps = [torch.zeros((), dtype=torch.float64)]
    >>> columns = Columns(*([torch.ones(2)] for _ in range(4)), steps)
    >>> step_(columns, Hyper(0.125, 0.75, 0.5, 0.0, 0.0, maximize=False, decoupled=False))
    >>> columns.params, steps
    ([tensor([0.5000, 0.5000])], [tensor(1., dtype=torch.float64)])
    """
    numbers = map(float, hyper[:5])
    torch.ops.adamax_spec.step_(*columns, *numbers, hyper.maximize, hyper.decoupled)


def _step(*arguments: Any) -> None:
    """Step with the kernel if the memory layout allows it, else with foreach operations."""
    from adamax_fused import kernel  # noqa: PLC0415 - imports Numba
    from adamax_fused import rows as fused  # noqa: PLC0415 - as above

    given = Columns(*arguments[:5])
    laid = _laid_out(given)
    places = np.array(list(map(Tensor.data_ptr, given.steps)), np.int64)
    tables = _tables(laid, places) if laid else []
    if not tables:
        count_(given.steps)
        step_many(given, list(map(Tensor.item, given.steps)), Hyper(*arguments[5:]))
        return
    counts = kernel.count(places).tolist()
    hyper, threads = fused.Hyper(*arguments[5:]), torch.get_num_threads()
    for table, dtypes, rows in tables:
        some = counts if rows is None else [counts[row] for row in rows]
        fused.step_rows(table, dtypes, some, hyper, threads, held=laid)
    # Autograd detects changes of saved tensors by their versions.
    written = [*given.params, *given.exp_avgs, *given.exp_infs, *given.steps]
    torch.autograd.graph.increment_version(written)


def _tables(columns: Columns, places: Any) -> list[tuple[Any, Any, list[int] | None]]:
    """For each combination of dtypes: the kernel's table, the dtypes, and the row indices.

    Empty if a tensor overlaps another tensor or a count, or is not aligned.

    Raises:
        RuntimeError: a tensor has elements but its memory was freed.
    """
    from adamax_fused.kernel import misplaced  # noqa: PLC0415 - imports Numba

    each = list(zip(*(map(_DTYPE, column) for column in columns[:4]), strict=True))
    kinds = set(each)
    widths = _widths(each[0]) if len(kinds) == 1 else np.hstack(list(map(_widths, each)))
    addresses = [list(map(Tensor.data_ptr, column)) for column in columns[:4]]
    table = np.array([*addresses, list(map(_NBYTES, columns.params))], np.int64)
    table[4] //= widths[0]
    if (wrong := misplaced(table, places, widths)) >= 0:
        if wrong < table[:4].size and not table.flat[wrong]:
            raise RuntimeError("the memory of a tensor of this step was freed")
        return []
    if len(kinds) == 1:
        return [(table, _names(each[0]), None)]
    found = {kind: [row for row, other in enumerate(each) if other == kind] for kind in kinds}
    return [(np.take(table, rows, axis=1), _names(kind), rows) for kind, rows in found.items()]


_NBYTES, _DTYPE = attrgetter("nbytes"), attrgetter("dtype")


@functools.cache
def _widths(kind: tuple[torch.dtype, ...]) -> Any:
    """The sizes of the real parts in bytes, as a column."""
    return np.array([[dtype.to_real().itemsize] for dtype in kind])


@functools.cache
def _names(kind: tuple[torch.dtype, ...]) -> Any:
    return tuple(PARTS[dtype] for dtype in kind)


def _laid_out(columns: Columns) -> Columns | None:
    """The columns, with gradients copied if their strides differ from the parameter's.

    None if a parameter or moment is not dense, or the strides of a moment differ.
    """
    if all(map(Tensor.is_contiguous, chain(*columns[:4]))):
        return columns
    contiguous = zip(*(map(Tensor.is_contiguous, column) for column in columns[:4]), strict=True)
    odd = [row for row, flags in enumerate(contiguous) if not all(flags)]
    grads = columns.grads.copy()
    for row in odd:
        param, grad, exp_avg, exp_inf = (column[row] for column in columns[:4])
        strides = _strides(param)
        if strides != _strides(exp_avg) or strides != _strides(exp_inf):
            return None
        if not is_dense(param.shape, param.stride()):
            return None
        if strides != _strides(grad):
            with torch.no_grad():
                grads[row] = torch.empty_like(param, dtype=grad.dtype).copy_(grad)
    return columns._replace(grads=grads)


def _strides(tensor: Tensor) -> list[int]:
    """The strides of the dimensions longer than one; empty for an empty tensor."""
    if not tensor.numel():
        return []
    return [s for s, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]


def _step_batched(*arguments: Any) -> None:
    """Step with PyTorch operations under ``vmap``, where tensors have no memory of their own."""
    step_each(Columns(*arguments[:5]), Hyper(*arguments[5:]), unread=True)


_LIBRARY: Any = torch.library.Library("adamax_spec", "DEF")  # type: ignore[no-untyped-call]  # not typed
_LIBRARY.define(
    "step_(Tensor(a!)[] params, Tensor[] grads, Tensor(b!)[] exp_avgs, Tensor(c!)[] exp_infs, "
    "Tensor(d!)[] steps, float lr, float beta1, float beta2, float eps, float weight_decay, "
    "bool maximize, bool decoupled) -> ()"
)
_LIBRARY.impl("step_", _step, "CPU")
_LIBRARY.impl("step_", _step_batched, "FuncTorchBatched")
torch.library.register_fake("adamax_spec::step_", lambda *_: None, lib=_LIBRARY)
