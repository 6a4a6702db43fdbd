"""The rule for one array, in JAX's idiom; the clauses are those of docs/spec.md.

Half precision is computed in float32 (N-1), complex arrays come as pairs of reals (A-9): both are
the business of `adamax_jax.leaf`.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adamax_jax.quotient import quotient

Scalar = float | jax.Array

_ROW = 16
"""Sizes are computed in rows of this length. XLA on CPU compiles a loop anew for each offset from
which it reads a scalar: cut from one vector, each of 500 leaves would have a program of its own."""


class Hyper(NamedTuple):
    """The hyperparameters of one update; arrays where they are traced."""

    lr: Scalar
    b1: Scalar
    b2: Scalar
    eps: Scalar
    weight_decay: Scalar
    maximize: bool
    decoupled: bool


def _flatten(hyper: Hyper) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    # A first beta that is a number stays one, so that 1 - b1 and log b1 are taken in float64.
    lr, b1, b2, eps, weight_decay, *modes = hyper
    known, traced = (b1, None) if isinstance(b1, float) else (None, b1)
    return (lr, traced, b2, eps, weight_decay), (known, *modes)


def _unflatten(fixed: tuple[Any, ...], arrays: Iterable[Any]) -> Hyper:
    known, *modes = fixed
    lr, traced, b2, eps, weight_decay = arrays
    return Hyper(lr, traced if known is None else known, b2, eps, weight_decay, *modes)


jax.tree_util.register_pytree_node(Hyper, _flatten, _unflatten)


def bias_correction(b1: Scalar, count: jax.Array) -> jax.Array:
    """A-6: ``1 - b1^t`` for a vector of counts, to the last places (N-3), and smooth at zero."""
    dtype = jnp.result_type(float)
    count = count.astype(dtype)
    if isinstance(b1, float):
        # A logarithm in float64, whatever JAX computes in.
        return -jnp.expm1(count * math.log(b1)) if b1 >= 0.5 else 1 - b1**count  # noqa: PLR2004 - below one half the subtraction loses nothing
    b1 = b1.astype(dtype)
    accurate = b1 >= 0.5  # noqa: PLR2004 - as above
    # A logarithm of what it is used for alone: elsewhere it may be infinite, and so its derivative.
    above = jnp.where(accurate, b1, 0.5)
    return jnp.where(accurate, -jnp.expm1(count * jnp.log(above)), 1 - b1**count)


def averaging(b1: Scalar, dtype: Any) -> tuple[Scalar, Scalar]:
    """``b1`` and ``1 - b1`` (A-4), each rounded once to the dtype they are used in."""
    if isinstance(b1, float):
        return b1, 1 - b1
    wide = b1.astype(np.promote_types(b1.dtype, dtype))
    return wide.astype(dtype), (1 - wide).astype(dtype)


def step_sizes(lr: Scalar, b1: Scalar, count: jax.Array) -> list[jax.Array]:
    """``lr / bias_correction`` for each of a vector of counts (A-6, A-7).

    A parameter that has taken no step has no correction: it gets the first, so nothing is 0 / 0.
    """
    sizes: list[jax.Array] = []
    for start in range(0, len(count), _ROW):
        row = jnp.maximum(count[start : start + _ROW], 1)
        correction = bias_correction(b1, row)
        sizes += list(jnp.asarray(lr, correction.dtype) / correction)
    return sizes


def adamax(
    param: jax.Array | None,
    grad: jax.Array,
    mu: jax.Array,
    nu: jax.Array,
    step_size: jax.Array,
    hyper: Hyper,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The update to add, the new first moment and the new infinity norm.

    Real arrays of one shape and dtype; `param` may be None where nothing decays. `step_size` is
    ``lr / bias_correction``, which is one division for all leaves.

    >>> hyper = Hyper(0.125, 0.75, 0.875, 0.0, 0.0, maximize=False, decoupled=False)
    >>> zero, one = jnp.zeros(1), jnp.ones(1)
    >>> [float(x[0]) for x in adamax(zero, one, zero, zero, jnp.array(0.5), hyper)]
    [-0.125, 0.25, 1.0]
    """
    lr, b1, b2, eps, weight_decay, maximize, decoupled = hyper
    g = -grad if maximize else grad
    if param is not None and not decoupled:
        g = g + weight_decay * param
    kept, new = averaging(b1, g.dtype)
    mu = kept * mu + new * g
    nu = jnp.maximum(b2 * nu, jnp.abs(g) + eps)
    update = -step_size * quotient(mu, nu)
    if param is not None and decoupled:
        update = update - lr * weight_decay * param
    return update, mu, nu
