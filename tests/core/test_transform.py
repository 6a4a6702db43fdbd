"""Trees, missing gradients, counts for each parameter, purity, and errors."""

from collections.abc import Callable
from typing import Any, NamedTuple

import array_api_strict as strict
import numpy as np
import optree
import pytest

from adamax_core import CANONICAL, Hyperparameters, State, init, step, update

HP = Hyperparameters(lr=0.25, betas=(0.5, 0.75), eps=0.125, weight_decay=0.5)


class Layer(NamedTuple):
    weight: Any
    bias: Any


def tree(make: Callable[[float], Any]) -> Any:
    """A nest of every container, with leaves made from 1, 2, 3, ..."""
    return {
        "layers": [Layer(make(1.0), make(2.0)), (make(3.0), [make(4.0)])],
        "head": {"out": make(5.0), "in": make(6.0)},
    }


def filled(value: float) -> Any:
    return np.full((2, 3), value)


@pytest.mark.parametrize(
    "make",
    [filled, np.array, lambda value: np.full((0, 2), value)],
    ids=["matrices", "0-d", "empty"],
)
def test_a_tree_steps_leaf_by_leaf(make: Callable[[float], Any]) -> None:
    params, grads = tree(make), tree(lambda value: make(-value / 8))
    after, state = step(params, grads, init(params), HP)
    assert optree.tree_structure(after) == optree.tree_structure(params)
    leaves = zip(*map(optree.tree_leaves, (params, grads, after, *state)), strict=True)
    for param, grad, new, count, exp_avg, exp_inf in leaves:
        alone, alone_state = step(param, grad, init(param), HP)
        assert new.shape == param.shape
        assert new.tobytes() == alone.tobytes()
        assert count == alone_state.step == 1
        assert exp_avg.tobytes() == alone_state.exp_avg.tobytes()
        assert exp_inf.tobytes() == alone_state.exp_inf.tobytes()


def test_a_single_array_and_a_single_number_are_trees() -> None:
    after, state = step(2.0, -4.0, init(2.0), Hyperparameters(0.5, eps=0.0))
    assert (after, state.step) == (2.5, 1)


def test_an_empty_tree_steps_to_an_empty_tree() -> None:
    assert step({}, {}, init({}), HP) == ({}, State({}, {}, {}))


def test_a_missing_gradient_leaves_parameter_moments_and_count_unchanged() -> None:
    params, grads = tree(filled), tree(filled)
    _, before = step(params, grads, init(params), HP)
    grads["head"]["out"] = None
    after, state = step(params, grads, before, HP)
    updates, same = update(grads, before, params, HP)
    assert after["head"]["out"].tobytes() == params["head"]["out"].tobytes()
    assert updates["head"]["out"].tobytes() == np.zeros((2, 3)).tobytes()
    assert state.step["head"] == same.step["head"] == {"out": 1, "in": 2}
    for moment in (1, 2):
        old = before[moment]["head"]["out"]
        assert state[moment]["head"]["out"].tobytes() == old.tobytes()


def test_a_first_gradient_at_the_second_step_is_a_first_step() -> None:
    params = {"early": np.ones(1), "late": np.ones(1)}
    one = np.ones(1)
    after, state = step(params, {"early": one, "late": None}, init(params), HP)
    after, state = step(after, {"early": one, "late": one}, state, HP)
    alone, _ = step(params["late"], one, init(params["late"]), HP)
    assert state.step == {"early": 2, "late": 1}
    assert after["late"] == alone


@pytest.mark.parametrize("count", [2**24, 2**31 - 1, 2**63])
def test_steps_are_counted_beyond_every_float_and_integer(count: int) -> None:
    params = np.zeros(1)
    state = State(count, np.array([0.5]), np.array([1.0]))
    after, state = step(params, np.array([0.5]), state, HP)
    assert state.step == count + 1
    # By now the correction is one: m = 1/2 and u = max(3/4, 5/8).
    assert after[0] == -0.25 * (0.5 / 0.75)


def arrays_of(*trees: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for each in trees for leaf in optree.tree_leaves(each)]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128"])
def test_no_input_is_changed_or_shared_with_moments(dtype: str) -> None:
    params, grads = ({"w": np.array([1, 2, 3], dtype)} for _ in range(2))
    _, state = step(params, grads, init(params), HP)
    before = arrays_of(params, grads, state)
    for array in (params["w"], grads["w"], state.exp_avg["w"], state.exp_inf["w"]):
        array.flags.writeable = False
    after, new = step(params, grads, state, HP)
    update(grads, state, params, HP)
    assert arrays_of(params, grads, state) == before
    for array in (after["w"], new.exp_avg["w"], new.exp_inf["w"]):
        for old in (params["w"], grads["w"], state.exp_avg["w"], state.exp_inf["w"]):
            assert not np.shares_memory(array, old)


@pytest.mark.parametrize("layout", ["F", "strided", "reversed"])
def test_memory_layout_does_not_change_the_result(layout: str) -> None:
    contiguous = np.arange(1.0, 7.0).reshape(2, 3)
    params = {
        "F": np.asfortranarray(contiguous),
        "strided": np.repeat(contiguous, 2, axis=1)[:, ::2],
        "reversed": np.ascontiguousarray(contiguous[::-1])[::-1],
    }[layout]
    expected, _ = step(contiguous, contiguous, init(contiguous), HP)
    after, _ = step(params, params, init(params), HP)
    assert np.array_equal(after, expected)


def test_update_is_what_step_adds() -> None:
    params, grads = tree(filled), tree(lambda value: filled(-value / 4))
    state = init(params)
    updates, one = update(grads, state, params, HP)
    after, two = step(params, grads, state, HP)
    added = optree.tree_map(np.add, params, updates)
    assert arrays_of(added, *one) == arrays_of(after, *two)


def test_a_dialect_is_a_rule_with_a_line_replaced() -> None:
    """lr 1/4 without correction: m = 1/2, u = 9/8, and the step is 1/4 * 1/2 / (9/8) = 1/9."""
    hp = Hyperparameters(0.25, (0.5, 0.75), 0.125)
    dialect = CANONICAL._replace(bias_correction=lambda _beta1, _step: 1.0)
    params = np.zeros(1)
    after, _ = step(params, np.ones(1), init(params), hp, rule=dialect)
    updates, _ = update(np.ones(1), init(params), params, hp, rule=dialect)
    assert after[0] == updates[0] == -0.25 * (0.5 / 1.125)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_gradient_that_is_not_finite_never_gives_a_finite_parameter(value: float) -> None:
    params = np.ones(2)
    grads = np.array([value, 1.0])
    after, state = step(params, grads, init(params), Hyperparameters())
    assert np.isnan(after[0])
    after, state = step(after, params, state, Hyperparameters())
    assert not np.isfinite(after[0])
    assert not np.isfinite(state.exp_avg[0])
    assert np.isfinite(after[1])


def test_zero_by_zero_is_nan_without_a_warning() -> None:
    after, _ = step(np.ones(1), np.zeros(1), init(np.ones(1)), Hyperparameters(eps=0.0))
    assert np.isnan(after[0])


@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_parameters_that_are_not_floating_point_raise_and_are_named(dtype: str) -> None:
    params = {"a": [np.ones(1), np.ones(1, dtype)]}
    message = (
        rf"^params\['a'\]\[1\] has dtype {dtype}; parameters must be floating point or complex$"
    )
    with pytest.raises(TypeError, match=message):
        init(params)


GOOD = {"a": [np.ones(2), np.ones(3)]}
WRONG_LEAVES = [
    (np.ones(4), ValueError, r"{}\['a'\]\[1\] has shape \(4,\), but params.* has shape \(3,\)$"),
    (np.ones((3, 1)), ValueError, r"has shape \(3, 1\), but params\['a'\]\[1\] has shape \(3,\)$"),
    (np.ones(3, complex), TypeError, r"{}\['a'\]\[1\] has dtype complex128, but params.* float64"),
    (np.ones(3, int), TypeError, r"{}\['a'\]\[1\] has dtype int64, but .* needs a real array$"),
    (np.ones(3, object), TypeError, r"{}\['a'\]\[1\] has dtype object, but .* needs a real array$"),
]  # fmt: skip


@pytest.mark.parametrize("what", ["grads", "exp_avg", "exp_inf"])
@pytest.mark.parametrize(
    ("leaf", "error", "message"),
    WRONG_LEAVES,
    ids=["shape", "rank", "complex", "integer", "object"],
)
def test_a_mismatched_leaf_raises_and_shows_both_sides(
    what: str, leaf: Any, error: type[Exception], message: str
) -> None:
    bad = {"a": [np.ones(2), leaf]}
    state = init(GOOD)
    grads = bad if what == "grads" else GOOD
    state = state if what == "grads" else state._replace(**{what: bad})
    with pytest.raises(error, match=message.format(what)):
        step(GOOD, grads, state, HP)
    with pytest.raises(error, match=message.format(what)):
        update(grads, state, GOOD, HP)


@pytest.mark.parametrize("what", ["grads", *State._fields])
@pytest.mark.parametrize(
    "wrong", [{"b": [1.0, 1.0]}, {"a": [1.0]}, {"a": (1.0, 1.0)}, {}, [1.0, 1.0], None, 1.0]
)
def test_a_different_structure_raises_and_shows_both_structures(what: str, wrong: Any) -> None:
    state = init(GOOD)
    grads = wrong if what == "grads" else GOOD
    state = state if what == "grads" else state._replace(**{what: wrong})
    with pytest.raises(ValueError, match=rf"^{what} does not have the structure of params") as info:
        step(GOOD, grads, state, HP)
    assert "params: PyTreeSpec({'a': [*, *]})" in str(info.value)


@pytest.mark.parametrize("moment", ["exp_avg", "exp_inf"])
def test_only_a_gradient_may_be_missing(moment: str) -> None:
    state = init(GOOD)._replace(**{moment: {"a": [np.zeros(2), None]}})
    with pytest.raises((TypeError, ValueError), match=rf"{moment}\['a'\]\[1\]"):
        step(GOOD, GOOD, state, HP)


def test_a_step_that_raises_changes_nothing() -> None:
    state = init(GOOD)
    before = arrays_of(GOOD, state)
    with pytest.raises(ValueError, match="shape"):
        step(GOOD, {"a": [np.ones(2), np.ones(4)]}, state, HP)
    assert arrays_of(GOOD, state) == before


def test_arrays_of_two_libraries_raise() -> None:
    params = {"w": strict.asarray([1.0])}
    with pytest.raises(TypeError):
        step(params, {"w": np.ones(1)}, init(params), HP)


@pytest.mark.parametrize(
    ("state", "hp", "message"),
    [
        (None, HP, "state is NoneType, not State"),
        ((0, np.zeros(1), np.zeros(1)), HP, "state is tuple, not State"),
        (init(np.zeros(1)), {"lr": 0.1}, "hyperparameters is dict, not Hyperparameters"),
    ],
)
def test_a_swapped_argument_raises_and_shows_the_call(state: Any, hp: Any, message: str) -> None:
    call = r": call step\(params, grads, state, hyperparameters\)$"
    with pytest.raises(TypeError, match=f"^{message}{call}"):
        step(np.zeros(1), np.zeros(1), state, hp)


def test_a_count_loaded_from_a_file_stays_exact() -> None:
    loaded = init(np.zeros(1))._replace(step=np.int32(2**31 - 1))
    _, state = step(np.zeros(1), np.ones(1), loaded, HP)
    assert state.step == 2**31


@pytest.mark.parametrize("kind", [float, np.float64, np.array])
def test_betas_of_every_kind_keep_the_digits_of_the_correction(
    kind: Callable[[float], Any],
) -> None:
    assert CANONICAL.bias_correction(kind(0.999), 1) == CANONICAL.bias_correction(0.999, 1)
