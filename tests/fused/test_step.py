"""`step_` gives the bits of the reference, in place, or refuses and changes nothing."""

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import ml_dtypes  # noqa: F401 - gives NumPy its bfloat16
import numpy as np
import optree
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adamax_core
from adamax_core import Hyperparameters, State
from adamax_fused import step_
from adamax_fused.step import _plan
from adamax_fused.table import SMALLEST

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


def contents(tree: Any) -> list[bytes]:
    """As `bits`, of anything that could be meant for an array."""
    leaves: list[Any] = optree.tree_leaves(tree)
    return [np.array(leaf).tobytes() for leaf in leaves]


def same(array: Any, other: Any) -> bool:
    """The same bits, but for NaN, of which there are many."""
    nan = np.isnan(array)
    values = np.where(nan, 0, array).tobytes() == np.where(nan, 0, other).tobytes()
    return array.dtype == other.dtype and values and bool((nan == np.isnan(other)).all())


def copied(tree: Any) -> Any:
    return optree.tree_map(lambda array: array.copy(), tree)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("maximize", "decoupled", "decay"), MODES)
def test_it_has_the_bits_of_the_reference(
    dtype: str, maximize: bool, decoupled: bool, decay: float
) -> None:
    """More than a piece, scalars, none at all, another order, and a gradient that is missing."""
    hp = Hyperparameters(
        0.1, weight_decay=decay, maximize=maximize, decoupled_weight_decay=decoupled
    )
    rng = np.random.default_rng(0)
    shapes = {"w": (7, 3), "s": (), "long": (2 * SMALLEST + 3,), "none": (0, 2), "late": (5,)}
    params = {key: numbers(rng, shape, dtype) for key, shape in shapes.items()}
    params["t"] = np.asfortranarray(numbers(rng, (4, 5), dtype))
    ours = copied(params)
    state, our_state = adamax_core.init(params), adamax_core.init(ours)
    for step in range(4):
        grads = {key: numbers(rng, param.shape, dtype) for key, param in params.items()}
        grads["late"] = grads["late"] if step % 2 else None
        params, state = adamax_core.step(params, grads, state, hp)
        our_state = step_(ours, grads, our_state, hp)
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
    states = [adamax_core.init(params, state and np.dtype(state)) for _ in range(2)]
    hp = Hyperparameters(0.1, weight_decay=0.1)
    for _ in range(3):
        grads = numbers(rng, (300,), grad)
        params, states[0] = adamax_core.step(params, grads, states[0], hp)
        states[1] = step_(ours, grads, states[1], hp)
    assert bits(ours) == bits(params)
    assert bits(states[1][1:]) == bits(states[0][1:])


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
def test_any_numbers_give_those_of_the_reference(
    values: list[tuple[float, ...]], dtype: str, offset: int
) -> None:
    """Infinities, NaN, subnormal numbers, at the largest and at any place of a vector."""
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
    own = step_(room[0], g, State(3, room[1], room[2]), hp)
    assert own.step == 4
    assert all(map(same, room, (expected, state.exp_avg, state.exp_inf)))


def test_the_steps_of_one_table_go_on_with_new_hyperparameters() -> None:
    params = np.ones(5)
    ours, state = params.copy(), adamax_core.init(params)
    own = adamax_core.init(ours)
    for lr in (Fraction(1, 10), 0.5, 0):
        hp = Hyperparameters(lr, betas=(0.25, 0.5), eps=1e-3)
        params, state = adamax_core.step(
            params, params, state, Hyperparameters(float(lr), (0.25, 0.5), 1e-3)
        )
        own = step_(ours, ours.copy(), own, hp)
        assert ours.tobytes() == params.tobytes()


def test_gradients_in_another_order_or_byte_order_are_taken() -> None:
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
        step_(ours, given_, adamax_core.init(ours), Hyperparameters(0.1))
        assert ours.tobytes() == expected.tobytes()
        assert given_.tobytes() == before


def unaligned() -> Any:
    return np.zeros(41, np.uint8)[1:].view(np.float64)


def read_only() -> Any:
    array = np.zeros(5)
    array.flags.writeable = False
    return array


REFUSED: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("params", read_only, ValueError, r"^params\['b'\] is read-only, and a step in place"),
    ("params", unaligned, ValueError, r"^params\['b'\] is not aligned for float64: pass a copy"),
    ("params", lambda: np.zeros(10)[::2], ValueError, r"^params\['b'\] has gaps in memory, or is"),
    ("params", lambda: np.broadcast_to(np.float64(1), 5).copy()[::-1], ValueError, "has gaps in"),
    ("params", lambda: np.zeros(5, ">f8"), TypeError, r"^params\['b'\] has dtype >f8; the fused"),
    ("params", lambda: np.zeros(5, np.longdouble), TypeError, "has dtype (longdouble|float128);"),
    ("params", lambda: np.ma.zeros(5), TypeError, r"^params\['b'\] is of MaskedArray; only NumPy"),
    ("params", lambda: 1.0, TypeError, r"^params\['b'\] is of float; only NumPy arrays change"),
    ("exp_avg", read_only, ValueError, r"^exp_avg\['b'\] is read-only"),
    ("exp_inf", lambda: np.zeros(5, int), TypeError, r"^exp_inf\['b'\] has dtype int64"),
    ("grads", lambda: np.zeros(5, int), TypeError, r"^grads\['b'\] has dtype int64"),
    (
        "grads",
        lambda: np.zeros(4),
        ValueError,
        r"^grads\['b'\] does not fit its parameter: \(4,\) of float64, not \(",
    ),
    ("grads", lambda: np.zeros(5, complex), ValueError, r"^grads\['b'\] does not fit its param"),
]


@pytest.mark.parametrize(("field", "make", "error", "message"), REFUSED)
def test_what_cannot_be_stepped_is_refused_and_nothing_changed(
    field: str, make: Callable[[], Any], error: type[Exception], message: str
) -> None:
    params = {"a": np.ones(3), "b": np.ones(5)}
    trees = {
        "params": params,
        "grads": {"a": np.ones(3), "b": np.ones(5)},
        "exp_avg": {"a": np.ones(3), "b": np.ones(5)},
        "exp_inf": {"a": np.ones(3), "b": np.ones(5)},
    }
    trees[field]["b"] = make()
    state = State({"a": 1, "b": 1}, trees["exp_avg"], trees["exp_inf"])
    before = contents(trees)
    with pytest.raises(error, match=message):
        step_(params, trees["grads"], state, Hyperparameters(0.1))
    assert contents(trees) == before
    assert state.step == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    "fields", [("params", "exp_avg"), ("params", "grads"), ("exp_avg", "exp_inf")]
)
@pytest.mark.parametrize("shift", [0, 2])
def test_what_overlaps_is_refused(fields: tuple[str, str], shift: int) -> None:
    memory = np.ones(10)
    trees = {name: np.ones(5) for name in ("params", "grads", "exp_avg", "exp_inf")}
    trees[fields[0]], trees[fields[1]] = memory[:5], memory[shift : shift + 5]
    state = State(0, trees["exp_avg"], trees["exp_inf"])
    with pytest.raises(ValueError, match="shares memory with another array of the step"):
        step_(trees["params"], trees["grads"], state, Hyperparameters())
    assert (memory == 1).all()


def test_one_gradient_may_serve_two_parameters() -> None:
    params, grad = [np.zeros(3), np.zeros(3)], np.ones(3)
    step_(params, [grad, grad], adamax_core.init(params), Hyperparameters(0.5))
    assert (params[0] == params[1]).all()
    assert (params[0] != 0).all()


def test_a_moment_in_another_order_is_refused() -> None:
    params = np.ones((2, 3))
    state = State(0, np.asfortranarray(np.zeros((2, 3))), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"^exp_avg lies in another order than its parameter"):
        step_(params, params.copy(), state, Hyperparameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grads": {"a": np.ones(2)}}, "grads does not have the structure of params"),
        ({"state": "none"}, "state is str, not State"),
        ({"hyperparameters": 1}, "hyperparameters is int, not Hyperparameters"),
    ],
)
def test_what_does_not_hold_together_is_refused_as_by_the_reference(
    change: dict[str, Any], message: str
) -> None:
    params = {"a": np.ones(2), "b": np.ones(2)}
    arguments = {
        "params": params,
        "grads": copied(params),
        "state": adamax_core.init(params),
        "hyperparameters": Hyperparameters(),
    }
    with pytest.raises((ValueError, TypeError), match=message):
        step_(**arguments | change)


def test_a_table_of_arrays_that_are_gone_is_not_that_of_others() -> None:
    """What lies at the same address later may be of another dtype and shape."""
    memory = np.zeros(4 * 8, np.float64)
    for dtype, size in (("float64", 8), ("float32", 8), ("float32", 6), ("float64", 6)):
        p, g, m, u = (part.view(dtype)[:size] for part in memory.reshape(4, 8))
        for array in (p, m, u):
            array[...] = 0
        g[...] = 1
        expected, _ = adamax_core.step(
            p.copy(), g.copy(), State(0, m.copy(), u.copy()), Hyperparameters(0.5)
        )
        step_(p, g, State(0, m, u), Hyperparameters(0.5))
        assert p.tobytes() == expected.tobytes()


def test_a_count_below_zero_is_refused_by_name() -> None:
    params = {"a": np.ones(2)}
    state = adamax_core.init(params)._replace(step={"a": -1})
    with pytest.raises(ValueError, match=r"^step\['a'\] = -1 is outside its domain 0 <= step"):
        step_(params, {"a": np.ones(2)}, state, Hyperparameters())
    assert params["a"].tolist() == [1, 1]


def test_a_table_is_kept_though_every_gradient_is_elsewhere() -> None:
    params = {"a": np.ones(5, np.float32), "b": np.ones((2, 3)), "empty": np.ones(0)}
    state, held, made = adamax_core.init(params), list[Any](), list[int]()
    expected, expected_state = copied(params), adamax_core.init(params)
    for step in range(4):
        held.append({key: np.full_like(array, step - 1.5) for key, array in params.items()})
        state = step_(params, held[-1], state, Hyperparameters(0.1))
        expected, expected_state = adamax_core.step(
            expected, held[-1], expected_state, Hyperparameters(0.1)
        )
        assert contents(params) == contents(expected)
        made.append(_plan.cache_info().misses)
    assert len(set(made)) == 1


def test_a_gradient_that_comes_to_lie_on_what_is_written_is_refused_by_name() -> None:
    params = {"a": np.ones(4), "b": np.ones(4)}
    state = step_(params, copied(params), adamax_core.init(params), Hyperparameters(0.1))
    before = contents([params, state.exp_avg, state.exp_inf])
    grads = {"a": np.ones(4), "b": state.exp_inf["a"]}
    with pytest.raises(ValueError, match=r"^grads\['b'\] shares memory with another array"):
        step_(params, grads, state, Hyperparameters(0.1))
    assert contents([params, state.exp_avg, state.exp_inf]) == before
