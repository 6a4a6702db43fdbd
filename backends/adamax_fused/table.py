"""Many arrays as one call: a table of addresses, cut in pieces that threads share evenly.

A table is made of addresses and knows nothing of the arrays: who makes it keeps it as long as they
are where they were.
"""

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from adamax_fused import kernel, objects
from adamax_fused.availability import Dtypes

SMALLEST, LARGEST = 2**14, 2**16
"""Elements of a piece: few enough to lie in a cache and to be shared out evenly."""

ALONE = 2**16
"""Elements that no other thread is woken for: to wake one may take longer than they do."""

Integers = npt.NDArray[np.int64]

_CARRIERS = {
    "float32": np.float32,
    "float64": np.float64,
    "bfloat16": np.uint16,
    "float16": np.int16,
}

_LARGEST_SINGLE = float(np.finfo(np.float32).max)

LOCK = threading.Lock()
"""One call at a time: a thread pool of Numba's own ends the process where two come at once."""


class Row(NamedTuple):
    """One parameter: four addresses, the dtypes there, and the number of real elements."""

    addresses: tuple[int, ...]
    dtypes: tuple[str, ...]
    size: int


class Group(NamedTuple):
    """Rows of the same dtypes, which one call steps."""

    members: Integers
    rows: Integers
    likes: tuple[Any, ...]
    pieces: Integers
    shares: Integers
    dtype: type[np.floating[Any]]


class Numbers(NamedTuple):
    """Hyperparameters as the kernel takes them; in an array for each dtype of a table."""

    lr: float
    beta1: float
    mode: int
    arrays: list[npt.NDArray[np.floating[Any]]]


class Table:
    """The parameters of one step, ready to be stepped any number of times.

    >>> p, g, m, u = np.zeros(2), np.ones(2), np.zeros(2), np.zeros(2)
    >>> addresses = tuple(array.ctypes.data for array in (p, g, m, u))
    >>> table = Table([Row(addresses, ("float64",) * 4, 2)])
    >>> table.step(np.ones(1), table.numbers(lr=0.5, betas=(0.9, 0.999), eps=0.0))
    >>> p.round(6)
    array([-0.5, -0.5])
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        members: dict[tuple[str, ...], list[int]] = {}
        for index, row in enumerate(rows):
            members.setdefault(row.dtypes, []).append(index)
        self._groups = [
            group_of(dtypes, np.array(chosen), [rows[index] for index in chosen])
            for dtypes, chosen in members.items()
        ]

    def numbers(
        self,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float = 0.0,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> Numbers:
        """Hyperparameters, those of `adamax_core.Hyperparameters` and inside their domains."""
        beta1, beta2 = betas
        mode, decay = 0, weight_decay
        if weight_decay != 0:
            mode = kernel.DECOUPLED if decoupled_weight_decay else kernel.COUPLED
            decay = lr * weight_decay if decoupled_weight_decay else weight_decay
        hyper = kernel.Hyper(-1.0 if maximize else 1.0, beta1, 1 - beta1, beta2, eps, decay)
        # Infinity is what a float32 makes of 1e300; to set that it says nothing takes a while.
        with np.errstate(over="ignore") if max(eps, decay) > _LARGEST_SINGLE else nullcontext():
            arrays = [np.array(hyper, group.dtype) for group in self._groups]
        return Numbers(lr, beta1, mode, arrays)

    def step(self, counts: npt.NDArray[np.float64], numbers: Numbers) -> None:
        """One step in place; `counts` says of each row which it is, the first being 1."""
        lr, beta1, mode, arrays = numbers
        for group, hyper in zip(self._groups, arrays, strict=True):
            own = counts[group.members] if len(self._groups) > 1 else counts
            last = own, lr, beta1, mode, hyper
            if len(group.shares) <= 2:  # noqa: PLR2004 - one share, or none
                kernel.step_few_rows(group.rows, group.likes, group.pieces, *last)
                continue
            shares = group.shares
            threads = min(numba.get_num_threads(), len(shares) - 1)
            with LOCK:
                kernel.step_rows(group.rows, group.likes, group.pieces, shares, threads, *last)

    def move_gradients(self, addresses: Integers) -> None:
        """Say where the gradients of all rows are now."""
        for group in self._groups:
            group.rows[:, 1] = addresses[group.members]


def prepare(dtypes: Dtypes) -> None:
    """Compile the kernel for these dtypes, or load it, and start its threads."""
    group = group_of(dtypes, np.zeros(1, np.int64), [Row((0, 0, 0, 0), dtypes, 0)])
    nothing = np.ones(1), 0.0, 0.0, 0, np.zeros(len(kernel.Hyper._fields), group.dtype)
    kernel.step_few_rows(group.rows, group.likes, group.pieces, *nothing)
    with LOCK:
        # Two empty shares: none would not start the threads.
        shares = np.zeros(3, np.int64)
        kernel.step_rows(group.rows, group.likes, group.pieces, shares, 2, *nothing)
    kernel.count_steps(np.zeros(0, np.int64))
    nobody = np.zeros(0, np.int64)
    objects.look_up(0, nobody, nobody)
    objects.are_items(0, *[nobody] * 5, np.zeros((0, 1), np.int64))


def group_of(dtypes: tuple[str, ...], members: Integers, rows: Sequence[Row]) -> Group:
    """These rows, which are `members` of a table, cut in pieces and shares."""
    sizes = np.array([row.size for row in rows])
    total = int(sizes.sum())
    # About eight for each thread, so that none has much more to do than another.
    length = int(np.clip(total // (8 * numba.config.NUMBA_NUM_THREADS), SMALLEST, LARGEST))
    pieces = _pieces(sizes, length)
    return Group(
        members,
        np.array([row.addresses for row in rows], np.uint64).astype(np.int64),
        tuple(np.zeros(0, _CARRIERS[dtype]) for dtype in dtypes),
        pieces,
        _shares(pieces[:, 2], total if total <= ALONE else length),
        np.float64 if "float64" in dtypes else np.float32,
    )


def _pieces(sizes: Integers, length: int) -> Integers:
    """For each piece of at most this length its row, its first element and how many.

    >>> _pieces(np.array([12, 0, 3]), 10)
    array([[ 0,  0, 10],
           [ 0, 10,  2],
           [ 2,  0,  3]])
    """
    each = -(-sizes // length)
    row = np.repeat(np.arange(len(sizes)), each)
    first = (np.arange(len(row)) - np.repeat(np.cumsum(each) - each, each)) * length
    return np.stack([row, first, np.minimum(length, sizes[row] - first)], axis=1)


def _shares(sizes: Integers, length: int) -> Integers:
    """Where in the pieces each share begins, and the end; a share has about this many elements.

    >>> _shares(np.array([10, 2, 3, 6, 7]), 10)
    array([0, 1, 4, 5])
    """
    before = np.cumsum(sizes) - sizes
    begins = np.searchsorted(before, np.arange(0, sizes.sum(), max(length, 1)))
    return np.unique(np.append(begins, len(sizes)))
