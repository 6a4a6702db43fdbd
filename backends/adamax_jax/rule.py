"""The rule for one array, in JAX's idiom; the clauses are those of docs/spec.md.

Half precision is computed in float32 (N-1), complex arrays come as pairs of reals (A-9): both are
the business of `adamax_jax.leaf`.
"""

import functools
import math
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from adamax_jax.quotient import quotient

Scalar = float | jax.Array


class Decay(NamedTuple):
    """The decay rate of the first moment, and what the rule needs of it besides.

    Each is rounded once from float64 where `b1` is a number: in float32, 1 - 0.999 has lost three
    digits, and so has the logarithm of 0.999 (A-4, N-3).
    """

    b1: Scalar
    complement: Scalar
    log: Scalar


class Hyper(NamedTuple):
    """The hyperparameters of one update that are numbers."""

    lr: Scalar
    b1: Decay
    b2: Scalar
    eps: Scalar
    weight_decay: Scalar


def decay(b1: Scalar) -> Decay:
    """``b1``, ``1 - b1`` and ``log(b1)``, of a number or of a 0-d tracer."""
    # For zero, the logarithm of the smallest normal number, whose powers are lost beside one as
    # well: minus infinity would make the branch that bias_correction does not choose NaN.
    if isinstance(b1, float):
        return Decay(b1, 1 - b1, math.log(max(b1, sys.float_info.min)))
    b1 = b1.astype(np.promote_types(b1.dtype, jnp.result_type(float)))
    # Each of XLA's logarithms is right to 1.5 units of roundoff here, and worse elsewhere.
    small = jnp.log(jnp.maximum(b1, jnp.finfo(b1.dtype).tiny))  # type: ignore[no-untyped-call]  # not typed
    log = jnp.where(b1 < 0.7, small, jnp.log1p(b1 - 1))  # noqa: PLR2004 - see above
    # Its derivative is infinite at zero, and nobody needs it: see bias_correction.
    return Decay(b1, 1 - b1, lax.stop_gradient(log))


# The Bernoulli numbers B_2k / (2k)!, from k = 1.
_SERIES = [
    1 / 12,
    -1 / 720,
    1 / 30240,
    -1 / 1209600,
    1 / 47900160,
    -691 / 1307674368000,
    1 / 74724249600,
]
_FITTED = np.polynomial.Chebyshev.interpolate(
    np.polynomial.Polynomial(_SERIES), 1, domain=[0, 0.25]
)
_EVEN = {
    "float64": _SERIES[::-1],
    # Few terms, since they are compiled for each leaf.
    "float32": _FITTED.convert(kind=np.polynomial.Polynomial).coef[::-1].tolist(),
}
"""Coefficients of ``(x/2 coth(x/2) - 1) / x^2``, in powers of x^2 up to 1/4, highest first."""


@jax.custom_jvp
def bias_correction(b1: Decay, count: jax.Array) -> jax.Array:
    """A-6: ``1 - b1^t`` for counts from one, within 4 units of roundoff (N-3).

    With ``x = t log(b1)`` it is ``1 - e^x``, which cancels near zero. XLA's expm1 is off by 5.9
    units there; so it is ``x / (x/2 - x/2 coth(x/2))``, whose hyperbolic part is even in x.
    """
    x = count.astype(jnp.result_type(float)) * b1.log
    square = x * x
    even = functools.reduce(lambda sum_, c: sum_ * square + c, _EVEN[x.dtype.name])
    near_zero = x / (0.5 * x - square * even - 1)
    return lax.select(x < -0.5, 1 - jnp.exp(x), near_zero)  # noqa: PLR2004 - see above


@bias_correction.defjvp
def _(primals: Any, tangents: Any) -> Any:
    """``-t b1^(t-1)``, which is finite for b1 = 0, where the logarithm is not."""
    (b1, count), (b1_dot, _) = primals, tangents
    # By an integer, since 0^0 has a derivative in JAX then.
    power = lax.pow(jnp.asarray(b1.b1, float), count - 1)
    return bias_correction(b1, count), -count.astype(power.dtype) * power * b1_dot.b1


def adamax(
    param: jax.Array | None,
    grad: jax.Array,
    mu: jax.Array,
    nu: jax.Array,
    scale: jax.Array,
    hyper: Hyper,
    *,
    maximize: bool,
    decoupled: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The update to add, the new first moment and the new infinity norm.

    Real arrays of one shape and dtype; `param` may be None where nothing decays. `scale` is
    ``-lr / bias_correction``.

    >>> hyper = Hyper(0.125, decay(0.75), 0.875, 0.0, 0.0)
    >>> zero, one = jnp.zeros(1), jnp.ones(1)
    >>> stepped = adamax(
    ...     zero, one, zero, zero, jnp.array(-0.5), hyper, maximize=False, decoupled=False
    ... )
    >>> [float(each[0]) for each in stepped]
    [-0.125, 0.25, 1.0]
    """
    lr, b1, b2, eps, weight_decay = hyper
    g = -grad if maximize else grad
    if param is not None and not decoupled:
        g = g + weight_decay * param
    mu = b1.b1 * mu + b1.complement * g
    nu = jnp.maximum(b2 * nu, jnp.abs(g) + eps)
    update = scale * quotient(mu, nu)
    if param is not None and decoupled:
        update = update - lr * weight_decay * param
    return update, mu, nu
