"""Keras 3's `Adamax` as a subject, on JAX, PyTorch or TensorFlow, of which a process has one.

Its weight decay is decoupled, and None stands for none. Its state is a list of variables: the
count, the learning rate, then the two moments of each parameter.
"""

import importlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from adamax_conformance.subject.backend import Arrays, FunctionalBackend, Moments
from adamax_conformance.subjects.glue.defaults import default_eps
from adamax_conformance.subjects.glue.saved import name_of_norm, one_count
from adamax_conformance.subjects.glue.versions import versions
from adamax_core import Hyperparameters

_DEVIATIONS = {
    **dict.fromkeys(
        (
            "A-6/defaults[float64]",
            "A-7/step[float64]",
            "A-8/scalars[float64]",
            "S-5/small-eps[float64]",
            "N-2/beyond-the-range[float64]",
            "N-2/storage-rounds[float64]",
            "N-8/long-step[float64]",
            "N-8/tiny-lr[float64]",
            "H-6/all-digits",
        ),
        "the learning rate is a float32 variable, also for variables of float64",
    ),
    **dict.fromkeys(
        (
            "A-6/many-steps[float16]",
            "A-6/many-steps[bfloat16]",
            "A-6/late[float16]",
            "A-6/late[bfloat16]",
            "A-6/latest[float16]",
            "A-6/latest[bfloat16]",
            "A-6/later[float16]",
            "A-6/later[bfloat16]",
            "S-7/boundaries[float16]",
            "S-7/boundaries[bfloat16]",
            "N-3/any-beta1[float16]",
            "N-3/any-beta1[bfloat16]",
        ),
        "1 - beta_1 ** step is computed in half precision, which rounds beta_1",
    ),
    **dict.fromkeys(
        ("S-2/all-missing", "S-3/step-of-nothing"), "a step without any gradient raises ValueError"
    ),
    **dict.fromkeys(("S-3/late-first-gradient", "S-3/loaded-counts"), "there is one count for all"),
    "S-7/never-wraps": "the count is an int32 that wraps to -2147483648",
    "S-8/adam": "Adam's state is a list of as many variables, and loads without an error",
    "S-10": "a gradient of another shape broadcasts, and one of another kind is cast",
    **dict.fromkeys(
        ("S-5/beyond-the-range[float16]", "S-5/bfloat16-beyond-the-range"),
        "a gradient is infinite in the dtype of the variable",
    ),
    **dict.fromkeys(
        ("N-1/zero-first-gradient[float16]", "N-7/small[float16]"),
        "epsilon rounds to zero in float16: 0 / 0",
    ),
    "N-1/small-gradients": "1 - beta_1 ** step and the step are computed in float16",
    **dict.fromkeys(
        (
            "N-3/last-places",
            "N-3/every-beta1[float64]",
            "N-3/any-beta1[float32]",
            "N-3/any-beta1[float64]",
            "N-3/late",
            "N-3/correction-alone",
        ),
        "1 - beta_1 ** step cancels in the dtype of the variable",
    ),
    "N-8/long-step[float16]": "a millionth has four digits in float16",
    "N-8/tiny-lr[float16]": "1e-8 is zero in float16",
    **dict.fromkeys(("H-1", "H-2", "H-3", "H-4"), "there is no validation"),
}
_TENSORFLOW_DEVIATIONS = dict.fromkeys(
    ("A-6/many-steps[float64]", "A-6/late[float64]"),
    "the learning rate is a float32 variable, also for variables of float64",
)


class _State(NamedTuple):
    optimizer: Any
    variables: dict[str, Any]


def _keras_on(framework: str) -> Any:
    os.environ["KERAS_BACKEND"] = framework
    keras = importlib.import_module("keras")
    if (found := keras.config.backend()) != framework:
        raise RuntimeError(f"Keras runs on {found} in this process already, not on {framework}")
    return keras


def jax() -> FunctionalBackend:
    """Return the backend of Keras on JAX."""
    keras = _keras_on("jax")
    import jax.numpy as jnp  # noqa: PLC0415 - Keras on PyTorch does not need it

    from adamax_conformance.subjects.glue.jax import precision  # noqa: PLC0415 - as above

    return _backend("jax", keras, (jnp.asarray, np.asarray), precision)


def torch() -> FunctionalBackend:
    """Return the backend of Keras on PyTorch."""
    keras = _keras_on("torch")
    from adamax_conformance.subjects.glue.torch import (  # noqa: PLC0415 - needs PyTorch
        to_numpy,
        to_torch,
    )

    return _backend(
        "torch",
        keras,
        (to_torch, to_numpy),
        lambda _params: nullcontext(),
    )


def tensorflow() -> FunctionalBackend:
    """Return the backend of Keras on TensorFlow."""
    keras = _keras_on("tensorflow")
    import tensorflow as tf  # noqa: PLC0415 - Keras on others does not need it

    return _backend(
        "tensorflow",
        keras,
        (tf.convert_to_tensor, lambda tensor: tensor.numpy()),
        lambda _params: nullcontext(),
        _TENSORFLOW_DEVIATIONS,
    )


def _backend(
    framework: str,
    keras: Any,
    convert: tuple[Callable[..., Any], Callable[..., Any]],
    precision: Callable[[Arrays], AbstractContextManager[Any]],
    more: Mapping[str, str] = MappingProxyType({}),
) -> FunctionalBackend:
    to_framework, to_numpy = convert

    def init(params: Arrays, hp: Hyperparameters, undecayed: Sequence[str] = ()) -> _State:
        with precision(params):
            variables = {
                key: keras.Variable(to_framework(param), dtype=param.dtype.name, name=key)
                for key, param in params.items()
            }
            optimizer = keras.optimizers.Adamax(
                hp.lr, *hp.betas, hp.eps, weight_decay=hp.weight_decay or None
            )
            if undecayed:
                optimizer.exclude_from_weight_decay([variables[key] for key in undecayed])
            optimizer.build(list(variables.values()))
            return _State(optimizer, variables)

    def step(
        params: Arrays, grads: Arrays, state: _State, hp: Hyperparameters
    ) -> tuple[Arrays, _State]:
        optimizer, variables = state
        with precision(params):
            optimizer.learning_rate, optimizer.epsilon = hp.lr, hp.eps
            optimizer.beta_1, optimizer.beta_2 = hp.betas
            optimizer.weight_decay = hp.weight_decay or None
            for key, variable in variables.items():
                variable.assign(to_framework(params[key]))
            given = [to_framework(grads[key]) if key in grads else None for key in variables]
            with warnings.catch_warnings():
                # Keras warns of a missing gradient, and goes on.
                warnings.filterwarnings("ignore", "Gradients do not exist")
                optimizer.apply(given)
            return {key: to_numpy(variable.value) for key, variable in variables.items()}, state

    def moments(state: _State) -> dict[str, Moments]:
        count, _lr, *slots = (variable.value for variable in state.optimizer.variables)
        return {
            key: Moments(int(count), to_numpy(slots[2 * i]), to_numpy(slots[2 * i + 1]))
            for i, key in enumerate(state.variables)
        }

    def load(params: Arrays, hp: Hyperparameters, saved: Mapping[str, Arrays]) -> _State:
        """Return an optimizer with this state; the square of Adam takes the norm's place."""
        state = init(params, hp)
        norm = name_of_norm(saved)
        arrays = [saved[key][part] for key in params for part in ("exp_avg", norm)]
        count = one_count(saved)
        with precision(params):
            weights = [np.asarray(count), np.asarray(hp.lr), *arrays]
            state.optimizer.set_weights([to_framework(weight) for weight in weights])
        return state

    return FunctionalBackend(
        f"keras.{framework}",
        init=init,
        step=step,
        moments=moments,
        load=load,
        features=["weight_decay", "decoupled_weight_decay", "undecayed", "load"],
        dtypes=["float16", "bfloat16", "float32", "float64"],
        language="Python",
        packages=versions("keras", framework),
        default_eps=default_eps(keras.optimizers.Adamax),
        deviations={**_DEVIATIONS, **more},
    )
