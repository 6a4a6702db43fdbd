"""`adamax_transform` as a subject of the judge; only the entry point ``jax`` loads it."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamax_conformance import DTYPES, Moments
from adamax_conformance.subjects.glue.optax import OptaxBackend
from adamax_core import Hyperparameters
from adamax_jax import AdamaxState, adamax_transform


def _make(
    hp: Hyperparameters, undecayed: Sequence[str] = (), state_dtype: str | None = None
) -> optax.GradientTransformation:
    def decayed(params: Mapping[str, Any]) -> dict[str, bool]:
        return {name: name not in undecayed for name in params}

    return adamax_transform(
        hp.lr,
        *hp.betas,
        hp.eps,
        weight_decay=hp.weight_decay,
        decoupled_weight_decay=hp.decoupled_weight_decay,
        mask=decayed if undecayed else None,
        maximize=hp.maximize,
        state_dtype=state_dtype,
    )


def _moments(state: AdamaxState) -> dict[str, Moments]:
    # JAX flattens dicts in the order of sorted keys; the steps have the same order.
    return {
        name: Moments(int(steps), np.asarray(state.mu[name]), np.asarray(state.nu[name]))
        for name, steps in zip(sorted(state.mu), jax.tree.leaves(state.steps), strict=True)
    }


def _load(fresh: AdamaxState, saved: Mapping[str, Mapping[str, Any]]) -> Any:
    if any("exp_avg_sq" in slot for slot in saved.values()):
        # The state of a user who trained with Adam: a tree of the same shapes.
        return optax.ScaleByAdamState(
            count=jnp.int32(next(iter(saved.values()))["step"]),
            mu={name: jnp.asarray(slot["exp_avg"]) for name, slot in saved.items()},
            nu={name: jnp.asarray(slot["exp_avg_sq"]) for name, slot in saved.items()},
        )
    return fresh._replace(
        steps=tuple(jnp.array(saved[name]["step"], jnp.int32) for name in sorted(saved)),
        mu={name: jnp.asarray(slot["exp_avg"]) for name, slot in saved.items()},
        nu={name: jnp.asarray(slot["exp_inf"]) for name, slot in saved.items()},
    )


def backend(*, x64: bool | None = None, jit: bool = True) -> OptaxBackend:
    """The adapter, optionally without jit, or in 64-bit mode."""
    options = [f"x64={x64}".lower()] * (x64 is not None) + ["jit=false"] * (not jit)
    narrow = tuple(name for name in DTYPES if name not in ("float64", "complex128"))
    return OptaxBackend(
        f"jax?{'&'.join(options)}" if options else "jax",
        _make,
        _moments,
        _load,
        features=[
            "maximize", "weight_decay", "decoupled_weight_decay", "undecayed", "state_dtype",
            "load", "vjp",
        ],
        dtypes=narrow if x64 is False else DTYPES,
        x64=x64,
        jit=jit,
    )  # fmt: skip
