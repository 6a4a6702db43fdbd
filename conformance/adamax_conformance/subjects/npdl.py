"""`npdl.optimizers.Adamax`, in NumPy alone, as a subject.

It updates a list of arrays in place, and knows each by its place in the list.
"""

from typing import Any, NamedTuple

import npdl
import numpy as np

from adamax_conformance.subject.backend import Arrays, FunctionalBackend, Moments
from adamax_conformance.subjects.glue.defaults import default_eps
from adamax_conformance.subjects.glue.versions import versions
from adamax_core import Hyperparameters

_DEVIATIONS = {
    **dict.fromkeys(
        (
            "A-4/defaults[float16]",
            "A-6/many-steps[float16]",
            "S-5/small-eps[float32]",
            "N-1/small-gradients",
            "N-2/storage-rounds[float16]",
        ),
        "(1 - beta1) * g is rounded to float16, though the moments are float32",
    ),
    **dict.fromkeys(
        (
            "S-5/float16-gradients[float64]",
            "S-5/float64-gradients",
            "S-5/other-gradients[float64]",
            "S-5/small-eps[float64]",
        ),
        "the moments have the dtype of the gradients, or float32 if that is wider",
    ),
    "S-10": "a gradient of another shape broadcasts, or raises after the count was raised",
    **dict.fromkeys(
        ("N-3/last-places[float64]", "N-3/every-beta1[float64]", "N-3/any-beta1[float64]"),
        "1 - beta1**iterations cancels in float64",
    ),
    **dict.fromkeys(("H-1", "H-2", "H-3"), "there is no validation"),
}


class _State(NamedTuple):
    optimizer: Any
    zeros: dict[str, Any]


def _init(params: Arrays, hp: Hyperparameters) -> _State:
    optimizer = npdl.optimizers.Adamax(*hp.betas, hp.eps, lr=hp.lr)
    zeros = {
        name: np.zeros(param.shape, np.promote_types(param.dtype, np.float32))
        for name, param in params.items()
    }
    return _State(optimizer, zeros)


def _step(params: Arrays, grads: Arrays, state: _State, hp: Hyperparameters) -> tuple[Arrays, Any]:
    optimizer = state.optimizer
    optimizer.lr, optimizer.epsilon = hp.lr, hp.eps
    optimizer.beta1, optimizer.beta2 = hp.betas
    stepped = {name: params[name].copy() for name in state.zeros}
    optimizer.update(list(stepped.values()), [grads[name] for name in state.zeros])
    return stepped, state


def _moments(state: _State) -> dict[str, Moments]:
    optimizer, zeros = state
    if optimizer.ms is None:
        # The first step makes the moments, in float32 or what the gradients promote that to.
        return {name: Moments(0, zero, zero) for name, zero in zeros.items()}
    return {
        name: Moments(optimizer.iterations, m, v)
        for name, m, v in zip(zeros, optimizer.ms, optimizer.vs, strict=True)
    }


def backend() -> FunctionalBackend:
    """Return the backend of the stock optimizer."""
    return FunctionalBackend(
        "npdl",
        init=_init,
        step=_step,
        moments=_moments,
        dtypes=["float16", "float32", "float64"],
        limits=["no_missing_gradients"],
        language="Python",
        packages=versions("npdl"),
        default_eps=default_eps(npdl.optimizers.Adamax),
        deviations=_DEVIATIONS,
    )
