"""State to and from Keras, whose eps is outside of the maximum."""

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adamax_checkpoint import Checkpoint, CheckpointError, Group
from adamax_checkpoint.dialects import to_dialect
from adamax_checkpoint.keras import from_keras, to_keras
from adamax_core import Hyperparameters
from checkpoints import assert_same, drawn

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def built(lr: Any = 0.5) -> tuple[Any, list[str]]:
    variables = [
        keras.Variable(np.ones(shape, np.float32), name=name)
        for name, shape in (("kernel", (3, 2)), ("bias", (2,)))
    ]
    optimizer = keras.optimizers.Adamax(lr, 0.75, 0.5, 0.25, weight_decay=0.125)
    optimizer.build(variables)
    for count in range(3):
        grads = [np.full(variable.shape, count, np.float32) for variable in variables]
        optimizer.apply([keras.ops.convert_to_tensor(grad) for grad in grads])
    return optimizer, [variable.path for variable in variables]


def stored(optimizer: Any) -> dict[str, Any]:
    store: dict[str, Any] = {}
    optimizer.save_own_variables(store)
    return {key: np.asarray(value) for key, value in store.items()}


def test_there_and_back_keeps_every_bit() -> None:
    optimizer, names = built()
    store = stored(optimizer)
    checkpoint = from_keras(store, optimizer.get_config(), names)
    hp = Hyperparameters(0.5, (0.75, 0.5), 0.25, 0.125, decoupled_weight_decay=True)
    assert checkpoint.groups[0].hyperparameters == hp
    assert checkpoint.state.step == dict.fromkeys(names, 3)
    back = to_keras(checkpoint, names)
    assert {k: (v.dtype, v.tobytes()) for k, v in back.items()} == {
        k: (v.dtype, v.tobytes()) for k, v in store.items()
    }
    other, _ = built()
    other.load_own_variables(back)
    assert_same(from_keras(stored(other), other.get_config(), names), checkpoint)


def test_what_keras_cannot_hold() -> None:
    shapes = {"kernel": ((3, 2), "float32"), "bias": ((2,), "float32")}
    canonical = drawn(shapes)
    with pytest.raises(CheckpointError, match="the state is canonical, but Keras has eps outside"):
        to_keras(canonical, shapes)
    outside = to_dialect(canonical, "eps=outside")
    with pytest.raises(CheckpointError, match=r"different counts of steps, \[1, 2\], but Keras"):
        to_keras(outside, shapes)
    with pytest.raises(CheckpointError, match="only in the variables: gamma; only in the checkp"):
        to_keras(outside, ["kernel", "gamma"])
    late = to_dialect(drawn(shapes, step=2**31), "eps=outside")
    with pytest.raises(CheckpointError, match=r"2147483648 steps is above 2\*\*31 - 1"):
        to_keras(late, shapes)


def test_what_one_optimizer_of_keras_cannot_hold() -> None:
    shapes = {"kernel": ((3, 2), "float32"), "bias": ((2,), "float32")}

    def outside(*hyperparameters: Hyperparameters, of: Any = shapes) -> Checkpoint:
        groups = [Group((name,), hp) for name, hp in zip(of, hyperparameters * 2, strict=False)]
        return replace(drawn(of, step=1), groups=tuple(groups), dialect="eps=outside")

    for checkpoint, message in (
        (outside(Hyperparameters(eps=1e-7), Hyperparameters(eps=1e-6)), "different hyperparamet"),
        (outside(Hyperparameters(maximize=True)), "Keras only minimizes"),
        (outside(Hyperparameters(weight_decay=0.1)), "with decoupled decay, and has no Hyper"),
        (outside(Hyperparameters(1e39)), r"lr = 1e\+39 is above the most of float32"),
        (outside(Hyperparameters(), of={"z": ((2,), "complex64")}), "no complex variables, as z"),
    ):
        with pytest.raises(CheckpointError, match=message):
            to_keras(checkpoint, checkpoint.names)


def test_a_moment_that_keras_would_round_and_a_schedule() -> None:
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    optimizer, names = built(schedule)
    store, config = stored(optimizer), optimizer.get_config()
    with pytest.raises(CheckpointError, match=r"a schedule, .*: pass config \| \{'learning_rate"):
        from_keras(store, config, names)
    checkpoint = from_keras(store, config | {"learning_rate": 0.25}, names)
    assert checkpoint.groups[0].hyperparameters.lr == 0.25
    back = to_keras(checkpoint, names, store)
    assert {k: v.tobytes() for k, v in back.items()} == {k: v.tobytes() for k, v in store.items()}
    optimizer.load_own_variables(back)
    half = {key: value.astype(np.float16) for key, value in store.items()}
    with pytest.raises(CheckpointError, match="the variable 1 of the optimizer is float16"):
        to_keras(checkpoint, names, half)


def test_optimizers_with_the_variables_of_adamax() -> None:
    optimizer, names = built()
    store = stored(optimizer)
    for other, message in (
        (keras.optimizers.Lamb(), "by its name this looks like the optimizer lamb"),
        (keras.optimizers.Adadelta(), "by its name this looks like the optimizer adadelta"),
    ):
        with pytest.raises(CheckpointError, match=message):
            from_keras(store, other.get_config(), names)
    config = optimizer.get_config()
    del config["beta_1"]
    with pytest.raises(CheckpointError, match="the config has no beta_1, as that of Adamax"):
        from_keras(store, config, names)
    wrong = {f"x{key}": value for key, value in store.items()}
    with pytest.raises(CheckpointError, match="6 variables for 2 names"):
        from_keras(wrong, optimizer.get_config(), names)


def test_the_state_of_adam_or_of_other_variables_is_refused() -> None:
    optimizer, names = built()
    with pytest.raises(CheckpointError, match="6 variables for 1 names"):
        from_keras(stored(optimizer), optimizer.get_config(), names[:1])
    adam = keras.optimizers.Adam().get_config()
    with pytest.raises(CheckpointError, match="by its amsgrad this looks like the optimizer adam"):
        from_keras(stored(optimizer), adam, names)
