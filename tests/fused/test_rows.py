"""Each element is stepped once by any number of threads; `misplaced` finds invalid memory."""

import threading
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adamax_core
from adamax_core import Hyperparameters, State
from adamax_fused import kernel, rows
from adamax_fused.kernel import GRAD, PIECE, misplaced
from adamax_fused.rows import Hyper, bias_correction, step_rows

HP = Hyperparameters(0.1, weight_decay=0.1)
HYPER = Hyper(0.1, 0.9, 0.999, 1e-8, 0.1, maximize=False, decoupled=False)
COUNT = 3
GAP = 3
"""Elements between two arrays, which a step must not change."""

NONE = np.zeros(0, np.int64)


def four(size: int, dtype: Any) -> list[Any]:
    """Parameters, gradients and moments drawn from a seed."""
    rng = np.random.default_rng(size)
    p, g, m, u = (rng.normal(size=size).astype(dtype) for _ in range(4))
    return [p, g, m, np.abs(u)]


def table_of(arrays: list[Any], firsts: list[int], sizes: list[int]) -> Any:
    """A row for each part of the four arrays, by its first element and its size."""
    starts = [array.ctypes.data + np.array(firsts, np.int64) * array.itemsize for array in arrays]
    return np.array([*starts, sizes], np.int64).reshape(5, len(sizes))


def stepped(arrays: list[Any], inside: Any) -> list[bytes]:
    """The bits after a step of the reference inside the rows; the rest unchanged."""
    p, g, m, u = arrays
    after, state = adamax_core.step(p, g, State(COUNT - 1, m, u), HP)
    new = (after, g, state.exp_avg, state.exp_inf)
    return [np.where(inside, *pair).tobytes() for pair in zip(new, arrays, strict=True)]


SIZES = [0, 1, 7, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sampled_from(SIZES), max_size=5), st.integers(1, 4), st.sampled_from(["f4", "f8"])
)
def test_each_element_is_stepped_once_by_any_number_of_threads(
    sizes: list[int], threads: int, dtype: str
) -> None:
    firsts = [GAP + sum(sizes[:row]) + GAP * row for row in range(len(sizes))]
    arrays = four(GAP + sum(sizes) + GAP * len(sizes), dtype)
    inside = np.zeros(arrays[0].size, bool)
    for first, size in zip(firsts, sizes, strict=True):
        inside[first : first + size] = True
    expected = stepped(arrays, inside)
    table = table_of(arrays, firsts, sizes)
    dtypes: Any = (arrays[0].dtype.name,) * 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "PER_THREAD", 1)  # so that little is enough for a helper
        step_rows(table, dtypes, [COUNT] * len(sizes), HYPER, threads, held=arrays)
    assert [array.tobytes() for array in arrays] == expected


@pytest.mark.parametrize("callers", [1, 2, 4])
def test_no_piece_is_taken_twice_by_concurrent_threads(callers: int) -> None:
    """Each row is a piece of one element, so threads mostly contend for pieces."""
    count = 1_000_000  # so many that their calls overlap
    arrays = four(count, "f4")
    expected = stepped(arrays, np.ones(count, bool))
    table, taken = table_of(arrays, list(range(count)), [1] * count), np.zeros(1, np.int64)
    sizes = np.full(count, HYPER.lr / bias_correction(HYPER.beta1, COUNT))
    numbers = np.array((1.0, HYPER.beta1, 1 - HYPER.beta1, HYPER.beta2, HYPER.eps, 0.1))
    arguments = table, rows._likes(("float32",) * 4), taken, sizes, kernel.COUPLED, numbers
    kernel.step_pieces(table[:, :0], *arguments[1:2], taken.copy(), *arguments[3:])  # compiles
    barrier = threading.Barrier(callers, timeout=60)

    def work() -> None:
        barrier.wait()
        kernel.step_pieces(*arguments)

    workers = [threading.Thread(target=work) for _ in range(callers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [array.tobytes() for array in arrays] == expected
    assert taken[0] == count + callers  # each finds once that nothing is left
    kernel.step_pieces(*arguments)
    assert [array.tobytes() for array in arrays] == expected


@pytest.mark.parametrize(
    ("sizes", "threads", "helpers"),
    [
        ([999_999], 8, []),
        ([1_000_000], 8, [1]),
        ([400_000, 600_000], 8, [1]),
        ([3_000_000], 1, []),
        ([3_000_000], 2, [1]),
        ([3_000_000], 3, [2]),
        ([3_000_000], 64, [5]),
    ],
)
def test_at_most_one_helper_starts_for_each_half_million_elements(
    sizes: list[int], threads: int, helpers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[int]()

    def note(work: Callable[[], object], helpers: int) -> None:
        asked.append(helpers)
        work()

    monkeypatch.setattr(rows, "together", note)
    arrays = [np.zeros(sum(sizes), np.float32) for _ in range(4)]
    table = table_of(arrays, [sum(sizes[:row]) for row in range(len(sizes))], sizes)
    step_rows(table, ("float32",) * 4, [1] * len(sizes), HYPER, threads, held=arrays)
    assert asked == helpers
    assert np.count_nonzero(arrays[3]) == sum(sizes)  # each norm is eps now


def test_each_row_takes_a_step_of_its_own_count() -> None:
    arrays = four(6, "f8")
    p, g, m, u = (array.copy() for array in arrays)
    step_rows(table_of(arrays, [0, 3], [3, 3]), ("float64",) * 4, [1, 50], HYPER, 1, held=arrays)
    for part, count in ((slice(0, 3), 0), (slice(3, 6), 49)):
        new, _ = adamax_core.step(p[part], g[part], State(count, m[part], u[part]), HP)
        assert arrays[0][part].tobytes() == new.tobytes()


class Layout:
    """Arrays as addresses, sizes and widths, with the bytes that they occupy."""

    def __init__(self, sizes: list[int], addresses: list[int], widths: list[int]) -> None:
        self.table = np.array([*np.reshape(addresses, (4, -1)), sizes], np.int64)
        self.widths = np.array(widths, np.int64).reshape(4, -1)
        self.spans = [
            range(address, address + size * width)
            for address, width, size in zip(addresses, widths, sizes * 4, strict=True)
        ]
        self.grads = range(GRAD * len(sizes), (GRAD + 1) * len(sizes))

    def wrong(self) -> set[int]:
        """The arrays that the kernel cannot step, found byte by byte: the oracle of `misplaced`."""
        there = [index for index, span in enumerate(self.spans) if span]
        found = {
            index
            for index in there
            if not self.spans[index].start or self.spans[index].start % self.widths.ravel()[index]
        }
        for pair in combinations(there, 2):
            first, second = (set(self.spans[index]) for index in pair)
            if first & second and not all(index in self.grads for index in pair):
                found.update(pair)
        return found


@st.composite
def layouts(draw: st.DrawFn, alike: bool = False) -> Layout:
    """Arrays in any order, mostly adjacent; a few overlap or are not aligned."""
    sizes = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    count = 4 * len(sizes)
    chosen = 4 if alike else count
    widths = draw(st.lists(st.sampled_from([2, 4, 8]), min_size=chosen, max_size=chosen))
    widths = [width for width in widths for _ in range(count // chosen)]
    addresses, at = [0] * count, draw(st.sampled_from([0, 8, 16]))
    gaps = st.sampled_from([0] * 20 + [8, 4, -2, -8])
    for index in draw(st.permutations(range(count))):
        at = max(at + draw(gaps), 0)
        addresses[index] = at
        at += -(-sizes[index % len(sizes)] * widths[index] // 8) * 8
    return Layout(sizes, addresses, widths)


@settings(deadline=None, max_examples=400)  # the first may compile
@given(layouts())
def test_misplaced_agrees_with_a_search_of_all_bytes(layout: Layout) -> None:
    wrong, found = layout.wrong(), misplaced(layout.table, NONE, layout.widths)
    assert found in wrong if wrong else found == -1


@settings(deadline=None)
@given(layouts(alike=True))
def test_misplaced_takes_one_width_for_all_rows(layout: Layout) -> None:
    wrong, found = layout.wrong(), misplaced(layout.table, NONE, layout.widths[:, :1].copy())
    assert found in wrong if wrong else found == -1


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_disjoint_arrays_are_not_misplaced(sizes: list[int], random: Any) -> None:
    """Gradients may overlap each other, since nothing writes to them."""
    count = 4 * len(sizes)
    places = random.sample(range(1, count + 1), count)
    addresses = [place * 64 for place in places]
    grads = slice(GRAD * len(sizes), (GRAD + 1) * len(sizes))
    addresses[grads] = [addresses[GRAD * len(sizes)] + 8 * random.randrange(2) for _ in sizes]
    layout = Layout(sizes, addresses, [8] * count)
    assert misplaced(layout.table, NONE, layout.widths) == -1


@pytest.mark.parametrize(("place", "apart"), [(1000, True), (1008, False), (1016, True)])
@pytest.mark.parametrize("array", range(4))
def test_a_count_is_written_too(place: int, apart: bool, array: int) -> None:
    """A count occupies 8 bytes, beside or inside an array of one double at address 1008."""
    table = np.array([[2000], [3000], [4000], [5000], [1]])
    table[array] = 1008
    wrong = misplaced(table, np.array([place]), np.full((4, 1), 8))
    assert (wrong == -1) == apart


@pytest.mark.parametrize("count", [1, 2, 3, 10, 1000, 10**6, 2**31 - 1, 2**53])
@pytest.mark.parametrize(
    "beta1", [0.0, 1e-300, 0.25, 0.49999999999999994, 0.5, 0.9, 0.999, 1 - 2**-30, 1 - 2**-53]
)
def test_bias_correction_is_that_of_the_reference(beta1: float, count: int) -> None:
    """tests/core compares the reference with exact numbers."""
    assert bias_correction(beta1, count) == adamax_core.CANONICAL.bias_correction(beta1, count)
