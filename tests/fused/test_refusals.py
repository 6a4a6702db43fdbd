"""`step_` rejects invalid arguments by name, before it changes anything."""

from collections.abc import Callable
from copy import deepcopy
from fractions import Fraction
from typing import Any

import numpy as np
import optree
import pytest

from adamax_core import Hyperparameters, State
from adamax_fused import init, step_

HP = Hyperparameters(0.1)


def bits(tree: Any) -> list[bytes]:
    """The bytes of all leaves, each converted to an array."""
    leaves: list[Any] = optree.tree_leaves(tree)
    return [np.array(leaf).tobytes() for leaf in leaves]


def unaligned() -> Any:
    return np.zeros(41, np.uint8)[1:].view(np.float64)


def read_only() -> Any:
    array = np.zeros(5)
    array.flags.writeable = False
    return array


REFUSED: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("params", read_only, ValueError, r"^params\['b'\] is read-only, but a step in place"),
    ("params", unaligned, ValueError, r"^params\['b'\] is not aligned for float64: pass a copy"),
    ("params", lambda: np.zeros(10)[::2], ValueError, r"^params\['b'\] is not dense in memory"),
    (
        "params",
        lambda: np.broadcast_to(np.float64(1), 5).copy()[::-1],
        ValueError,
        "is not dense in",
    ),
    ("params", lambda: np.zeros(5, ">f8"), TypeError, r"^params\['b'\] has dtype >f8; the fused"),
    ("params", lambda: np.zeros(5, np.longdouble), TypeError, "has dtype (longdouble|float128);"),
    ("params", lambda: np.ma.zeros(5), TypeError, r"^params\['b'\] is MaskedArray; the fused kern"),
    ("grads", lambda: np.ma.zeros(5), TypeError, r"^grads\['b'\] is MaskedArray; the fused kernel"),
    ("exp_avg", lambda: np.ma.zeros(5), TypeError, r"^exp_avg\['b'\] is MaskedArray; the fused ke"),
    ("params", lambda: 1.0, TypeError, r"^params\['b'\] is float; the fused kernel supports plain"),
    ("exp_avg", read_only, ValueError, r"^exp_avg\['b'\] is read-only"),
    ("exp_inf", lambda: np.zeros(5, int), TypeError, r"^exp_inf\['b'\] has dtype int64"),
    ("grads", lambda: np.zeros(5, int), TypeError, r"^grads\['b'\] has dtype int64"),
    (
        "grads",
        lambda: np.zeros(4),
        ValueError,
        r"^grads\['b'\] has shape \(4,\), but params\['b'\] has shape \(5,\)$",
    ),
    (
        "exp_inf",
        lambda: np.zeros((5, 1)),
        ValueError,
        r"^exp_inf\['b'\] has shape \(5, 1\), but params\['b'\] has shape \(5,\)$",
    ),
    (
        "grads",
        lambda: np.zeros(5, complex),
        TypeError,
        r"^grads\['b'\] has dtype complex128, but params\['b'\] has dtype float64: both must be",
    ),
]


@pytest.mark.parametrize(("field", "make", "error", "message"), REFUSED)
def test_unsupported_arrays_raise_and_nothing_changes(
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
    counts = {"a": np.array(1), "b": np.array(1)}
    state = State(counts, trees["exp_avg"], trees["exp_inf"])
    before = bits(trees)
    with pytest.raises(error, match=message):
        step_(params, trees["grads"], state, HP)
    assert bits(trees) == before
    assert state.step == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    "fields", [("params", "exp_avg"), ("params", "grads"), ("exp_avg", "exp_inf")]
)
@pytest.mark.parametrize("shift", [0, 2])
def test_overlapping_arrays_raise(fields: tuple[str, str], shift: int) -> None:
    memory = np.ones(10)
    trees = {name: np.ones(5) for name in ("params", "grads", "exp_avg", "exp_inf")}
    trees[fields[0]], trees[fields[1]] = memory[:5], memory[shift : shift + 5]
    state = State(np.array(0), trees["exp_avg"], trees["exp_inf"])
    with pytest.raises(ValueError, match="overlaps another array of this step"):
        step_(trees["params"], trees["grads"], state, Hyperparameters())
    assert (memory == 1).all()


def test_a_moment_with_other_strides_raises() -> None:
    params = np.ones((2, 3))
    state = State(np.array(0), np.asfortranarray(np.zeros((2, 3))), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"^exp_avg has strides .*, but its parameter has"):
        step_(params, params.copy(), state, Hyperparameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grads": {"a": np.ones(2)}}, "grads does not have the structure of params"),
        ({"grads": {"a": np.ones(2), "b": [np.ones(2)]}}, r"^grads\['b'\] has shape \(1, 2\), but"),
    ],
)
def test_mismatched_trees_raise_the_errors_of_the_core(
    change: dict[str, Any], message: str
) -> None:
    params = {"a": np.ones(2), "b": np.ones(2)}
    arguments: dict[str, Any] = {
        "params": params,
        "grads": deepcopy(params),
        "state": init(params),
        "hyperparameters": Hyperparameters(),
    }
    with pytest.raises(ValueError, match=message):
        step_(**arguments | change)


def test_a_gradient_that_aliases_a_moment_raises_and_names_the_leaf() -> None:
    params = {"a": np.ones(4), "b": np.ones(4)}
    state = step_(params, deepcopy(params), init(params), HP)
    before = bits([params, *state])
    grads = {"a": np.ones(4), "b": state.exp_inf["a"]}
    with pytest.raises(ValueError, match=r"^(grads\['b'\]|exp_inf\['a'\]) overlaps another"):
        step_(params, grads, state, HP)
    assert bits([params, *state]) == before


COUNTS = [
    (0, TypeError, r"^step\['b'\] = 0 cannot change in place: .*; use the state of adamax_fused"),
    (0, TypeError, r"adamax_fused\.init, or optree\.tree_map\(np\.array, state\.step\)$"),
    (np.int64(3), TypeError, r"^step\['b'\] = np\.int64\(3\) cannot change in place"),
    (np.array(3, np.int32), TypeError, r"^step\['b'\] = array\(3, dtype=int32\) cannot change"),
    (
        np.array(3, ">i8"),
        TypeError,
        r"^step\['b'\] = .* cannot change in place: it must be an int64",
    ),
    (np.array(3.0), TypeError, r"^step\['b'\] = array\(3\.\) cannot change in place"),
    (np.array([3]), ValueError, r"^step\['b'\] has shape \(1,\); a count must have shape \(\)$"),
    (np.array(-1), ValueError, r"^step\['b'\] = -1 is outside its domain 0 <= step\['b'\]$"),
    (np.broadcast_to(3, ()), ValueError, r"^step\['b'\] is read-only, but a step in place writes"),
]


def test_one_count_array_shared_by_two_leaves_raises() -> None:
    params = {"a": np.ones(2), "b": np.ones(2)}
    count = np.array(1)
    state = init(params)._replace(step={"a": count, "b": count})
    before = repr([params, *state])
    with pytest.raises(ValueError, match=r"^step\['[ab]'\] overlaps another array of this step"):
        step_(params, {"a": np.ones(2), "b": np.ones(2)}, state, Hyperparameters())
    assert repr([params, *state]) == before


@pytest.mark.parametrize(("count", "error", "message"), COUNTS)
def test_an_invalid_count_raises_and_nothing_changes(
    count: Any, error: type[Exception], message: str
) -> None:
    params = {"a": np.ones(2), "b": np.ones(2)}
    state = init(params)
    state.step["b"] = count
    before = bits([params, *state])
    with pytest.raises(error, match=message):
        step_(params, deepcopy(params), state, HP)
    assert bits([params, *state]) == before
    assert state.step["b"] is count


OUTSIDE: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"threads": 0}, ValueError, r"^threads = 0 is outside its domain 1 <= threads$"),
    ({"threads": -1}, ValueError, r"^threads = -1 is outside its domain 1 <= threads$"),
    ({"threads": 1.5}, TypeError, "'float' object cannot be interpreted as an integer"),
    (
        {"hyperparameters": Hyperparameters(10**400)},
        ValueError,
        r"^lr = inf is outside its domain 0 <= lr < inf$",
    ),
    (
        {"hyperparameters": Hyperparameters(0.1, (1 - Fraction(1, 10**30), 0.5))},
        ValueError,
        r"^beta1 = 1\.0 is outside its domain 0 <= beta1 < 1$",
    ),
]


@pytest.mark.parametrize(("change", "error", "message"), OUTSIDE)
def test_a_number_outside_its_domain_raises_and_nothing_changes(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    params = {"a": np.ones(2), "b": np.ones(2, np.float32)}
    state = init(params)
    before = bits([params, *state])
    arguments: dict[str, Any] = {"hyperparameters": HP} | change
    with pytest.raises(error, match=message):
        step_(params, deepcopy(params), state, **arguments)
    assert bits([params, *state]) == before
