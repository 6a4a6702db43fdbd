"""tf-keras's `Adamax`, Keras 2 on TensorFlow, as a subject: the present one and the legacy one.

Weight decay is decoupled, and the legacy optimizer has none.
"""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

os.environ["TF_USE_LEGACY_KERAS"] = "1"
import tf_keras

from adamax_conformance.subject.backend import Arrays, FunctionalBackend, Moments
from adamax_conformance.subjects.glue.defaults import default_eps
from adamax_conformance.subjects.glue.other_dtypes import OTHER_DTYPES
from adamax_conformance.subjects.glue.versions import versions
from adamax_core import Hyperparameters

_DEVIATIONS = {
    **dict.fromkeys(
        (
            "A-6/defaults[float64]",
            "A-6/many-steps[float64]",
            "A-7/step[float64]",
            "A-8/scalars[float64]",
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
            "N-3/last-places",
            "N-3/every-beta1[float64]",
            "N-3/any-beta1",
        ),
        "1 - beta_1 ** step is computed in the dtype of the variable, where it cancels",
    ),
    **dict.fromkeys(
        ("S-2/all-missing", "S-3/step-of-nothing"), "a step without any gradient raises ValueError"
    ),
    "S-3/late-first-gradient": "there is one count for all",
    **dict.fromkeys(
        OTHER_DTYPES,
        "a gradient of another dtype than its variable is refused",
    ),
    "S-10/shape": "a gradient of another shape broadcasts",
    "S-10/atomic": "a gradient that does not fit is refused when others have been stepped",
    **dict.fromkeys(
        ("N-1/zero-first-gradient[float16]", "N-7/small[float16]"),
        "epsilon rounds to zero in float16: 0 / 0",
    ),
    "N-1/small-gradients": "epsilon is added to the norm in half precision",
    "N-8/long-step[float16]": "a millionth has four digits in float16",
    "N-8/tiny-lr[float16]": "1e-8 is zero in float16",
    **dict.fromkeys(("H-1", "H-2", "H-3", "H-4"), "there is no validation"),
}
_LEGACY_DEVIATIONS = {
    **dict.fromkeys(
        ("A-6/many-steps[float16]", "N-8/long-step[float16]", "N-8/tiny-lr[float16]"),
        "the hyperparameters are rounded to the dtype of the variable",
    ),
    **dict.fromkeys(
        ("S-2/all-missing", "S-3/step-of-nothing"), "a step without any gradient raises ValueError"
    ),
    "S-3/late-first-gradient": "there is one count for all",
    **dict.fromkeys(
        OTHER_DTYPES,
        "a gradient of another dtype than its variable is refused",
    ),
    "S-10/atomic": "a gradient that does not fit is refused when others have been stepped",
    **dict.fromkeys(
        ("N-1/zero-first-gradient[float16]", "N-7/small[float16]"),
        "epsilon rounds to zero in float16: 0 / 0",
    ),
    **dict.fromkeys(
        ("N-3/last-places", "N-3/every-beta1[float64]", "N-3/any-beta1"),
        "beta_1_power is computed in the dtype of the variable, and 1 - beta_1_power cancels",
    ),
    "N-5": "the maximum drops NaN",
    **dict.fromkeys(("H-1", "H-2", "H-3"), "there is no validation"),
}


class _State(NamedTuple):
    optimizer: Any
    variables: dict[str, tf.Variable]


def _slots(optimizer: Any, variable: tf.Variable) -> tuple[Any, Any]:
    """Return the moments that the legacy optimizer makes at the first step; zeros before it."""
    try:
        return optimizer.get_slot(variable, "m").numpy(), optimizer.get_slot(variable, "v").numpy()
    except KeyError:
        return np.zeros_like(variable.numpy()), np.zeros_like(variable.numpy())


def backend(*, legacy: bool = False) -> FunctionalBackend:
    """Return the backend of one of the two optimizers."""
    make = tf_keras.optimizers.legacy.Adamax if legacy else tf_keras.optimizers.Adamax

    def init(params: Arrays, hp: Hyperparameters, undecayed: Sequence[str] = ()) -> _State:
        variables = {key: tf.Variable(param, name=key) for key, param in params.items()}
        decay = {} if legacy else {"weight_decay": hp.weight_decay or None}
        optimizer = make(hp.lr, *hp.betas, hp.eps, **decay)
        if undecayed:
            optimizer.exclude_from_weight_decay([variables[key] for key in undecayed])
        if not legacy:
            optimizer.build(list(variables.values()))
        return _State(optimizer, variables)

    def step(
        params: Arrays, grads: Arrays, state: _State, hp: Hyperparameters
    ) -> tuple[Arrays, _State]:
        optimizer, variables = state
        optimizer.learning_rate, optimizer.epsilon = hp.lr, hp.eps
        optimizer.beta_1, optimizer.beta_2 = hp.betas
        if not legacy:
            optimizer.weight_decay = hp.weight_decay or None
        for key, variable in variables.items():
            variable.assign(params[key])
        given = [tf.convert_to_tensor(grads[key]) if key in grads else None for key in variables]
        optimizer.apply_gradients(zip(given, variables.values(), strict=True))
        return {key: variable.numpy() for key, variable in variables.items()}, state

    def moments(state: _State) -> dict[str, Moments]:
        optimizer, variables = state
        count = int(optimizer.iterations)
        if legacy:
            slots = [
                slot for variable in variables.values() for slot in _slots(optimizer, variable)
            ]
        else:
            slots = [variable.numpy() for variable in optimizer.variables[1:]]
        return {
            key: Moments(count, slots[2 * i], slots[2 * i + 1]) for i, key in enumerate(variables)
        }

    decay = () if legacy else ("weight_decay", "decoupled_weight_decay", "undecayed")
    return FunctionalBackend(
        "tf_keras?legacy=true" if legacy else "tf_keras",
        init=init,
        step=step,
        moments=moments,
        features=decay,
        dtypes=["float16", *([] if legacy else ["bfloat16"]), "float32", "float64"],
        hyperparameter_dtype="float32" if legacy else "float64",
        language="Python",
        packages=versions("tf-keras", "tensorflow-cpu"),
        default_eps=default_eps(make),
        deviations=_LEGACY_DEVIATIONS if legacy else _DEVIATIONS,
    )
