"""Memory layout: copies keep the layout of the original and share no memory with it."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamax_conformance.spec.formats import DTYPES, dtype_of
from adamax_conformance.subject.memory import LAYOUTS, bits, copies, laid_out, layout_of

SHAPES = [(), (0,), (1,), (5,), (2, 3), (3, 0, 2), (2, 3, 5), (1, 4), (4, 1)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_laid_out_keeps_the_numbers_in_memory_of_their_own(
    shape: tuple[int, ...], layout: str
) -> None:
    for dtype in map(dtype_of, DTYPES):
        array = np.arange(np.prod(shape)).astype(dtype).reshape(shape)
        moved = laid_out(array, layout)
        assert (moved.dtype, moved.shape) == (array.dtype, array.shape)
        assert moved.tobytes() == array.tobytes()
        assert not np.shares_memory(moved, array)


@pytest.mark.parametrize(
    ("shape", "layout", "found"),
    [
        ((5,), "strided", "strided"),
        ((2, 3), "strided", "strided"),
        ((2, 3), "F", "F"),
        ((2, 3), "C", "C"),
        # With less than two rows or numbers there is only one way to lie.
        ((5,), "F", "C"),
        ((), "strided", "C"),
        ((1,), "strided", "C"),
        ((0,), "strided", "C"),
    ],
)
def test_layout_of_what_was_laid_out(shape: tuple[int, ...], layout: str, found: str) -> None:
    assert layout_of(laid_out(np.zeros(shape), layout)) == found


def test_layout_of_views() -> None:
    array = np.zeros((4, 6))
    assert layout_of(array.T) == "F"
    assert layout_of(array[:, ::2]) == layout_of(array[::2]) == "strided"
    assert layout_of(array[:2]) == "C"
    assert layout_of(np.zeros(7)[::-1]) == "strided"
    assert layout_of(np.broadcast_to(np.zeros(1), (3,))) == "strided"


@settings(derandomize=True, deadline=None)
@given(layouts=st.lists(st.sampled_from(LAYOUTS), min_size=1, max_size=4))
def test_copies_lie_as_the_originals_do(layouts: list[str]) -> None:
    given_ = {
        str(index): laid_out(np.arange(6.0).reshape(2, 3), layout)
        for index, layout in enumerate(layouts)
    }
    copied = copies(given_)
    assert [*copied] == [*given_]
    for name, array in given_.items():
        assert layout_of(copied[name]) == layout_of(array)
        assert np.array_equal(copied[name], array)
        copied[name][...] = -1
        assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_copy_of_a_zero_dimensional_array_can_be_written() -> None:
    array = np.array(1.0)
    (copied,) = copies({"w": array}).values()
    copied[...] = 2
    assert array == 1


@pytest.mark.parametrize("slices", [np.s_[::-1], np.s_[:, ::-1], np.s_[::-1, ::-2]])
def test_copies_of_reversed_arrays_are_reversed(slices: Any) -> None:
    array = np.arange(12.0).reshape(3, 4)[slices]
    (copied,) = copies({"w": array}).values()
    assert np.array_equal(copied, array)
    assert [np.sign(n) for n in copied.strides] == [np.sign(n) for n in array.strides]
    assert not np.shares_memory(copied, array)


def test_copies_of_expanded_arrays_are_expanded_and_can_be_written() -> None:
    array = np.broadcast_to(np.arange(3.0)[:, None], (3, 4))
    (copied,) = copies({"w": array}).values()
    assert copied.strides == array.strides
    assert np.array_equal(copied, array)
    copied[1] = 7
    assert array[1].tolist() == [1, 1, 1, 1]


def test_copy_of_a_view_holds_only_what_the_view_shows() -> None:
    array = np.arange(12.0)
    (copied,) = copies({"w": array[::3]}).values()
    assert copied.tolist() == [0, 3, 6, 9]
    assert copied.strides == (16,)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (np.float16(1), "float16 3c00"),
        (ml_dtypes.bfloat16(-0.0), "bfloat16 8000"),
        (np.float32(np.nan), "float32 7fc00000"),
        (np.float64(5e-324), "float64 0000000000000001"),
        (np.array(2.0, np.float32), "float32 40000000"),
    ],
)
def test_bits(number: object, text: str) -> None:
    assert bits(number) == text
