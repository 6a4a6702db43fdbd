"""optax as a subject: `optax.adamax`, and `optax.adamaxw` for decoupled decay.

For coupled decay, `optax.add_decayed_weights` is chained before it, as users of optax do.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from adamax_conformance.subject.backend import Moments
from adamax_conformance.subjects.glue.defaults import default_eps
from adamax_conformance.subjects.glue.optax import OptaxBackend
from adamax_conformance.subjects.glue.saved import name_of_norm, one_count
from adamax_conformance.subjects.glue.versions import versions
from adamax_core import Hyperparameters

# Known deviations of optax 0.2.8, by clause, case or case in one dtype.
_DEVIATIONS = {
    "A-9": "takes the modulus of a complex gradient, and the norm is complex",
    "S-2": "a missing gradient loses the moments of its leaf, and the next update raises TypeError",
    "S-3": "there is one count for all, and a missing gradient loses the moments",
    "S-5/float32-gradients": "the moments are promoted to the dtype of the gradients",
    "S-5/not-rounded-first": "the moments are promoted to the dtype of the gradients",
    "S-5/float64-gradients[float16]": "the moments are promoted to the dtype of the gradients",
    "S-5/float64-gradients[bfloat16]": "the moments are promoted to the dtype of the gradients",
    "S-5/float16-gradients": "eps is added to |g| in the dtype of the gradient",
    "S-5/other-gradients": "moments are promoted, or eps is added in the dtype of the gradient",
    "S-5/small-eps": "eps is added to |g| in the dtype of the gradient",
    "S-5/beyond-the-range": "the moments are promoted to the dtype of the gradients",
    "S-5/bfloat16-beyond-the-range": "the moments are promoted to the dtype of the gradients",
    "S-8/adam": "Adam's state is a tree of the same shape and type, and steps without an error",
    "S-10": "a gradient of another shape broadcasts, one of another kind promotes",
    "N-1/zero-first-gradient[float16]": "eps rounds to zero in float16: 0 / 0",
    "N-3/last-places[float32]": "1 - b1**count cancels in float32",
    "N-3/last-places[float64]": "1 - b1**count cancels in float64",
    "N-3/every-beta1[float64]": "1 - b1**count cancels in float64",
    "N-3/late[float32]": "1 - b1**count cancels in float32",
    "N-3/late[float64]": "1 - b1**count cancels in float64",
    "N-3/correction-alone": "1 - b1**count cancels",
    "N-3/any-beta1[float16]": "1 - b1**count cancels in float32",
    "N-3/any-beta1[bfloat16]": "1 - b1**count cancels in float32",
    "N-3/any-beta1[float32]": "1 - b1**count cancels in float32",
    "N-3/any-beta1[float64]": "1 - b1**count cancels in float64",
    "N-7/small[float16]": "eps rounds to zero in float16: 0 / 0",
    "N-8/long-step[float16]": "lr is rounded to float16, in which a millionth has four digits",
    "N-8/tiny-lr[float16]": "lr is rounded to float16, in which 1e-8 is zero",
    "N-7/derivatives": "the derivative of m / u squares u, which vanishes or overflows",
    "D-3/any-scale": "the derivative of m / u squares u, which vanishes or overflows",
    "H-1": "no validation: a negative learning rate ascends",
    "H-2": "no validation",
    "H-3": "no validation: b1 = 1 gives NaN",
    "H-4": "no validation",
}


def _make(hp: Hyperparameters, undecayed: Sequence[str] = ()) -> optax.GradientTransformation:
    def decayed(params: Mapping[str, Any]) -> dict[str, bool]:
        return {name: name not in undecayed for name in params}

    mask = decayed if undecayed else None
    if hp.decoupled_weight_decay:
        return optax.adamaxw(hp.lr, *hp.betas, hp.eps, weight_decay=hp.weight_decay, mask=mask)
    rule = optax.adamax(hp.lr, *hp.betas, hp.eps)
    if isinstance(hp.weight_decay, float) and hp.weight_decay == 0:
        return rule
    return optax.chain(optax.add_decayed_weights(hp.weight_decay, mask), rule)


def _moments(state: Any) -> dict[str, Moments]:
    adamax = _adamax_state(state)
    return {
        name: Moments(int(adamax.count), np.asarray(mu), np.asarray(adamax.nu[name]))
        for name, mu in adamax.mu.items()
    }


def _adamax_state(state: Any) -> optax.ScaleByAdamState:
    """Return the only `ScaleByAdamState` in a chain of states."""
    found: list[optax.ScaleByAdamState] = []

    def visit(part: Any) -> None:
        if isinstance(part, optax.ScaleByAdamState):
            found.append(part)
        elif isinstance(part, tuple):
            for each in part:
                visit(each)

    visit(state)
    return found[0]


def _load(fresh: Any, saved: Mapping[str, Mapping[str, Any]]) -> Any:
    """Return the chain of states with these moments; the square of Adam takes the norm's place."""
    norm = name_of_norm(saved)
    loaded = optax.ScaleByAdamState(
        count=jnp.int32(one_count(saved)),
        mu={name: jnp.asarray(slot["exp_avg"]) for name, slot in saved.items()},
        nu={name: jnp.asarray(slot[norm]) for name, slot in saved.items()},
    )

    def placed(state: Any) -> Any:
        if isinstance(state, optax.ScaleByAdamState):
            return loaded
        return tuple(map(placed, state)) if type(state) is tuple else state

    return placed(fresh)


def backend(*, jit: bool = True) -> OptaxBackend:
    """Return the backend of optax.adamax and optax.adamaxw, compiled or not."""
    return OptaxBackend(
        "optax" if jit else "optax?jit=false",
        _make,
        _moments,
        _load,
        features=[
            "weight_decay",
            "decoupled_weight_decay",
            "undecayed",
            "load",
            "vjp",
        ],
        language="Python",
        packages=versions("optax", "jax"),
        default_eps=default_eps(optax.adamax),
        deviations=_DEVIATIONS,
        jit=jit,
    )
