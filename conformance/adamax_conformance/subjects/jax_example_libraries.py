"""`jax.example_libraries.optimizers.adamax` as a subject, compiled as its documentation shows.

The caller counts the steps and passes the number of the step, from zero on.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.example_libraries import optimizers
from jax.example_libraries.optimizers import JoinPoint, OptimizerState

from adamax_conformance.spec.formats import DTYPES
from adamax_conformance.subject.backend import Arrays, FunctionalBackend, Moments
from adamax_conformance.subjects.glue.defaults import default_eps
from adamax_conformance.subjects.glue.jax import precision
from adamax_conformance.subjects.glue.saved import name_of_norm, one_count
from adamax_conformance.subjects.glue.versions import versions
from adamax_core import Hyperparameters

_DEVIATIONS = {
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
        "1 - b1 ** (i + 1) is computed in half precision, which rounds b1",
    ),
    "A-9/special-values": "NaN or infinity in one part is NaN in both",
    "S-3": "there is one count for all",
    **dict.fromkeys(
        (
            "S-5/float32-gradients",
            "S-5/not-rounded-first",
            "S-5/float64-gradients[float16]",
            "S-5/float64-gradients[bfloat16]",
            "S-5/other-gradients[float16]",
            "S-5/other-gradients[bfloat16]",
            "S-5/small-eps[bfloat16]",
            "S-5/beyond-the-range",
            "S-5/bfloat16-beyond-the-range",
        ),
        "the state is promoted to the dtype of the gradients",
    ),
    **dict.fromkeys(
        ("S-7/never-wraps[float16]", "S-7/never-wraps[bfloat16]", "S-7/never-wraps[float32]"),
        "a count of 2^31 raises OverflowError under jit",
    ),
    "S-8/adam": "Adam's state is a tree of the same shape, and steps without an error",
    "S-10": "a gradient of another shape broadcasts, one of another kind promotes",
    **dict.fromkeys(
        ("S-5/small-eps[float32]", "S-5/small-eps[float64]"),
        "the moments are computed in the dtype of the gradient",
    ),
    **dict.fromkeys(
        ("N-1/zero-first-gradient[float16]", "N-7/small[float16]"),
        "eps rounds to zero in float16: 0 / 0",
    ),
    "N-1/small-gradients": "the step is computed in float16",
    **dict.fromkeys(
        (
            "N-3/last-places",
            "N-3/every-beta1[float64]",
            "N-3/any-beta1[float32]",
            "N-3/any-beta1[float64]",
            "N-3/late",
            "N-3/correction-alone",
        ),
        "1 - b1 ** (i + 1) cancels in the dtype of the parameter",
    ),
    "N-8/long-step[float16]": "a millionth has four digits in float16",
    "N-8/tiny-lr[float16]": "1e-8 is zero in float16",
    **dict.fromkeys(("H-1", "H-2", "H-3"), "there is no validation"),
}


class _State(NamedTuple):
    done: int
    slots: OptimizerState


# Compile once for all steps and cases that share hyperparameters and shapes.
@lru_cache(maxsize=128)
def _updater(hp: Hyperparameters) -> Any:
    return jax.jit(optimizers.adamax(hp.lr, *hp.betas, hp.eps)[1])


def _init(params: Arrays, hp: Hyperparameters) -> _State:
    with precision(params):
        return _State(0, optimizers.adamax(hp.lr, *hp.betas, hp.eps)[0](dict(params)))


def _step(params: Arrays, grads: Arrays, state: _State, hp: Hyperparameters) -> tuple[Arrays, Any]:
    with precision(params):
        slots = optimizers.unpack_optimizer_state(state.slots)
        given = {name: JoinPoint((params[name], *slot.subtree[1:])) for name, slot in slots.items()}
        packed = optimizers.pack_optimizer_state(given)
        stepped = _updater(hp)(state.done, dict(grads), packed)
        return _parameters(stepped), _State(state.done + 1, stepped)


def _parameters(slots: OptimizerState) -> dict[str, Any]:
    unpacked = optimizers.unpack_optimizer_state(slots)
    return {name: np.asarray(slot.subtree[0]) for name, slot in unpacked.items()}


def _moments(state: _State) -> dict[str, Moments]:
    slots = optimizers.unpack_optimizer_state(state.slots)
    return {
        name: Moments(state.done, np.asarray(slot.subtree[1]), np.asarray(slot.subtree[2]))
        for name, slot in slots.items()
    }


def _load(params: Arrays, _hp: Hyperparameters, saved: Mapping[str, Arrays]) -> _State:
    """Return the state with these moments; the square of Adam takes the norm's place."""
    with precision(params):
        norm = name_of_norm(saved)
        slots = {
            name: JoinPoint(tuple(map(jnp.asarray, (params[name], slot["exp_avg"], slot[norm]))))
            for name, slot in saved.items()
        }
        done = one_count(saved)
        return _State(done, optimizers.pack_optimizer_state(slots))


def backend() -> FunctionalBackend:
    """Return the backend of the stock optimizer."""
    return FunctionalBackend(
        "jax.example_libraries",
        init=_init,
        step=_step,
        moments=_moments,
        load=_load,
        features=["load"],
        dtypes=DTYPES,
        limits=["no_missing_gradients"],
        language="Python",
        packages=versions("jax"),
        default_eps=default_eps(optimizers.adamax),
        deviations=_DEVIATIONS,
    )
