"""Every element is in one piece, every piece in one share, and shares are about alike."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

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
