"""The Adamax rule for one array, one small function a line of the equations.

Kingma and Ba, *Adam: A Method for Stochastic Optimization* (ICLR 2015), section 7.1, Algorithm 2,
with the eps that PyTorch and Optax add inside the maximum. The clauses are those of docs/spec.md::

    A-1  g <- -g                          if maximize
    A-2  g <- g + weight_decay p          if the decay is coupled
    A-3  t <- t + 1
    A-4  m <- beta1 m + (1 - beta1) g
    A-5  u <- max(beta2 u, |g| + eps)
    A-6  c <- 1 - beta1^t
    A-7  p <- p - lr / c * m / u
    A-8  p <- p - lr weight_decay p_old   if the decay is decoupled

Operators, `abs` and `maximum` are all that is used, so the same source runs on NumPy floats, on
object arrays of rationals, on numbers that carry their rounding error, on dual numbers, and on any
array of the Python array API standard. Dtypes, complex numbers, trees and missing gradients are the
business of `adamax_core.transform`.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from adamax_core.hyperparameters import Hyperparameters

Array = Any
"""Anything with operators, ``abs`` and an ``__array_namespace__`` that has ``maximum``."""


def maximum(x: Array, y: Array) -> Array:
    """The larger of each pair; NaN propagates. Elements of 0-d object arrays are NumPy's."""
    xp = x.__array_namespace__() if hasattr(x, "__array_namespace__") else np
    return xp.maximum(x, y)


def sign(grad: Array, maximize: bool) -> Array:
    """A-1: ascent is descent along the negated gradient."""
    return -grad if maximize else grad


def coupled_decay(grad: Array, param: Array, weight_decay: Any) -> Array:
    """A-2: the gradient of the penalty ``weight_decay / 2 * p^2``, added to the gradient.

    Without decay the parameter is not read at all: an infinite parameter leaves the moments finite.
    """
    return grad + weight_decay * param if weight_decay != 0 else grad


def count(step: int) -> int:
    """A-3: steps are counted from one, by exact integers."""
    return step + 1


def first_moment(exp_avg: Array, grad: Array, beta1: Any) -> Array:
    """A-4: the exponential average of the gradient."""
    return beta1 * exp_avg + (1 - beta1) * grad


def infinity_norm(exp_inf: Array, grad: Array, beta2: Any, eps: Any) -> Array:
    """A-5: the exponentially weighted infinity norm; eps is inside the maximum, NaN propagates."""
    return maximum(beta2 * exp_inf, abs(grad) + eps)


def bias_correction(beta1: Any, step: int) -> Any:
    """A-6: ``1 - beta1^t``, exactly for rationals, to the last places for floats (N-3).

    For beta1 near one the subtraction would cancel: at beta1 = 0.999 and t = 1 it loses three
    digits. Below one half it loses nothing, and zero has no logarithm.
    """
    if isinstance(beta1, float | np.floating | np.ndarray) and beta1 >= 0.5:  # noqa: PLR2004 - from here on 1 - beta1^t cancels
        return -math.expm1(step * math.log(beta1))
    return 1 - beta1**step


def displacement(exp_avg: Array, exp_inf: Array, lr: Any, correction: Any) -> Array:
    """A-7: what is taken from the parameter; m / u first, since ``lr * m`` may overflow (N-8)."""
    return lr / correction * (exp_avg / exp_inf)


def decoupled_decay(param: Array, lr: Any, weight_decay: Any) -> Array:
    """A-8: what decoupled decay takes from the parameter, of the value before the step."""
    return lr * weight_decay * param


class Step(NamedTuple):
    """What one step gives for one array: the update to add, and the new state."""

    update: Array
    step: int
    exp_avg: Array
    exp_inf: Array


class Rule(NamedTuple):
    """The eight lines together; a dialect is the canonical rule with one line replaced.

    >>> from fractions import Fraction
    >>> import numpy as np
    >>> hp = Hyperparameters(lr=Fraction(1, 8), betas=(Fraction(3, 4), Fraction(7, 8)), eps=0)
    >>> zero, one = np.array([Fraction(0)]), np.array([Fraction(1)])
    >>> CANONICAL(zero, one, zero, zero, 0, hp).update
    array([Fraction(-1, 8)], dtype=object)
    >>> no_correction = CANONICAL._replace(bias_correction=lambda beta1, step: 1)
    >>> no_correction(zero, one, zero, zero, 0, hp).update
    array([Fraction(-1, 32)], dtype=object)
    """

    sign: Callable[..., Array] = sign
    coupled_decay: Callable[..., Array] = coupled_decay
    count: Callable[..., int] = count
    first_moment: Callable[..., Array] = first_moment
    infinity_norm: Callable[..., Array] = infinity_norm
    bias_correction: Callable[..., Any] = bias_correction
    displacement: Callable[..., Array] = displacement
    decoupled_decay: Callable[..., Array] = decoupled_decay

    def __call__(
        self,
        param: Array,
        grad: Array,
        exp_avg: Array,
        exp_inf: Array,
        step: int,
        hyperparameters: Hyperparameters,
    ) -> Step:
        """One step for real arrays of one shape; nothing is rounded to a storage dtype here."""
        lr, (beta1, beta2) = hyperparameters.lr, hyperparameters.betas
        decay, decoupled = hyperparameters.weight_decay, hyperparameters.decoupled_weight_decay
        grad = self.sign(grad, hyperparameters.maximize)
        if not decoupled:
            grad = self.coupled_decay(grad, param, decay)
        step = self.count(step)
        exp_avg = self.first_moment(exp_avg, grad, beta1)
        exp_inf = self.infinity_norm(exp_inf, grad, beta2, hyperparameters.eps)
        correction = self.bias_correction(beta1, step)
        update = -self.displacement(exp_avg, exp_inf, lr, correction)
        if decoupled and decay != 0:
            update = update - self.decoupled_decay(param, lr, decay)
        return Step(update, step, exp_avg, exp_inf)


CANONICAL = Rule()
"""The rule that docs/spec.md decides on."""
