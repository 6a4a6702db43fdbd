"""The admitted formulations of each line of the rule beside that of the reference.

`adamax_conformance.bounds.oracle` takes the largest of their errors, and
`adamax_conformance.bounds.special` all of their infinities and NaN.
"""

from collections.abc import Callable
from typing import Any

from adamax_core import CANONICAL


def interpolated(exp_avg: Any, grad: Any, beta1: Any) -> Any:
    """A-4 as one interpolation, the other common formulation."""
    return exp_avg + (1 - beta1) * (grad - exp_avg)


def interpolated_back(exp_avg: Any, grad: Any, beta1: Any) -> Any:
    """A-4 as an interpolation from the gradient, as torch.lerp does for beta1 up to one half."""
    return grad - beta1 * (grad - exp_avg)


def factored(exp_avg: Any, grad: Any, beta1: Any) -> Any:
    """A-4 for equal weights, as XLA compiles it: it adds first, which may overflow."""
    return beta1 * (exp_avg + grad)


def first_moments(beta1: Any) -> list[Callable[..., Any]]:
    """Return the formulations of A-4 for this beta1."""
    lines = [CANONICAL.first_moment, interpolated]
    lines += [interpolated_back] if 2 * beta1 <= 1 else []
    return [*lines, factored] if beta1 == 1 - beta1 else lines


def shrunk(param: Any, lr: Any, weight_decay: Any) -> Any:
    """A-8 as a factor on the parameter, the other common formulation."""
    return param - (1 - lr * weight_decay) * param


DISPLACEMENTS: tuple[Callable[..., Any], ...] = (
    lambda m, u, lr, c: lr * m / (c * u),
    lambda m, u, lr, c: lr / c * m / u,
    lambda m, u, lr, c: lr * (m / u) / c,
    lambda m, u, lr, c: lr / (c * u) * m,
    lambda m, u, lr, c: lr / u * m / c,
    lambda m, u, lr, c: lr * (m / c / u),
)
"""A-7 in other associations, but none that divides by lr: that may overflow, which N-8 forbids."""

DECAYS: tuple[Callable[..., Any], ...] = (
    lambda p, lr, weight_decay: lr * (weight_decay * p),
    lambda p, lr, weight_decay: weight_decay * (lr * p),
)
"""A-8 in other associations."""
