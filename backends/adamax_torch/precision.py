"""Conversion to the dtype of the computation: at least float32 (N-1), complex as pairs (A-9)."""

import functools

import torch
from torch import Tensor

STEP_DTYPE = torch.float64
"""The dtype of counts: exact to 2^53 (S-7), and usable by torch.optim.Adamax."""


def real_dtype(given: torch.dtype | str) -> torch.dtype:
    """Resolve a dtype given as a dtype or by name.

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
    """The dtype of the moments of a parameter; `state_dtype` is that of the real parts (S-6).

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
    """Cast to the common `compute_dtype`; complex tensors as pairs of reals, 0-d tensors as 1-d.

    Casts and lazily conjugated tensors are copies; the others are views.

    >>> widened(torch.zeros((), dtype=torch.float16), torch.zeros(1, dtype=torch.complex64))
    [tensor([0., 0.]), tensor([[0., 0.]])]
    """
    dtype = compute_dtype(*{tensor.dtype for tensor in tensors})
    return [_as_reals(each if each.dtype == dtype else each.to(dtype)) for each in tensors]


def _as_reals(tensor: Tensor) -> Tensor:
    if tensor.is_complex():
        # PyTorch cannot view a lazily conjugated tensor as reals.
        return torch.view_as_real(tensor.resolve_conj())
    return tensor if tensor.dim() else tensor.reshape(1)


def narrowed(tensor: Tensor, like: Tensor) -> Tensor:
    """Cast to the dtype and shape of `like`; float64 goes to half precision via float32."""
    whole = torch.view_as_complex(tensor) if like.is_complex() else tensor
    whole = whole if whole.dtype == like.dtype else whole.to(like.dtype)
    return whole if like.dim() else whole.reshape(())


def store(tensor: Tensor, old: Tensor) -> None:
    """Round a widened result and write it back in place.

    Avoids ``_foreach_copy_``, which TorchInductor 2.13 reorders before reads of the old value, and
    writes to zero-dimensional tensors, which it treats as constants.
    """
    new = narrowed(tensor, old)
    (old if old.dim() else old.view(1)).copy_(new)
