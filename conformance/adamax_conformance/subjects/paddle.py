"""`paddle.optimizer.Adamax` on the processor, as a subject.

It keeps the power of beta1 instead of a count, so its state is not shown. Of its hyperparameters
the learning rate alone can be set after it was made.
"""

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import paddle

from adamax_conformance.subject.backend import Arrays, FunctionalBackend
from adamax_conformance.subjects.glue.defaults import default_eps
from adamax_conformance.subjects.glue.versions import versions
from adamax_core import Hyperparameters

_DEVIATIONS = {
    **dict.fromkeys(
        (
            "A-4/defaults[float64]",
            "A-4/beta1-near-one[float64]",
            "A-5/defaults[float64]",
            "A-6/defaults[float64]",
            "A-6/many-steps[float64]",
            "N-2/storage-rounds[float64]",
            "N-7/small[float64]",
            "H-6/all-digits",
        ),
        "hyperparameters are held in float32, also for float64",
    ),
    **dict.fromkeys(
        (
            "S-5/float16-gradients",
            "S-5/float64-gradients",
            "S-5/other-gradients",
            "S-5/small-eps",
            "S-9/mixed-dtypes",
            "S-9/narrowest-dtype-first",
        ),
        "a gradient of another dtype than its parameter is refused",
    ),
    "S-10/shape": "a gradient of another shape is accepted",
    "S-10/atomic": "a gradient that does not fit is refused when others have been stepped",
    "H-1": "there is no validation of the learning rate",
    **dict.fromkeys(
        (
            "H-2/negative",
            "H-2/just-negative",
            "H-2/barely-negative",
            "H-2/nan",
            "H-3/beta1-negative",
            "H-3/beta2-negative",
            "H-3/beta1-just-negative",
            "H-3/beta2-just-negative",
            "H-3/beta1-barely-negative",
            "H-3/beta2-barely-negative",
            "H-3/beta1-infinite",
            "H-3/beta2-infinite",
            "H-3/beta1-nan",
            "H-3/beta2-nan",
            "H-3/beta1-above-one",
            "H-3/beta2-above-one",
        ),
        "the message does not show the value",
    ),
    "H-2/infinite": "eps = inf passes its check",
    **dict.fromkeys(
        ("H-2/between-steps", "H-3/between-steps"),
        "hyperparameters are checked in the constructor alone",
    ),
    "H-6/schedule": "betas and epsilon are those of the constructor",
}


class _State(NamedTuple):
    optimizer: Any
    params: dict[str, Any]


def _to_paddle(array: Any) -> Any:
    array = np.ascontiguousarray(array).reshape(array.shape)
    if array.dtype == ml_dtypes.bfloat16:
        return paddle.to_tensor(array.astype(np.float32)).astype("bfloat16")
    return paddle.to_tensor(array, place=paddle.CPUPlace())


def _init(params: Arrays, hp: Hyperparameters) -> _State:
    tensors = {}
    for name, param in params.items():
        tensors[name] = _to_paddle(param)
        tensors[name].stop_gradient = False
    optimizer = paddle.optimizer.Adamax(hp.lr, *hp.betas, hp.eps, parameters=[*tensors.values()])
    return _State(optimizer, tensors)


def _step(params: Arrays, grads: Arrays, state: _State, hp: Hyperparameters) -> tuple[Arrays, Any]:
    optimizer, tensors = state
    optimizer.set_lr(hp.lr)
    for name, tensor in tensors.items():
        with paddle.no_grad():
            tensor.set_value(_to_paddle(params[name]))
        tensor.grad = _to_paddle(grads[name]) if name in grads else None
    optimizer.step()
    return {name: tensor.numpy().copy() for name, tensor in tensors.items()}, state


def backend() -> FunctionalBackend:
    """Return the backend of the stock optimizer."""
    return FunctionalBackend(
        "paddle",
        init=_init,
        step=_step,
        dtypes=["float32", "float64"],
        language="C++",
        packages=versions("paddlepaddle"),
        default_eps=default_eps(paddle.optimizer.Adamax),
        deviations=_DEVIATIONS,
    )
