"""`pymc.adamax`, the Adamax of PyMC's variational inference, on PyTensor, as a subject.

It is a rule for shared variables, which PyTensor compiles. Its hyperparameters are constants of the
compiled function. Parameters are of PyTensor's `floatX`, which is float64 by default.
"""

from typing import Any, NamedTuple

import pymc
import pytensor

from adamax_conformance.subject.backend import Arrays, FunctionalBackend, Moments
from adamax_conformance.subjects.glue.defaults import default_eps
from adamax_conformance.subjects.glue.versions import versions
from adamax_core import Hyperparameters

_DEVIATIONS = {
    "S-10/kind": "a gradient of integers is cast",
    "N-3": "1 - beta1**t cancels in float64",
    **dict.fromkeys(
        ("N-4/ends-of-the-domains", "N-5/ends-of-the-domains"),
        "a product with a beta of zero is rewritten to zero, also for infinity and NaN",
    ),
    **dict.fromkeys(("H-1", "H-2", "H-3"), "there is no validation"),
}


class _State(NamedTuple):
    params: dict[str, Any]
    grads: dict[str, Any]
    moments: dict[str, tuple[Any, Any]]
    count: Any
    update: Any


def _init(params: Arrays, hp: Hyperparameters) -> _State:
    shared = {name: pytensor.shared(param, name=name) for name, param in params.items()}
    grads = {name: param.type() for name, param in shared.items()}
    updates = pymc.adamax([*grads.values()], [*shared.values()], hp.lr, *hp.betas, hp.eps)
    # In the order of the rule: both moments and the parameter, of each parameter; the count.
    *slots, count = updates
    moments = {name: (slots[3 * index], slots[3 * index + 1]) for index, name in enumerate(shared)}
    # Compiled by NumPy functions alone: each state is compiled anew.
    update = pytensor.function([*grads.values()], [], updates=updates, mode="FAST_COMPILE")
    return _State(shared, grads, moments, count, update)


def _step(params: Arrays, grads: Arrays, state: _State, hp: Hyperparameters) -> tuple[Arrays, Any]:
    del hp
    for name, param in state.params.items():
        param.set_value(params[name])
    state.update(*(grads[name] for name in state.grads))
    return {name: param.get_value() for name, param in state.params.items()}, state


def _moments(state: _State) -> dict[str, Moments]:
    count = int(state.count.get_value())
    return {
        name: Moments(count, *(slot.get_value() for slot in slots))
        for name, slots in state.moments.items()
    }


def backend() -> FunctionalBackend:
    """Return the backend of the stock rule."""
    return FunctionalBackend(
        "pymc",
        init=_init,
        step=_step,
        moments=_moments,
        dtypes=["float64"],
        limits=["no_missing_gradients", "fixed_hyperparameters"],
        language="Python",
        packages=versions("pymc", "pytensor"),
        default_eps=default_eps(pymc.adamax),
        deviations=_DEVIATIONS,
    )
