"""Any optax transformation as a backend."""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamax_conformance.spec.formats import DTYPES
from adamax_conformance.subject.backend import Arrays, Moments, Steps
from adamax_conformance.subjects.glue.jax import precision
from adamax_core import Hyperparameters

MakeTransform = Callable[..., optax.GradientTransformation]
"""Function of hyperparameters and, if the judge asks for them, `state_dtype` and `undecayed`."""


@dataclass(frozen=True)
class OptaxState:
    """The state of a transformation, and the options of the transformation."""

    state: Any
    options: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class OptaxBackend:
    """A backend that creates a transformation with `make(hyperparameters, **options)`.

    The parameters are a dict of JAX arrays, and so are the gradients; a missing gradient is None.
    The transformation is made anew where a step has other hyperparameters, and keeps its state. It
    must validate them itself (H-1 to H-4): where it does not, each step takes what it is given.

    The options are ``state_dtype``, the name of a dtype, and ``undecayed``, names of parameters; a
    function that offers neither need not take them. In `vjp` a hyperparameter is a tracer. Sparse
    gradients cannot be offered: JAX has no such arrays among its leaves.

    Attributes:
        name: its name in reports.
        make: function that creates the transformation for these hyperparameters.
        read: function that returns the moments of a state, or None if they are hidden.
        write: function of a fresh state and of ``{parameter: {"step": ..., "exp_avg": ..., ...}}``
            that returns the state with these moments in it; only `load` and `vjp` call it.
        features: see `adamax_conformance.subject.backend.FEATURES`.
        dtypes: dtypes of parameters.
        deviations: known deviations, with reasons.
        language: the language that its rule is written in, for reports.
        packages: versions of the packages whose step it takes, by name, for reports.
        default_eps: the eps where its user names none, for reports.
        x64: True if JAX computes in 64 bits; if None, it does for 64-bit parameters only.
        jit: True to compile each step.

    >>> from adamax_conformance import check
    >>> def read(state):
    ...     adam = state[0]
    ...     return {k: (int(adam.count), adam.mu[k], adam.nu[k]) for k in adam.mu}
    >>> def write(state, saved):
    ...     mu, nu = (
    ...         {k: jnp.asarray(slot[part]) for k, slot in saved.items()}
    ...         for part in ("exp_avg", "exp_inf")
    ...     )
    ...     count = jnp.int32(max(slot["step"] for slot in saved.values()))
    ...     return (state[0]._replace(count=count, mu=mu, nu=nu), *state[1:])
    >>> mine = OptaxBackend(
    ...     "mine",
    ...     lambda hp: optax.adamax(hp.lr, *hp.betas, hp.eps),
    ...     read,
    ...     write,
    ...     features=["load"],
    ... )
    >>> check(mine, clauses=["A-5", "A-6"], dtypes=["float32"]).failed_clauses
    ()
    """

    name: str
    make: MakeTransform
    read: Callable[[Any], Mapping[str, Any] | None]
    write: Callable[[Any, Mapping[str, Arrays]], Any]
    features: Collection[str]
    dtypes: Collection[str] = DTYPES
    deviations: Mapping[str, str] = field(default_factory=dict)
    language: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    default_eps: float | None = None
    x64: bool | None = None
    jit: bool = True

    def _precision(self, params: Arrays) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = (
            precision(params) if self.x64 is None else jax.enable_x64(self.x64)
        )
        return context

    def init(self, params: Arrays, hp: Hyperparameters, **options: Any) -> OptaxState:
        """Return the initial state of the transformation for these hyperparameters."""
        with self._precision(params):
            state = self.make(hp, **options).init(_to_jax(params))
            return OptaxState(state, tuple(options.items()))

    def step(
        self, params: Arrays, grads: Arrays, held: OptaxState, hp: Hyperparameters
    ) -> tuple[Arrays, OptaxState]:
        """Call `update` and `apply_updates`; a missing gradient is a leaf of None."""
        with self._precision(params):
            given = {key: jnp.asarray(grads[key]) if key in grads else None for key in params}
            one = _stepper(self.make, self.jit, hp, held.options)
            stepped, state = one(_to_jax(params), given, held.state)
            return {k: np.asarray(p) for k, p in stepped.items()}, replace(held, state=state)

    def moments(self, held: OptaxState) -> Mapping[str, Moments] | None:
        """Return the moments in the state, or None."""
        return self.read(held.state)

    def load(self, params: Arrays, hp: Hyperparameters, saved: Mapping[str, Arrays]) -> OptaxState:
        """Return a fresh state with these moments; try it, since optax checks a state when used."""
        with self._precision(params):
            fresh = self.init(params, hp)
            loaded = self.write(fresh.state, saved)
            jax.eval_shape(self.make(hp).update, _to_jax(params), loaded, _to_jax(params))
            return replace(fresh, state=loaded)

    def vjp(self, wrt: str, steps: Steps) -> Any:
        """Return the derivative through one update for each gradient."""
        params, grads, saved, hp, cotangents = steps
        with self._precision(params):
            inputs: dict[str, Any] = {
                "params": _to_jax(params),
                "grads": [_to_jax(each) for each in grads],
                "exp_avg": _to_jax({key: slot.exp_avg for key, slot in saved.items()}),
                "exp_inf": _to_jax({key: slot.exp_inf for key, slot in saved.items()}),
                "beta1": hp.betas[0],
                "beta2": hp.betas[1],
                **{key: getattr(hp, key) for key in ("lr", "eps", "weight_decay")},
            }
            start = inputs[wrt]
            if isinstance(start, float):
                start = jnp.asarray(start, next(iter(inputs["params"].values())).real.dtype)
            counts = {key: slot.step for key, slot in saved.items()}

            def final(value: Any) -> Any:
                last = self._last_params(inputs | {wrt: value}, counts, hp)
                return sum(jnp.sum(last[key] * jnp.conj(cotangents[key])).real for key in last)

            slope = jax.jit(jax.grad(final)) if self.jit else jax.grad(final)
            # JAX's derivative by a complex number is the conjugate of the pair of derivatives.
            return jax.tree.map(lambda each: np.asarray(jnp.conj(each)), slope(start))

    def _last_params(
        self, values: Mapping[str, Any], counts: Mapping[str, int], hp: Hyperparameters
    ) -> Any:
        traced = replace(
            hp,
            betas=(values["beta1"], values["beta2"]),
            **{key: values[key] for key in ("lr", "eps", "weight_decay")},
        )
        params, transform = values["params"], self.make(traced)
        slots = {
            key: {
                "step": counts[key],
                "exp_avg": values["exp_avg"][key],
                "exp_inf": values["exp_inf"][key],
            }
            for key in params
        }
        state = self.write(transform.init(params), slots)
        for grads in values["grads"]:
            updates, state = transform.update(grads, state, params)
            params = optax.apply_updates(params, updates)
        return params


# Compile once for all steps and cases that share hyperparameters and shapes. The cache is bounded,
# since a fuzzer draws new hyperparameters all the time.
@lru_cache(maxsize=128)
def _stepper(
    make: MakeTransform, jit: bool, hp: Hyperparameters, options: tuple[tuple[str, Any], ...]
) -> Callable[..., Any]:
    transform = make(hp, **dict(options))

    def one(params: Any, grads: Any, state: Any) -> tuple[Any, Any]:
        updates, state = transform.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return jax.jit(one) if jit else one


def _to_jax(arrays: Arrays) -> dict[str, jax.Array]:
    return {key: jnp.asarray(array) for key, array in arrays.items()}
