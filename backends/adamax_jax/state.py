"""The state of `adamax_transform`: what it holds, and where it lives (S-1, S-6, S-11)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.shard_alike import shard_alike


class AdamaxState(NamedTuple):
    """The state of `adamax_transform`.

    Attributes:
        count: int32 ``(number of leaves,)``, the steps of each parameter in the order of
            `jax.tree.leaves`; stays at 2^31 - 1 when it gets there.
        mu: first moments, a tree like the parameters.
        nu: infinity norms, a tree like the parameters.
        clock: int32, the updates so far: what a learning rate schedule is given.
    """

    count: jax.Array  # type: ignore[assignment]  # optax's name, which hides tuple.count
    mu: Any
    nu: Any
    clock: jax.Array


def zero_state(params: Any, dtype: Any) -> AdamaxState:
    """The state before the first step, its moments of this dtype, or of the parameters' when None.

    >>> zero_state({"w": jnp.ones(2, jnp.bfloat16)}, jnp.float32).mu
    {'w': Array([0., 0.], dtype=float32)}
    """
    return AdamaxState(
        count=jnp.zeros(len(jax.tree.leaves(params)), jnp.int32),
        mu=jax.tree.map(lambda p: _zeros(p, dtype), params),
        nu=jax.tree.map(lambda p: _zeros(p, dtype), params),
        clock=jnp.zeros((), jnp.int32),
    )


def _zeros(param: Any, dtype: Any) -> jax.Array:
    if not isinstance(param, jax.Array | jax.ShapeDtypeStruct):
        param = jnp.asarray(param)
    if dtype is not None and jnp.issubdtype(param.dtype, jnp.complexfloating):
        dtype = jnp.result_type(dtype, jnp.complex64)
    dtype = param.dtype if dtype is None else dtype
    zeros: jax.Array
    if isinstance(param, jax.core.Tracer):
        # Zeros depend on nothing, so under jit they would land on one device, whole (S-11).
        _, zeros = shard_alike(param, jnp.zeros_like(param, dtype=dtype))  # type: ignore[no-untyped-call]  # not typed
    else:
        # Nothing to compile, and committed to its devices only where the parameter is; a
        # ShapeDtypeStruct may say where its array will be.
        device = param.sharding if getattr(param, "committed", True) else None
        zeros = jax.device_put(np.zeros(param.shape, dtype), device)
    return zeros
