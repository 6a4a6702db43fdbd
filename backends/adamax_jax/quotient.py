"""A quotient whose derivatives of every order and in every mode neither overflow nor underflow.

JAX's own derivative of ``m / u`` by ``u`` divides by ``u`` squared, which in float32 is zero or
infinite unless ``u`` is between 1e-19 and 1e19. Gradients outside that range are ordinary (N-7).
"""

import jax
from jax import lax

Pair = tuple[jax.Array, jax.Array]


@jax.custom_jvp
def quotient(m: jax.Array, u: jax.Array) -> jax.Array:
    """``m / u`` with the derivative ``(dm - (m / u) du) / u``; arrays of one shape and dtype.

    >>> import jax.numpy as jnp
    >>> tiny = jnp.float32(1e-30)
    >>> float(jax.grad(lambda scale: quotient(tiny, scale * tiny))(1.0))
    -1.0
    """
    return lax.div(m, u)


@quotient.defjvp
def _(primals: Pair, tangents: Pair) -> Pair:
    (m, u), (dm, du) = primals, tangents
    ratio = quotient(m, u)
    # A constant divisor: JAX would square a variable divisor in the second derivative.
    return ratio, (dm - ratio * du) / lax.stop_gradient(u) * _one(u)


@jax.custom_jvp
def _one(u: jax.Array) -> jax.Array:
    """``s / u`` with the constant `s` equal to `u`: its value is one, its derivative ``-1 / u``.

    Not written as that quotient: XLA rewrites ``a / b / c`` as ``a / (b c)``, which squares too.
    """
    return lax.full_like(u, 1)


@_one.defjvp
def _(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> Pair:
    (u,), (du,) = primals, tangents
    one = _one(u)
    return one, -one * one * (du / lax.stop_gradient(u))
