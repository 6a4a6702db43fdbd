"""Any optax transformation as a backend."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamax_conformance.backend import Arrays, FunctionalBackend, Moments
from adamax_conformance.formats import DTYPES
from adamax_core import Hyperparameters

MakeTransform = Callable[..., optax.GradientTransformation]
"""Called with hyperparameters and, where they are offered, `state_dtype` and `undecayed`."""


@dataclass(frozen=True)
class Training:
    """A transformation's state, and the options that it was made with."""

    state: Any
    options: tuple[tuple[str, Any], ...]


def optax_backend(
    name: str,
    make: MakeTransform,
    moments: Callable[[Any], Mapping[str, Moments]],
    load: Callable[[Any, Mapping[str, Arrays]], Any],
    *,
    features: Sequence[str],
    dtypes: Sequence[str] = DTYPES,
    deviations: Mapping[str, str] | None = None,
    x64: bool | None = None,
    jit: bool = True,
    transform: str | None = None,
) -> FunctionalBackend:
    """A backend that makes a transformation with `make(hyperparameters, **options)` at each step.

    Args:
        name: how reports call it.
        make: the transformation for these hyperparameters.
        moments: reads the state.
        load: the state with these moments in it, given a fresh one.
        features: see `adamax_conformance.backend.FEATURES`.
        dtypes: of parameters.
        deviations: known deviations, with reasons.
        x64: whether JAX computes in 64 bits; where None, for 64-bit parameters alone.
        jit: compile each step.
        transform: ``module:function`` that makes the transformation of a learning rate, to see in
            a process of its own, with two devices, where its state lives.
    """

    def precision(params: Arrays) -> AbstractContextManager[Any]:
        wide = any(np.asarray(p).dtype in (np.float64, np.complex128) for p in params.values())
        return jax.enable_x64(wide if x64 is None else x64)

    # Compiled once for all the steps, and all the cases, that share hyperparameters and shapes.
    @cache
    def stepper(hp: Hyperparameters, options: tuple[tuple[str, Any], ...]) -> Callable[..., Any]:
        transform = make(hp, **dict(options))

        def one(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
            updates, state = transform.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        return jax.jit(one) if jit else one

    def init(params: Arrays, hp: Hyperparameters, **options: Any) -> Training:
        with precision(params):
            state = make(hp, **options).init(_to_jax(params))
            return Training(state, tuple(options.items()))

    def step(
        params: Arrays, grads: Arrays, training: Training, hp: Hyperparameters
    ) -> tuple[Arrays, Training]:
        with precision(params):
            given = {key: jnp.asarray(grads[key]) if key in grads else None for key in params}
            stepped, state = stepper(hp, training.options)(_to_jax(params), given, training.state)
            return _to_numpy(stepped), replace(training, state=state)

    def load_state(params: Arrays, hp: Hyperparameters, saved: Mapping[str, Arrays]) -> Training:
        with precision(params):
            fresh = init(params, hp)
            loaded = load(fresh.state, saved)
            # A state that does not fit is found at the latest when it is first used.
            jax.eval_shape(make(hp).update, _to_jax(params), loaded, _to_jax(params))
            return replace(fresh, state=loaded)

    def vjp(
        wrt: str,
        params: Arrays,
        grads: Sequence[Arrays],
        saved: Mapping[str, Moments],
        hp: Hyperparameters,
        cotangents: Arrays,
    ) -> Any:
        with precision(params):
            moving = {field: _to_jax({k: s._asdict()[field] for k, s in saved.items()})
                      for field in ("exp_avg", "exp_inf")}  # fmt: skip
            fixed = {"params": _to_jax(params), "grads": [_to_jax(g) for g in grads], **moving}
            scalars = {"lr": hp.lr, "beta1": hp.betas[0], "beta2": hp.betas[1], "eps": hp.eps}
            scalars["weight_decay"] = hp.weight_decay
            inputs = fixed | scalars

            def final(value: Any) -> Any:
                values = inputs | {wrt: value}
                traced = unchecked(
                    hp,
                    betas=(values["beta1"], values["beta2"]),
                    **{k: values[k] for k in ("lr", "eps", "weight_decay")},
                )
                p = values["params"]
                transform = make(traced)
                state = load(
                    transform.init(p),
                    {
                        k: {
                            "step": saved[k].step,
                            "exp_avg": values["exp_avg"][k],
                            "exp_inf": values["exp_inf"][k],
                        }
                        for k in params
                    },
                )
                for g in values["grads"]:
                    updates, state = transform.update(g, state, p)
                    p = optax.apply_updates(p, updates)
                return sum(jnp.sum(p[k] * cotangents[k]) for k in params)

            start = inputs[wrt]
            if wrt in scalars:
                start = jnp.asarray(start, next(iter(fixed["params"].values())).dtype)
            slope = jax.grad(final)
            return jax.tree.map(np.asarray, (jax.jit(slope) if jit else slope)(start))

    return FunctionalBackend(
        name,
        init=init,
        step=step,
        moments=lambda training: moments(training.state),
        load=load_state,
        vjp=vjp,
        dtypes=dtypes,
        features=features,
        deviations=deviations or {},
        placement=lambda: _placement(transform),
    )


_PLACEMENT = """
import importlib, json, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
module, name = sys.argv[1].split(":")
sharding = NamedSharding(Mesh(np.array(jax.devices()), "d"), PartitionSpec("d"))
params = {"w": jax.device_put(jnp.zeros(4), sharding)}
state = jax.jit(getattr(importlib.import_module(module), name)(1e-3).init)(params)
like = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (4,)]
spans = [sorted(d.id for d in each.sharding.device_set) for each in (params["w"], *like)]
whole = [each.sharding.shard_shape((4,)) for each in (params["w"], *like)]
print(json.dumps([[spans[0], whole[0]], [max(spans[1:]), max(whole[1:])]]))
"""


def _placement(transform: str | None) -> tuple[Any, Any]:
    """Devices and shard shape of a sharded parameter, and of its state from ``jax.jit(init)``."""
    if transform is None:
        raise LookupError("this backend was made without `transform`")
    # The number of devices is fixed when JAX starts.
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(  # noqa: S603 - this interpreter, the text above
        [sys.executable, "-c", _PLACEMENT, transform],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    param, state = json.loads(done.stdout)
    return param, state


def unchecked(hp: Hyperparameters, **fields: Any) -> Hyperparameters:
    """The same with other values, tracers among them, which have no domain to be in."""
    changed = object.__new__(Hyperparameters)
    for name, value in (vars(hp) | fields).items():
        object.__setattr__(changed, name, value)
    return changed


def _to_jax(arrays: Arrays) -> dict[str, jax.Array]:
    return {key: jnp.asarray(array) for key, array in arrays.items()}


def _to_numpy(arrays: Mapping[str, jax.Array]) -> dict[str, Any]:
    return {key: np.asarray(array) for key, array in arrays.items()}
