"""`tf.raw_ops.ResourceApplyAdaMax`, TensorFlow's own operation, as a subject.

It has neither count nor state: its caller keeps the moments in variables, and passes beta1**t.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from adamax_conformance.subject.backend import Arrays, FunctionalBackend, Moments
from adamax_conformance.subjects.glue.other_dtypes import OTHER_DTYPES
from adamax_conformance.subjects.glue.versions import versions
from adamax_core import Hyperparameters

_DEVIATIONS = {
    **dict.fromkeys(
        (
            "A-4/beta1-near-one[float32]",
            "A-6/many-steps[float16]",
            "A-6/many-steps[float32]",
            "N-8/long-step[float16]",
            "N-8/tiny-lr[float16]",
            "H-5/far-apart",
        ),
        "the hyperparameters are rounded to the dtype of the variable",
    ),
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
        "beta1_power is rounded to the dtype of the variable, and 1 - beta1_power cancels",
    ),
    "N-5": "the maximum drops NaN",
    **dict.fromkeys(("H-1", "H-2", "H-3"), "there is no validation"),
}


class _Slot(NamedTuple):
    var: tf.Variable
    m: tf.Variable
    v: tf.Variable
    step: int


def _init(params: Arrays, hp: Hyperparameters) -> dict[str, _Slot]:
    del hp
    zero = {name: np.zeros_like(param) for name, param in params.items()}
    return {
        name: _Slot(tf.Variable(param), tf.Variable(zero[name]), tf.Variable(zero[name]), 0)
        for name, param in params.items()
    }


def _step(
    params: Arrays, grads: Arrays, state: Mapping[str, _Slot], hp: Hyperparameters
) -> tuple[Arrays, dict[str, _Slot]]:
    state = dict(state)
    for name, slot in state.items():
        slot.var.assign(params[name])
        if name not in grads:
            continue
        dtype = params[name].dtype
        step = slot.step + 1
        numbers = {
            "beta1_power": hp.betas[0] ** step,
            "lr": hp.lr,
            "beta1": hp.betas[0],
            "beta2": hp.betas[1],
            "epsilon": hp.eps,
        }
        tf.raw_ops.ResourceApplyAdaMax(
            var=slot.var.handle,
            m=slot.m.handle,
            v=slot.v.handle,
            grad=tf.convert_to_tensor(grads[name]),
            **{key: tf.constant(np.asarray(number, dtype)) for key, number in numbers.items()},
        )
        state[name] = slot._replace(step=step)
    return {name: slot.var.numpy() for name, slot in state.items()}, state


def _moments(state: Mapping[str, _Slot]) -> dict[str, Moments]:
    return {
        name: Moments(slot.step, slot.m.numpy(), slot.v.numpy()) for name, slot in state.items()
    }


def backend() -> FunctionalBackend:
    """Return the backend of the stock operation."""
    return FunctionalBackend(
        "tf.raw_ops",
        init=_init,
        step=_step,
        moments=_moments,
        dtypes=["float16", "float32", "float64"],
        language="C++",
        packages=versions("tensorflow-cpu"),
        deviations=_DEVIATIONS,
    )
