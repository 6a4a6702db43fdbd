"""The step of one leaf: widen, apply the rule, round.

Half precision is computed in float32 and rounded once (N-1); a complex array is an array of pairs
of reals (A-9).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adamax_jax.rule import Hyper, adamax, bias_correction


class Leaf(NamedTuple):
    """A trained parameter with its gradient and state.

    Attributes:
        param: the parameter, or without decay any array of its shape and dtype.
        grad: its gradient; None if known to be missing while tracing.
        present: a boolean: False means that the gradient is missing. None means True.
        mu: its first moment.
        nu: its infinity norm.
        steps: int32, the steps it has taken.
    """

    param: jax.Array
    grad: jax.Array | None
    present: np.bool_ | None
    mu: jax.Array
    nu: jax.Array
    steps: jax.Array


class Stepped(NamedTuple):
    """The result of a step of a leaf: the update in the parameter's dtype, and the new state."""

    update: jax.Array
    mu: jax.Array
    nu: jax.Array
    steps: jax.Array


def increment(count: jax.Array) -> jax.Array:
    """Add one; saturates at 2^31 - 1 (S-7), past which an int32 would wrap below zero."""
    return jnp.maximum(count, count + 1)


# jit, also inside an outer jit: leaves of one shape and dtype are traced and lowered once.
@functools.partial(jax.jit, static_argnames=("decays", "decoupled", "maximize"))
def step_leaf(
    leaf: Leaf, hyper: Hyper, *, decays: bool, decoupled: bool, maximize: bool
) -> Stepped:
    """Step one leaf; without a gradient its state keeps every bit (S-2).

    The hyperparameters are arrays of JAX's default floating point type.
    """
    still = Stepped(jnp.zeros_like(leaf.param), leaf.mu, leaf.nu, leaf.steps)
    if leaf.grad is None:
        return still
    steps = increment(leaf.steps)
    scale = -hyper.lr / bias_correction(hyper.b1, steps)
    # NumPy's promotion, since JAX's raises in strict mode.
    arrays = (leaf.param, leaf.grad, leaf.mu, leaf.nu)
    dtype = functools.reduce(np.promote_types, (x.dtype for x in arrays), np.dtype(np.float32))
    real = jnp.zeros((), dtype).real.dtype
    param, grad, mu, nu = (_pairs(array.astype(dtype)) for array in arrays)
    scale, hyper = jax.tree.map(lambda number: number.astype(real), (scale, hyper))
    update, mu, nu = adamax(
        param if decays else None, grad, mu, nu, scale, hyper,
        maximize=maximize, decoupled=decoupled,
    )  # fmt: skip
    stepped = Stepped(
        _stored(update, leaf.param), _stored(mu, leaf.mu), _stored(nu, leaf.nu), steps
    )
    if (present := leaf.present) is None:
        return stepped
    return Stepped(*(jnp.where(present, *pair) for pair in zip(stepped, still, strict=True)))


def _pairs(array: jax.Array) -> jax.Array:
    if not jnp.iscomplexobj(array):
        return array
    return jnp.stack([array.real, array.imag], axis=-1)


def _stored(array: jax.Array, like: jax.Array) -> jax.Array:
    if jnp.iscomplexobj(like):
        array = jax.lax.complex(array[..., 0], array[..., 1])
    return array.astype(like.dtype)
