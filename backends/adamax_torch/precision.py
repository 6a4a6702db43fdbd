"""In what dtype a step is computed: at least float32 (N-1), and complex as pairs of reals (A-9)."""

import functools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

STEP_DTYPE = torch.float64
"""Of the count: exact to 2^53 (S-7), and what torch.optim.Adamax can add one to."""

SMALL = 2**16
"""How many elements may always be widened at once: they take little memory."""

Piece = tuple[tuple[Tensor, ...], float | Tensor]
"""Tensors of one shape that take a step together, the parameter first, and which step it is."""


def moment_dtype(param: Tensor, state_dtype: torch.dtype | None) -> torch.dtype:
    """What the moments of a parameter are kept in; `state_dtype` is that of the parts (S-6).

    >>> moment_dtype(torch.zeros(1, dtype=torch.complex128), torch.float32)
    torch.complex64
    """
    dtype = state_dtype or param.dtype
    return dtype.to_complex() if param.is_complex() else dtype


def compute_dtype(*dtypes: torch.dtype) -> torch.dtype:
    """The widest of the dtypes, at least float32.

    >>> compute_dtype(torch.bfloat16, torch.float16), compute_dtype(torch.float64, torch.complex64)
    (torch.float32, torch.complex128)
    """
    return functools.reduce(torch.promote_types, dtypes, torch.float32)


def widened(*tensors: Tensor) -> list[Tensor]:
    """All in their `compute_dtype`, complex ones as pairs of reals; copies only where it differs.

    >>> widened(torch.zeros(1, dtype=torch.float16), torch.zeros(1, dtype=torch.complex64))
    [tensor([[0., 0.]]), tensor([[0., 0.]])]
    """
    dtype = compute_dtype(*(tensor.dtype for tensor in tensors))
    # A gradient that autograd has conjugated, and not yet computed, cannot be seen as reals.
    wide = (tensor.to(dtype).resolve_conj() for tensor in tensors)
    return [torch.view_as_real(each) if each.is_complex() else each for each in wide]


def narrowed(tensor: Tensor, like: Tensor) -> Tensor:
    """Back in the dtype of `like`, rounded once."""
    whole = torch.view_as_complex(tensor) if like.is_complex() else tensor
    return whole.to(like.dtype)


def pieces(many: Sequence[Piece], limit: int) -> Iterator[list[Piece]]:
    """Batches of at most `limit` elements, so that their wide copies are never all there at once.

    A large one comes in slices, which are views and belong together as the tensors do.

    >>> rows = [((torch.zeros(5),), 1.0), ((torch.zeros(2),), 3.0)]
    >>> [[(p.numel(), count) for (p,), count in batch] for batch in pieces(rows, 3)]
    [[(3, 1.0)], [(2, 1.0)], [(2, 3.0)]]
    """
    batch: list[Piece] = []
    room = limit
    for tensors, count in many:
        for part in _slices(tensors, limit):
            size = part[0].numel()
            if batch and size > room:
                yield batch
                batch, room = [], limit
            batch.append((part, count))
            room -= size
    if batch:
        yield batch


def _slices(tensors: tuple[Tensor, ...], limit: int) -> Iterator[tuple[Tensor, ...]]:
    first = tensors[0]
    # A slice of a tensor that is spread over processes would be spread anew.
    plain = all(type(tensor) in (Tensor, torch.nn.Parameter) for tensor in tensors)
    if first.numel() <= limit or not plain:
        yield tensors
        return
    longest = max(range(first.dim()), key=first.size)
    rows = max(1, limit * first.size(longest) // first.numel())
    for part in zip(*(torch.split(tensor, rows, longest) for tensor in tensors), strict=True):
        yield from _slices(part, limit)
