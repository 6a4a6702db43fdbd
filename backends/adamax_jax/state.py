"""The state of `adamax_transform`: fields, dtypes and sharding (S-1, S-6, S-11)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.shard_alike import shard_alike


class AdamaxState(NamedTuple):
    """The state of `adamax_transform`.

    Leaves that are not trained (integers, booleans, random keys) have None in `mu` and `nu`, and no
    entry in `steps`.

    Attributes:
        count: int32 scalar, the number of updates so far, the argument of a learning rate schedule.
            Saturates at 2^31 - 1, as each of `steps` does.
        mu: first moments, a tree like the parameters.
        nu: infinity norms, a tree like the parameters.
        steps: a tuple of int32 scalars, the number of steps of each trained leaf, in the order of
            ``jax.tree.leaves(mu)``; an unused scalar if no leaf is trained.
    """

    count: jax.Array  # type: ignore[assignment]  # optax's name, which hides tuple.count
    mu: Any
    nu: Any
    steps: Any


def is_trained(leaf: Any) -> bool:
    """Is the leaf floating point or complex?

    Raises:
        TypeError: it is neither an array nor a number.
    """
    dtype = leaf.dtype if hasattr(leaf, "dtype") else jnp.result_type(leaf)
    return bool(jnp.issubdtype(dtype, jnp.inexact))


def zero_state(params: Any, dtype: Any) -> AdamaxState:
    """The state before the first step; moments have `dtype`, or the parameters' if None.

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
    # A tuple: a tree like the parameters would copy Flax's sharding axes, which do not apply to
    # scalars. A scalar if there is no leaf: optax.tree.map_params would otherwise treat the empty
    # tuple as parameters.
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
    # Outside jit each device makes its shard; device_put of NumPy's zeros would, with several
    # processes, send all of them from one to the others.
    zeros: jax.Array = jnp.zeros_like(param, dtype=dtype)
    if isinstance(param, jax.core.Tracer):
        # Constants have no sharding: under jit XLA would place them whole on one device (S-11).
        _, zeros = shard_alike(param, zeros)  # type: ignore[no-untyped-call]  # not typed
    return zeros
