"""The state of `adamax_transform`: what it holds, and where it lives (S-1, S-6, S-11)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.shard_alike import shard_alike


class AdamaxState(NamedTuple):
    """The state of `adamax_transform`.

    Leaves that are not trained (integers, booleans, keys of random numbers) have None in `mu` and
    `nu`, and no count.

    Attributes:
        count: int32 scalar, the updates so far: what a learning rate schedule is given. Stays at
            2^31 - 1 when it gets there, as each of `steps` does.
        mu: first moments, a tree like the parameters.
        nu: infinity norms, a tree like the parameters.
        steps: a tuple of int32 scalars, the steps that each trained leaf has taken, in the order
            of ``jax.tree.leaves(mu)``; a scalar that means nothing where no leaf is trained.
    """

    count: jax.Array  # type: ignore[assignment]  # optax's name, which hides tuple.count
    mu: Any
    nu: Any
    steps: Any


def is_trained(leaf: Any) -> bool:
    """Whether a leaf is floating point or complex.

    Raises:
        TypeError: it is not an array, nor a number.
    """
    dtype = leaf.dtype if hasattr(leaf, "dtype") else jnp.result_type(leaf)
    return bool(jnp.issubdtype(dtype, jnp.inexact))


def zero_state(params: Any, dtype: Any) -> AdamaxState:
    """The state before the first step, its moments of this dtype, or of the parameters' when None.

    >>> state = zero_state({"w": jnp.ones(2, jnp.bfloat16), "index": jnp.arange(2)}, jnp.float32)
    >>> state.mu
    {'index': None, 'w': Array([0., 0.], dtype=float32)}
    >>> state.steps
    (Array(0, dtype=int32),)
    """
    mu, nu = (
        jax.tree.map(lambda p: _zeros(p, dtype) if is_trained(p) else None, params)
        for _ in range(2)
    )
    # A tuple, since a tree like the parameters would take over what Flax writes beside a parameter,
    # the axes of its sharding, which a scalar does not have. A scalar where there is no leaf, since
    # optax.tree.map_params takes all that has no leaf then for parameters.
    steps = tuple(_zero() for _ in jax.tree.leaves(mu)) or _zero()
    return AdamaxState(count=_zero(), mu=mu, nu=nu, steps=steps)


def _zero() -> jax.Array:
    return jnp.zeros((), jnp.int32)


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
