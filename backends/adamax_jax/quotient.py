"""A quotient whose derivatives stay in the range of the format, of every order and in every mode.

JAX's own derivative of ``m / u`` by ``u`` divides by ``u`` squared, which in float32 is zero or
infinite unless ``u`` is between 1e-19 and 1e19. Gradients outside are ordinary (N-7).
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
    # By a constant divisor, since JAX would square a variable one in the second derivative.
    return ratio, (dm - ratio * du) / lax.stop_gradient(u) * _one(u)


@jax.custom_jvp
def _one(u: jax.Array) -> jax.Array:
    """``s / u`` where `s` is the present value of `u`, held constant: one, but not its derivative.

    Not written as that quotient, since XLA makes ``a / (b c)`` of ``a / b / c``, which squares too.
    """
    return lax.full_like(u, 1)


@_one.defjvp
def _(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> Pair:
    (u,), (du,) = primals, tangents
    one = _one(u)
    return one, -one * one * (du / lax.stop_gradient(u))
