"""One leaf: brought into the form the rule wants, stepped, and brought back.

Half precision is computed in float32 and rounded once (N-1); a complex array is an array of pairs
of reals (A-9).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from adamax_jax.rule import Hyper, adamax


def step_leaf(
    target: jax.Array,
    grad: jax.Array | None,
    mu: jax.Array,
    nu: jax.Array,
    step_size: jax.Array,
    hyper: Hyper,
    *,
    decays: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The update in the dtype of `target`, and the moments in theirs.

    `target` is the parameter, or what has its shape and dtype where nothing decays. Without a
    gradient the update is zero and the moments stay (S-2).
    """
    if grad is None:
        return jnp.zeros_like(target), mu, nu
    # NumPy's promotion: JAX refuses its own in the strict mode, which is about implicit ones.
    dtypes = (target.dtype, grad.dtype, mu.dtype, nu.dtype)
    dtype = functools.reduce(np.promote_types, dtypes, np.dtype(np.float32))
    real = jnp.zeros((), dtype).real.dtype
    p, g, m, u = (_pairs(array.astype(dtype)) for array in (target, grad, mu, nu))
    lr, b2, eps, weight_decay = (
        each.astype(real) if isinstance(each, jax.Array) else each
        for each in (hyper.lr, hyper.b2, hyper.eps, hyper.weight_decay)
    )
    same = hyper._replace(lr=lr, b2=b2, eps=eps, weight_decay=weight_decay)
    update, m, u = adamax(p if decays else None, g, m, u, step_size.astype(real), same)
    return _stored(update, target), _stored(m, mu), _stored(u, nu)


def _pairs(array: jax.Array) -> jax.Array:
    if not jnp.iscomplexobj(array):
        return array
    return jnp.stack([array.real, array.imag], axis=-1)


def _stored(array: jax.Array, like: jax.Array) -> jax.Array:
    if jnp.iscomplexobj(like):
        array = jax.lax.complex(array[..., 0], array[..., 1])
    return array.astype(like.dtype)
