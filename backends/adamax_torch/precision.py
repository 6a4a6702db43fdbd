"""In what dtype a step is computed: at least float32 (N-1), and complex as pairs of reals (A-9)."""

import functools

import torch
from torch import Tensor

STEP_DTYPE = torch.float64
"""Of the count: exact to 2^53 (S-7), and what torch.optim.Adamax can add one to."""


def real_dtype(given: torch.dtype | str) -> torch.dtype:
    """The dtype itself, or that of this name.

    Raises:
        TypeError: it is neither a real floating-point dtype nor the name of one.

    >>> real_dtype("bfloat16")
    torch.bfloat16
    """
    dtype = getattr(torch, given, None) if isinstance(given, str) else given
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(
            f"state_dtype = {given} is not a real floating-point torch.dtype, or the name of one"
        )
    return dtype


def moment_dtype(param: Tensor, state_dtype: torch.dtype | str | None) -> torch.dtype:
    """What the moments of a parameter are kept in; `state_dtype` is that of the parts (S-6).

    >>> moment_dtype(torch.zeros(1, dtype=torch.complex128), torch.float32)
    torch.complex64
    """
    dtype = param.dtype if state_dtype is None else real_dtype(state_dtype)
    return dtype.to_complex() if param.is_complex() else dtype


def compute_dtype(*dtypes: torch.dtype) -> torch.dtype:
    """The widest of the dtypes, at least float32.

    >>> compute_dtype(torch.bfloat16, torch.float16), compute_dtype(torch.float64, torch.complex64)
    (torch.float32, torch.complex128)
    """
    return functools.reduce(torch.promote_types, dtypes, torch.float32)


def widened(*tensors: Tensor) -> list[Tensor]:
    """All in their `compute_dtype`, complex ones as pairs of reals, those of no dimension with one.

    Those of another dtype are copies, and so are lazily conjugated ones; the others are views.

    >>> widened(torch.zeros((), dtype=torch.float16), torch.zeros(1, dtype=torch.complex64))
    [tensor([0., 0.]), tensor([[0., 0.]])]
    """
    dtype = compute_dtype(*{tensor.dtype for tensor in tensors})
    return [_as_reals(each if each.dtype == dtype else each.to(dtype)) for each in tensors]


def _as_reals(tensor: Tensor) -> Tensor:
    if tensor.is_complex():
        # One that autograd has conjugated, and not yet computed, cannot be seen as reals.
        return torch.view_as_real(tensor.resolve_conj())
    return tensor if tensor.dim() else tensor.reshape(1)


def narrowed(tensor: Tensor, like: Tensor) -> Tensor:
    """In the dtype and shape of `like`; from float64 to half precision by way of float32."""
    whole = torch.view_as_complex(tensor) if like.is_complex() else tensor
    whole = whole if whole.dtype == like.dtype else whole.to(like.dtype)
    return whole if like.dim() else whole.reshape(())


def store(tensor: Tensor, old: Tensor) -> None:
    """Put what has been widened back where it came from.

    Not by ``_foreach_copy_``, which TorchInductor 2.13 moves before what reads the old value; and
    not into a tensor of no dimension, which it takes for a number that does not change.
    """
    new = narrowed(tensor, old)
    (old if old.dim() else old.view(1)).copy_(new)
