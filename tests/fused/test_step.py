"""`step_` gives the bits of the reference, in place."""

import weakref
from copy import deepcopy
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 - gives NumPy its bfloat16
import numpy as np
import optree
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adamax_core
from adamax_core import Hyperparameters, State
from adamax_fused import init, step_
from adamax_fused.kernel import PIECE

HP = Hyperparameters(0.1)
DTYPES = ["float32", "float64", "float16", "bfloat16", "complex64", "complex128"]
MODES = list(product([False, True], [False, True], [0.0, 0.1]))


def numbers(rng: np.random.Generator, shape: Any, dtype: Any) -> Any:
    values = np.asarray(rng.normal(size=shape))
    if np.dtype(dtype).kind == "c":
        values = values + 1j * rng.normal(size=shape)
    return np.asarray(values).astype(dtype)


def bits(tree: Any) -> list[bytes]:
    arrays: list[Any] = optree.tree_leaves(tree)
    return [array.tobytes() for array in arrays]


def same(array: Any, other: Any) -> bool:
    """Equal bits, except that any NaN equals any NaN."""
    nan = np.isnan(array)
    values = np.where(nan, 0, array).tobytes() == np.where(nan, 0, other).tobytes()
    return array.dtype == other.dtype and values and bool((nan == np.isnan(other)).all())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("maximize", "decoupled", "decay"), MODES)
def test_it_has_the_bits_of_the_reference(
    dtype: str, maximize: bool, decoupled: bool, decay: float
) -> None:
    """Arrays longer than a piece, scalar, empty, in another order, and with a missing gradient."""
    hp = Hyperparameters(
        0.1, weight_decay=decay, maximize=maximize, decoupled_weight_decay=decoupled
    )
    rng = np.random.default_rng(0)
    shapes = {"w": (7, 3), "s": (), "long": (PIECE + 3,), "none": (0, 2), "late": (5,)}
    params = {key: numbers(rng, shape, dtype) for key, shape in shapes.items()}
    params["t"] = np.asfortranarray(numbers(rng, (4, 5), dtype))
    ours = deepcopy(params)
    state, our_state = adamax_core.init(params), init(ours)
    for step in range(4):
        grads = {key: numbers(rng, param.shape, dtype) for key, param in params.items()}
        grads["late"] = grads["late"] if step % 2 else None
        params, state = adamax_core.step(params, grads, state, hp)
        assert step_(ours, grads, our_state, hp) is our_state
        assert our_state.step == state.step
        assert bits(ours) == bits(params)
        assert bits((our_state.exp_avg, our_state.exp_inf)) == bits((state.exp_avg, state.exp_inf))


@pytest.mark.parametrize("param", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("grad", ["float32", "bfloat16"])
@pytest.mark.parametrize("state", [None, "float32", "float16"])
def test_dtypes_mix_as_in_the_reference(param: str, grad: str, state: str | None) -> None:
    rng = np.random.default_rng(1)
    params = numbers(rng, (300,), param)
    ours = params.copy()
    dtype = state and np.dtype(state)
    expected, own = adamax_core.init(params, dtype), init(ours, dtype)
    hp = Hyperparameters(0.1, weight_decay=0.1)
    for _ in range(3):
        grads = numbers(rng, (300,), grad)
        params, expected = adamax_core.step(params, grads, expected, hp)
        step_(ours, grads, own, hp)
    assert bits(ours) == bits(params)
    assert bits(own[1:]) == bits(expected[1:])


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(2**-8, 2**8), st.floats(-1, 1)), min_size=1, max_size=20),
    st.sampled_from(["float16", "bfloat16"]),
)
def test_a_double_near_a_tie_of_two_halves_is_rounded_once(
    values: list[tuple[float, float]], dtype: str
) -> None:
    """Rounding to float32 first could create a tie, and then round the wrong way."""
    halves, beyond = np.array(values).T
    halves = halves.astype(dtype).astype(np.float64)
    following = np.nextafter(halves.astype(dtype), np.array(np.inf, dtype)).astype(np.float64)
    grads = (halves + following) / 2 * (1 + 2.0**-30 * beyond)
    params = np.zeros(len(values))
    hp, state = Hyperparameters(0.1, betas=(0.0, 0.0)), init(params)
    state = state._replace(exp_avg=params.astype(dtype), exp_inf=params.astype(dtype))
    step_(params, grads, state, hp)
    rounded = zip(*(column.tolist() for column in (grads, halves, following)), strict=True)
    for m, (grad, *two) in zip(state.exp_avg.astype(np.float64), rounded, strict=True):
        distances = {half: abs(Fraction(half) - Fraction(grad)) for half in two}
        assert distances[m] == min(distances.values())


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            *[st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True)] * 4
        ),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from(["float32", "bfloat16", "float16"]),
    st.integers(0, 3),
)
def test_any_numbers_give_the_bits_of_the_reference(
    values: list[tuple[float, ...]], dtype: str, offset: int
) -> None:
    """Infinities, NaN, subnormal and large numbers, in any lane of a vector."""
    with np.errstate(all="ignore"):
        p, g, m, u = (
            np.array(column, np.float32).astype(dtype) for column in zip(*values, strict=True)
        )
    u = np.abs(u)
    hp = Hyperparameters(0.1, weight_decay=0.1)
    expected, state = adamax_core.step(p, g, State(3, m, u), hp)
    room = [np.empty(len(values) + offset, dtype)[offset:] for _ in range(3)]
    for place, array in zip(room, (p, m, u), strict=True):
        place[...] = array
    own = State(np.array(3), room[1], room[2])
    step_(room[0], g, own, hp)
    assert own.step == 4
    assert all(map(same, room, (expected, state.exp_avg, state.exp_inf)))


def test_the_same_state_continues_with_new_hyperparameters() -> None:
    params = np.ones(5)
    ours, state = params.copy(), adamax_core.init(params)
    own = init(ours)
    for lr in (Fraction(1, 10), 0.5, 0):
        hp = Hyperparameters(lr, betas=(0.25, 0.5), eps=1e-3)
        params, state = adamax_core.step(
            params, params, state, Hyperparameters(float(lr), (0.25, 0.5), 1e-3)
        )
        step_(ours, ours.copy(), own, hp)
        assert ours.tobytes() == params.tobytes()
    assert own.step == 3


def test_a_state_of_the_reference_continues_once_its_counts_are_arrays() -> None:
    params = {"a": np.ones(3), "b": np.full(2, 0.5)}
    grads = {"a": np.ones(3), "b": None}
    params, state = adamax_core.step(params, grads, adamax_core.init(params), HP)
    ours = deepcopy(params)
    counts = optree.tree_map(np.array, state.step)
    own = State(counts, deepcopy(state.exp_avg), deepcopy(state.exp_inf))
    params, state = adamax_core.step(params, deepcopy(ours), state, HP)
    step_(ours, deepcopy(ours), own, HP)
    assert bits((ours, *own[1:])) == bits((params, *state[1:]))
    assert own.step == state.step == {"a": 2, "b": 1}


def test_gradients_in_another_memory_or_byte_order_are_copied() -> None:
    rng = np.random.default_rng(2)
    params, grads = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))
    expected, _ = adamax_core.step(params, grads, adamax_core.init(params), Hyperparameters(0.1))
    shifted = np.frombuffer(b"x" + grads.tobytes(), np.uint8)[1:].view(grads.dtype)
    wide = np.repeat(grads, 2, axis=1)[:, ::2]
    for given_ in (
        np.asfortranarray(grads),
        wide,
        grads.astype(">f8"),
        shifted.reshape(4, 6),
        grads[::-1][::-1],
    ):
        ours = params.copy()
        before = given_.tobytes()
        step_(ours, given_, init(ours), HP)
        assert ours.tobytes() == expected.tobytes()
        assert given_.tobytes() == before


def test_a_memory_mapped_array_is_stepped_in_its_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    params = numbers(rng, 1000, "float32")
    params.tofile(tmp_path / "params")
    mapped = np.memmap(tmp_path / "params", np.float32, "r+")
    expected, _ = adamax_core.step(params, params, adamax_core.init(params), HP)
    step_(mapped, params, init(params), HP)
    mapped.flush()
    assert (tmp_path / "params").read_bytes() == expected.tobytes()


def test_two_parameters_may_share_a_gradient() -> None:
    params, grad = [np.zeros(3), np.zeros(3)], np.ones(3)
    step_(params, [grad, grad], init(params), HP)
    assert (params[0] == params[1]).all()
    assert (params[0] != 0).all()


def test_reused_memory_is_stepped_as_the_new_arrays() -> None:
    """Memory reused at the same address may hold another dtype and shape."""
    memory = np.zeros(4 * 8, np.float64)
    for dtype, size in (("float64", 8), ("float32", 8), ("float32", 6), ("float64", 6)):
        p, g, m, u = (part.view(dtype)[:size] for part in memory.reshape(4, 8))
        for array in (p, m, u):
            array[...] = 0
        g[...] = 1
        expected, _ = adamax_core.step(p.copy(), g.copy(), State(0, m.copy(), u.copy()), HP)
        step_(p, g, State(np.array(0), m, u), HP)
        assert p.tobytes() == expected.tobytes()


def test_a_step_keeps_no_reference() -> None:
    params, grads = np.ones(1_000_000), np.ones(1_000_000)
    state = init(params)
    references = [weakref.ref(array) for array in (params, grads, *state)]
    step_(params, grads, state, HP, threads=1)
    del params, grads, state
    assert [reference() for reference in references] == [None] * 5


@pytest.mark.parametrize("threads", [1, 2, 3, np.int64(2), None])
def test_any_number_of_threads_gives_the_same_bits(threads: Any) -> None:
    """Several dtypes, each large enough for a helper."""
    rng = np.random.default_rng(3)
    dtypes = {"f": "float32", "d": "float64", "h": "float16", "c": "complex64"}
    params = {key: numbers(rng, (1_000_003,), dtype) for key, dtype in dtypes.items()}
    grads = deepcopy(params)
    expected, state = adamax_core.step(params, grads, adamax_core.init(params), HP)
    own = init(params)
    step_(params, grads, own, HP, threads=threads)
    assert bits((params, own[1:])) == bits((expected, state[1:]))
