"""The memory-bound limit: a kernel that moves the bytes of a step, and computes almost nothing."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from adamax_fused.kernel import PIECE, _fetch_and_add, _view
from adamax_fused.rows import PER_THREAD, _likes
from adamax_fused.threads import together


def limit(rows: Sequence[Sequence[Tensor]], dtype: str) -> Callable[[], None]:
    """A function that reads parameter, gradient and moments, and writes all but the gradient.

    It uses the table, pieces and threads of the real kernel, on the caller's memory: PyTorch
    allocates small pages, but NumPy huge ones.

    Args:
        rows: four dense, initialized tensors for each parameter. They change.
        dtype: their dtype.
    """
    addresses = [[each.data_ptr() for each in column] for column in zip(*rows, strict=True)]
    sizes = [row[0].numel() for row in rows]
    table = np.array([*addresses, sizes], np.int64)
    likes = _likes((dtype,) * 4)[:4]
    helpers = min(torch.get_num_threads(), sum(sizes) // PER_THREAD) - 1

    def step() -> None:
        together(functools.partial(_stream, table, likes, np.zeros(1, np.int64)), helpers)

    step.held = rows  # type: ignore[attr-defined]  # the table holds only addresses
    return step


# Not cached: Numba would not notice changes of the other file.
@njit(error_model="numpy", nogil=True)
def _stream(table: Any, likes: Any, taken: Any) -> None:
    """Stream piece after piece until all are taken, as `adamax_fused.kernel` does."""
    p, g, m, u = likes
    begin = 0  # the first piece of the row
    piece = _fetch_and_add(taken)
    for row in range(table.shape[1]):
        elements = table[4, row]
        end = begin + (elements + PIECE - 1) // PIECE
        while piece < end:
            first = (piece - begin) * PIECE
            size = min(PIECE, elements - first)
            _stream_piece(
                _view(table[0, row], p, first, size),
                _view(table[1, row], g, first, size),
                _view(table[2, row], m, first, size),
                _view(table[3, row], u, first, size),
            )
            piece = _fetch_and_add(taken)
        begin = end


@njit(error_model="numpy", nogil=True)
def _stream_piece(p: Any, g: Any, m: Any, u: Any) -> None:
    """Adds the bits of half precision as integers, which moves the same bytes."""
    for i in range(p.size):
        p[i], m[i], u[i] = p[i] + g[i], m[i] + g[i], u[i] + g[i]
