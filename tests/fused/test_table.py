"""Every element is in one piece, every piece in one share, and shares are about alike."""

from itertools import pairwise
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamax_fused.kernel import lanes, next_share
from adamax_fused.table import _pieces, _shares


@given(st.lists(st.integers(0, 500), max_size=30), st.integers(1, 60))
def test_pieces_cover_each_element_once(sizes: list[int], length: int) -> None:
    seen = [np.zeros(size, int) for size in sizes]
    for row, first, count in _pieces(np.array(sizes, int), length):
        assert 0 < count <= length
        seen[row][first : first + count] += 1
    assert all((each == 1).all() for each in seen)


@given(st.lists(st.integers(0, 500), max_size=30), st.integers(1, 60))
def test_shares_cover_each_piece_once_and_are_alike(sizes: list[int], length: int) -> None:
    counts = _pieces(np.array(sizes, int), length)[:, 2]
    shares = _shares(counts, length)
    assert (np.diff(shares) > 0).all()
    assert shares[-1] == len(counts)
    assert not len(counts) or shares[0] == 0
    # A share begins with the first piece after a multiple of the length.
    assert all(counts[a:b].sum() < 2 * length for a, b in pairwise(shares))


@pytest.mark.parametrize(("count", "threads"), [(0, 2), (1, 3), (7, 2), (5000, 4)])
def test_threads_take_each_share_once_whoever_is_slow(count: int, threads: int) -> None:
    ends = lanes(np.arange(count + 1), threads)
    assert max(np.diff(ends)) - min(np.diff(ends)) <= 1
    following, taken = ends[:-1].copy(), [list[int]() for _ in range(threads)]

    def take(thread: int) -> None:
        while (share := next_share(following, ends, thread)) >= 0:
            taken[thread].append(share)

    # The last does not come at all, and its lane is taken by the others.
    workers = [Thread(target=take, args=(thread,)) for thread in range(threads - 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(share for each in taken for share in each) == list(range(count))


def test_a_thread_begins_with_its_own_lane_and_goes_on_with_others() -> None:
    ends = lanes(np.arange(7), 3)
    following = ends[:-1].copy()
    assert [next_share(following, ends, 1) for _ in range(7)] == [2, 3, 4, 5, 0, 1, -1]
