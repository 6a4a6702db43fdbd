"""optax's own: `optax.adamax`, and `optax.adamaxw` where the decay is decoupled.

Coupled decay is what optax's users chain before it, `optax.add_decayed_weights`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from adamax_conformance.backend import FunctionalBackend, Moments
from adamax_conformance.glue.optax import optax_backend
from adamax_core import Hyperparameters


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
    """The one state of this type in a chain of them."""
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
    """The same chain of states with these moments; Adam's square stands where the norm does."""
    norm = "exp_avg_sq" if any("exp_avg_sq" in slot for slot in saved.values()) else "exp_inf"
    loaded = optax.ScaleByAdamState(
        count=jnp.int32(max(slot["step"] for slot in saved.values())),
        mu={name: jnp.asarray(slot["exp_avg"]) for name, slot in saved.items()},
        nu={name: jnp.asarray(slot[norm]) for name, slot in saved.items()},
    )

    def placed(state: Any) -> Any:
        if isinstance(state, optax.ScaleByAdamState):
            return loaded
        return tuple(map(placed, state)) if type(state) is tuple else state

    return placed(fresh)


def backend(*, jit: bool = True) -> FunctionalBackend:
    """optax.adamax and optax.adamaxw, compiled or not."""
    return optax_backend(
        "optax" if jit else "optax?jit=false",
        _make,
        _moments,
        _load,
        features=["weight_decay", "decoupled_weight_decay", "undecayed", "load", "vjp"],
        jit=jit,
    )
