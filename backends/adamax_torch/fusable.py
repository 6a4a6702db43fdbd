"""What the kernel of `adamax_fused` can step: plain and dense tensors of a processor.

The kernel is told addresses, and sees nothing of what else a tensor is, so all of that is asked
here.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor, peek_interpreter_stack
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _len_torch_dispatch_stack  # type: ignore[attr-defined]

from adamax_fused.availability import missing
from adamax_fused.places import Span, is_apart, is_dense, sharing
from adamax_torch.precision import STEP_DTYPE, moment_dtype

PARTS = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
    torch.complex64: "float32",
    torch.complex128: "float64",
}
"""What the kernel calls the dtypes; complex numbers are pairs."""


def chosen(group: Mapping[str, Any]) -> bool:
    """Whether a group is to be stepped by the kernel, where that can be."""
    if group["fused"] is None:
        ways = group["foreach"] is not None or group["differentiable"] or group["capturable"]
        return not ways
    return bool(group["fused"])


def watched() -> bool:
    """Whether something looks on at operations, and would not see those of the kernel."""
    return (
        torch.compiler.is_compiling()
        or _len_torch_dispatch_stack() > 0
        or peek_interpreter_stack() is not None
        or forward_ad._current_level >= 0
    )


def prepare(name: str, group: Mapping[str, Any]) -> None:
    """Compile the kernel for the parameters of a group, or load it, so that no step waits for it.

    Raises:
        RuntimeError: ``fused=True``, and a parameter cannot be stepped so; says which, and why.
    """
    if not chosen(group) or watched():
        return
    for position, param in enumerate(group["params"]):
        reason = _unsuitable([param]) or _missing_for_new(param, param, group)
        if reason is not None and group["fused"]:
            raise RuntimeError(f"{name}, parameter {position}: fused=True, but {reason}")


def require(group: Mapping[str, Any], rows: Mapping[str, Sequence[Tensor]]) -> None:
    """Raise unless the kernel can step these rows of a group, which go by their names.

    A row is a parameter and its gradient, and, where there is a state, the moments and the count.

    Raises:
        RuntimeError: names the first that it cannot, and says why.
    """
    for where, (param, grad, *slot) in rows.items():
        reason = None
        if not slot:
            reason = _unsuitable([param, grad]) or _missing_for_new(param, grad, group)
        elif not is_countable(slot[-1]):
            reason = f"it counts its steps in {slot[-1]!r}"
        if reason is not None:
            raise RuntimeError(f"{where}: fused=True, but {reason}")
    found = obstacle(list(rows.values()))
    if found is not None:
        raise RuntimeError(f"{list(rows)[found[0]]}: fused=True, but {found[1]}")


def is_countable(step: Tensor) -> bool:
    """Whether the kernel can add one to this."""
    plain = type(step) is Tensor and step.dtype == STEP_DTYPE and not step.dim()
    return plain and _of_another_kind(step) is None and _unchangeable(step) is None


def obstacle(rows: Sequence[Sequence[Tensor]]) -> tuple[int, str] | None:
    """The first row that the kernel cannot step, and why; None where it can step all.

    A row is a parameter, its gradient, and its moments and its count where there are some already;
    each is strided, and all but the count of the shape of the parameter. All steps are counted
    before the first is taken, so nothing else may share their memory.

    >>> obstacle([[torch.zeros(2), torch.zeros(2)], [torch.zeros(2, device="meta")]])
    (1, 'the kernel runs on processors, not on meta')
    """
    if rows and watched():
        return 0, "torch.compile, torch.func or a mode is on, which would not see its operations"
    spans: list[Span] = []
    for index, (row, count) in enumerate((row[:4], row[4:]) for row in rows):
        reason = _unsuitable(row)
        if reason is None and len(row) > 2:  # noqa: PLR2004 - there are moments
            reason = _missing([tensor.dtype for tensor in row])
        if reason is not None:
            return index, reason
        spans += [span(part, which != 1, index) for which, part in enumerate(map(local, row))]
        spans += [span(step, True, index) for step in count]
    shared = sharing(spans)
    return None if shared is None else (shared, "it shares memory with another tensor of the step")


def span(tensor: Tensor, writes: bool, owner: int) -> Span:
    """The memory from the first element of a tensor to the last."""
    first = tensor.data_ptr()
    if not tensor.numel():
        return first, first, writes, owner
    steps = zip(tensor.stride(), tensor.shape, strict=True)
    reach = 1 + sum(stride * (size - 1) for stride, size in steps)
    return first, first + reach * tensor.element_size(), writes, owner


def _unsuitable(row: Sequence[Tensor]) -> str | None:
    if any(_spread(tensor) != _spread(row[0]) for tensor in row):
        return "gradient or state is spread over processes in another way"
    parts = [local(tensor) for tensor in row]
    reasons = [_of_another_kind(tensor) for tensor in parts]
    if not any(reasons):
        reasons = [_unchangeable(tensor) for tensor in (parts[0], *parts[2:])]
    return next(filter(None, reasons), None)


def _of_another_kind(tensor: Tensor) -> str | None:
    if type(tensor) not in (Tensor, torch.nn.Parameter) or is_functorch_wrapped_tensor(tensor):
        return f"the kernel takes no {type(tensor).__name__} that is more than memory"
    if tensor.device.type != "cpu":
        return f"the kernel runs on processors, not on {tensor.device}"
    if tensor.dtype not in PARTS:
        return f"the kernel takes {', '.join(map(_name, PARTS))}, not {_name(tensor.dtype)}"
    if tensor.numel() and not tensor.data_ptr():
        return "it has no memory, or has given it back"
    return "it is a tensor of inference mode" if tensor.is_inference() else None


def _unchangeable(tensor: Tensor) -> str | None:
    """Why a parameter or a moment cannot be changed where it is."""
    if tensor.is_neg() or tensor.is_conj():
        return "it is lazily negated or conjugated"
    return None if is_apart(tensor.shape, tensor.stride()) else "its elements share memory"


def _missing_for_new(param: Tensor, grad: Tensor, group: Mapping[str, Any]) -> str | None:
    """Of a parameter that has no moments yet."""
    moment = moment_dtype(param, group["state_dtype"])
    return _missing([param.dtype, grad.dtype, moment, moment])


def _missing(dtypes: Sequence[torch.dtype]) -> str | None:
    for dtype in dtypes:
        if dtype not in PARTS:
            return f"the kernel keeps no moments in {_name(dtype)}"
    param, grad, exp_avg, exp_inf = (PARTS[dtype] for dtype in dtypes)
    threads = torch.get_num_threads()
    reason = missing((param, grad, exp_avg, exp_inf))
    if torch.get_num_threads() != threads:
        # Numba has started OpenMP's, which are PyTorch's too, and has said how many there are.
        torch.set_num_threads(threads)
    return reason


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def local(tensor: Tensor) -> Tensor:
    """What this process has of a tensor."""
    if _spread(tensor) is None:
        return tensor
    part: Tensor = tensor.to_local()  # type: ignore[attr-defined]  # a DTensor
    return part


def _spread(tensor: Tensor) -> Any:
    """How a tensor is spread over processes; None where it is not."""
    # To import it takes longer than all the rest.
    distributed = sys.modules.get("torch.distributed.tensor")
    if distributed is None or not isinstance(tensor, distributed.DTensor):
        return None
    return tensor.device_mesh, tensor.placements


def lies_like(tensor: Tensor, other: Tensor) -> bool:
    """Whether the elements of two tensors of one shape can be walked together, without a gap."""
    aligned = tensor.data_ptr() % (tensor.element_size() >> tensor.is_complex()) == 0
    return aligned and is_dense(tensor.shape, tensor.stride()) and _layout(tensor) == _layout(other)


def _layout(tensor: Tensor) -> list[int]:
    if not tensor.numel():
        return []
    return [s for s, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]
