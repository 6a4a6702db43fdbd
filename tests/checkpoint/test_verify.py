"""A state that was moved right is verified, and one that was not is told where it differs."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adamax_checkpoint import Checkpoint, CheckpointError, Group, load, save
from adamax_checkpoint.checkpoint import DTYPES
from adamax_checkpoint.dialects import to_dialect
from adamax_checkpoint.verify import verify
from adamax_core import Hyperparameters, State
from checkpoints import assert_same, drawn, every_nan

HP = Hyperparameters(0.1, (0.8, 0.9), 1e-6, 0.25)
SHAPES = {"w": ((2, 3), "float32"), "b": ((), "float32")}


@pytest.mark.parametrize("dtype", [*map(str, DTYPES)])
@pytest.mark.parametrize("params", [False, True], ids=["drawn", "saved"])
def test_a_state_of_each_dtype_is_verified(dtype: str, params: bool) -> None:
    state = drawn({"w": ((2, 3), dtype), "b": ((), dtype)}, 0, HP, params=params)
    found = verify(state, state, steps=2)
    assert (found.sides, found.steps, found.elements) == (("torch", "jax"), 2, 7)
    assert 0 < found.used <= 1
    bits = "same bits" if params else "same bits of the state alone"
    assert str(found).startswith(f"{bits}; torch and jax took 2 steps with gradients drawn from")


REAL = [dtype for dtype in DTYPES if dtype.kind != "c"]


@pytest.mark.parametrize("params", REAL, ids=str)
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_nan_of_each_kind_is_saved_converted_and_verified_without_a_warning(
    dtype: np.dtype[Any], params: np.dtype[Any], tmp_path: Path
) -> None:
    moments = {"w": every_nan(dtype)}
    state = State({"w": 1}, moments, moments)
    checkpoint = Checkpoint(state, (Group(("w",), HP),), {"w": every_nan(params)})
    save(tmp_path / "state", checkpoint)
    assert_same(load(tmp_path / "state"), checkpoint)
    norm = to_dialect(checkpoint, "eps=outside").state.exp_inf["w"]
    assert all(map(math.isnan, norm))
    assert verify(checkpoint, sides=("numpy", "numpy")).elements == 4


def test_groups_decoupled_decay_and_recorded_gradients_some_of_them_missing() -> None:
    state = drawn(SHAPES, params=True)
    other = replace(HP, decoupled_weight_decay=True, maximize=True)
    state = Checkpoint(state.state, (Group(("w",), HP), Group(("b",), other)), state.params)
    grads = [{"w": np.ones((2, 3), np.float32)}, {"b": np.asarray(np.float32(2))}]
    assert verify(state, gradients=grads).gradients == "recorded"


@pytest.mark.parametrize(
    ("grads", "message"),
    [
        ({"v": np.ones(1, np.float32)}, "a gradient of v, which is no parameter: .* w, b"),
        ({"w": np.ones((3, 2), np.float32)}, r"w: the gradient has shape \(3, 2\), exp_avg has"),
        ({"w": np.ones((2, 3), int)}, "w: the gradient is int64; it must be"),
    ],
)
def test_recorded_gradients_that_fit_no_parameter(grads: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        verify(drawn(SHAPES), gradients=[grads])


def test_the_state_of_another_dialect_is_judged_by_it() -> None:
    outside = to_dialect(drawn(SHAPES, 0, Hyperparameters(eps=0.25)), "eps=outside")
    with pytest.raises(CheckpointError, match=r"torch does not go on from this state: .*exp_inf"):
        verify(outside)


def test_a_side_that_is_not_installed_is_named() -> None:
    with pytest.raises(CheckpointError, match="'nowhere'"):
        verify(drawn(SHAPES), sides=("numpy", "nowhere"))


def changed(state: Checkpoint, what: str) -> Checkpoint:
    arrays: dict[str, Any] = {**getattr(state.state, what)}
    arrays["w"] = arrays["w"].copy()
    arrays["w"].view(np.uint32)[1, 2] ^= 1
    return replace(state, state=state.state._replace(**{what: arrays}))


@pytest.mark.parametrize("what", ["exp_avg", "exp_inf"])
def test_one_bit_is_told(what: str) -> None:
    state = drawn(SHAPES)
    with pytest.raises(CheckpointError, match=rf"^w\.{what} has other bits on the other side"):
        verify(state, changed(state, what))


def test_what_else_differs_is_told() -> None:
    state = drawn(SHAPES)
    with pytest.raises(CheckpointError, match="the hyperparameters or the dialect differ"):
        verify(state, replace(state, groups=(Group(("w", "b"), HP),)))
    wide = drawn({"w": ((2, 3), "float64"), "b": ((), "float32")})
    with pytest.raises(CheckpointError, match=r"w\.exp_avg is \('float32', \(2, 3\)\), and \('fl"):
        verify(state, wide)
    counts = replace(state, state=state.state._replace(step={"w": 1, "b": 7}))
    with pytest.raises(CheckpointError, match=r"b\.step has other bits"):
        verify(state, counts)


def test_a_large_state_is_sampled_and_each_parameter_is_in_the_sample() -> None:
    shapes = {f"layer.{n}": ((40, 50), "float32") for n in range(4)}
    assert verify(drawn(shapes), steps=1, sides=("numpy", "numpy")).elements == 4 * 1024


def test_no_step_proves_nothing() -> None:
    state = drawn({"w": ((2, 3), "float32")}, 0, HP)
    for steps, gradients in ((0, None), (1, [])):
        with pytest.raises(CheckpointError, match="there is no step to take: give gradients, or"):
            verify(state, steps=steps, gradients=gradients)
