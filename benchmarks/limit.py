"""The memory limit: a kernel that moves what a step has to move, and computes next to nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from numba import njit, prange
from torch import Tensor

from adamax_fused.kernel import _view, lanes, next_share
from adamax_fused.table import Row, group_of


def limit(rows: Sequence[Sequence[Tensor]], dtype: str) -> Callable[[], None]:
    """What reads parameter, gradient and two moments, and writes all but the gradient.

    It goes by the table of the kernel it is the limit of, cut in the same pieces and shared out
    alike, over memory that is the caller's: what PyTorch asks for has small pages where what NumPy
    asks for has huge ones.

    Args:
        rows: four dense tensors for each parameter, which were written before. They change.
        dtype: theirs.
    """
    table = [
        Row(tuple(each.data_ptr() for each in row), (dtype,) * 4, row[0].numel()) for row in rows
    ]
    group = group_of((dtype,) * 4, np.arange(len(table)), table)
    shares = len(group.shares) - 1

    def step() -> None:
        threads = numba.get_num_threads()
        busy = min(threads, shares)
        numba.set_num_threads(busy)  # one share is not worth waking another thread for
        _stream(group.rows, group.likes, group.pieces, group.shares, busy)
        numba.set_num_threads(threads)

    step.held = rows  # type: ignore[attr-defined]  # the table knows addresses alone
    return step


# Not kept on disk, since Numba would not notice that the other file has changed.
@njit(error_model="numpy", nogil=True, parallel=True)
def _stream(rows: Any, likes: Any, pieces: Any, shares: Any, threads: int) -> None:
    p, g, m, u = likes
    ends = lanes(shares, threads)
    following = ends[:-1].copy()
    for thread in prange(threads):
        share = next_share(following, ends, thread)
        while share >= 0:
            for piece in range(shares[share], shares[share + 1]):
                row, first, size = pieces[piece]
                _stream_piece(
                    _view(rows[row, 0], p, first, size),
                    _view(rows[row, 1], g, first, size),
                    _view(rows[row, 2], m, first, size),
                    _view(rows[row, 3], u, first, size),
                )
            share = next_share(following, ends, thread)


@njit(error_model="numpy", nogil=True)
def _stream_piece(p: Any, g: Any, m: Any, u: Any) -> None:
    """Bits of half precision are added as integers, which is as good to keep memory busy."""
    for i in range(p.size):
        p[i], m[i], u[i] = p[i] + g[i], m[i] + g[i], u[i] + g[i]
