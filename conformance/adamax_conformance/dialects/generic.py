"""Generic functions that dialects need beyond those of the rule, for every type of number."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
from gmpy2 import mpq

from adamax_conformance.bounds.carried import Carried, K
from adamax_conformance.bounds.dual import Dual
from adamax_core.rule import Array, maximum

_ROOT_DIGITS = 256


def square_root(x: Any) -> Any:
    """Return the root of a float, a decimal, an array of either, or a number with its error.

    >>> square_root(2.25), square_root(Decimal("2.25"))
    (1.5, Decimal('1.5'))
    """
    if isinstance(x, Dual):
        root = square_root(x.primal)
        return Dual(root, x.tangent / (2 * root))
    if isinstance(x, Carried):
        root = np.asarray(np.frompyfunc(_rational_root, 1, 1)(x.value), dtype=object)
        # |sqrt(a) - sqrt(b)| <= |a - b| / sqrt(b)
        error = x.error / np.where(root == 0, 1, root)
        return Carried(root, error, x.format).rounded(K)
    if isinstance(x, mpq):
        return _rational_root(x)
    if isinstance(x, Decimal):
        return x.sqrt()
    return np.sqrt(x) if isinstance(x, np.ndarray | np.generic) else math.sqrt(x)


def _rational_root(value: mpq) -> mpq:
    """Return the root to 256 binary digits; exact if it has fewer."""
    return mpq(math.isqrt((value.numerator << 2 * _ROOT_DIGITS) // value.denominator),
                    1 << _ROOT_DIGITS)  # fmt: skip


def modulus(grad: Array) -> Array:
    """Return the modulus of complex numbers, pairs on the last axis, repeated for both parts."""
    if isinstance(grad, Carried):
        other = Carried(grad.value[..., ::-1], grad.error[..., ::-1], grad.format)
    else:
        other = grad[..., ::-1]
    return square_root(grad * grad + other * other)


def at_least(x: Array, least: Any) -> Array:
    """Return the larger of each element and a scalar.

    >>> at_least(np.array([0.5, np.inf]), 1.0)
    array([ 1., inf])
    """
    # Numbers that carry their error have no scalars; of floats, zero times infinity would be NaN.
    return maximum(x, x * 0 + least if isinstance(x, Carried | Dual) else least)


def started(x: Array) -> bool:
    """Return whether any element of a moment differs from zero.

    >>> started(np.zeros(2)), started(np.array([0.0, 0.5]))
    (False, True)
    """
    if isinstance(x, Dual):
        return started(x.primal)
    return bool(np.any((x.value if isinstance(x, Carried) else x) != 0))
