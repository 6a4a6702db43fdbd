"""`pyensmallen.AdaMax`, the AdaMax of the C++ library ensmallen, as a subject.

It optimizes one vector of float64 and shows no state. It steps once for each call, because
`maxIterations` is 1 and `resetPolicy` keeps the moments between calls.
"""

from typing import Any, NamedTuple

import numpy as np
import pyensmallen

from adamax_conformance.subject.backend import Arrays, FunctionalBackend
from adamax_conformance.subjects.glue.versions import versions
from adamax_core import Hyperparameters

_DEVIATIONS = {
    **dict.fromkeys(("H-1", "H-2", "H-3"), "there is no validation"),
}


class _State(NamedTuple):
    optimizer: Any
    names: tuple[str, ...]


def _init(params: Arrays, hp: Hyperparameters) -> _State:
    optimizer = pyensmallen.AdaMax(
        stepSize=hp.lr,
        beta1=hp.betas[0],
        beta2=hp.betas[1],
        eps=hp.eps,
        batchSize=1,
        maxIterations=1,
        resetPolicy=False,
        shuffle=False,
    )
    return _State(optimizer, tuple(params))


def _step(params: Arrays, grads: Arrays, state: _State, hp: Hyperparameters) -> tuple[Arrays, Any]:
    optimizer, names = state
    optimizer.stepSize, optimizer.epsilon = hp.lr, hp.eps
    optimizer.beta1, optimizer.beta2 = hp.betas

    def objective(_x: Any, gradient: Any) -> float:
        gradient[:] = np.concatenate([grads[name].ravel() for name in names])
        return 0.0

    vector = optimizer.optimize(objective, np.concatenate([params[name].ravel() for name in names]))
    ends = np.cumsum([params[name].size for name in names])
    parts = np.split(vector, ends[:-1])
    stepped = {
        name: part.reshape(params[name].shape) for name, part in zip(names, parts, strict=True)
    }
    return stepped, state


def backend() -> FunctionalBackend:
    """Return the backend of the stock optimizer."""
    return FunctionalBackend(
        "pyensmallen",
        init=_init,
        step=_step,
        dtypes=["float64"],
        limits=["no_missing_gradients", "fitting_gradients"],
        language="C++",
        packages=versions("pyensmallen"),
        default_eps=pyensmallen.AdaMax().epsilon,
        deviations=_DEVIATIONS,
    )
