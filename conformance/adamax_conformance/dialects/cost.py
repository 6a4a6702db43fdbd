"""The cost of a dialect of Adamax: the size of its steps relative to the specification.

At the defaults the closest dialects differ by 6e-12 of a step, and by less for gradients above one:
too close to the roundings of float64. So the rule runs on decimals of fifty digits.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

import numpy as np

from adamax_conformance.bounds.oracle import with_numbers
from adamax_conformance.cases.case import DEFAULT
from adamax_conformance.dialects.axes import COMPLEX
from adamax_conformance.dialects.dialect import Dialect
from adamax_core import Hyperparameters

DIGITS = 50
ELEMENTS = 16


class Cost(NamedTuple):
    """Distance that a dialect has moved after some steps, relative to the specification.

    Attributes:
        step: the step, from one.
        here: sum of the absolute values of the elements of this step, over the specification's.
        path: the same, summed over all the steps up to this one.
    """

    step: int
    here: Decimal
    path: Decimal


def cost(
    dialect: Dialect,
    scale: float,
    steps: int = 100,
    hyperparameters: Hyperparameters = DEFAULT,
    seed: int = 0,
    eps: float | None = None,
) -> list[Cost]:
    """Return the costs after 1, 2, 5, 10, 20, 50, ... steps, and after the last.

    Gradients are real and normally distributed with standard deviation `scale`; parameters start at
    zero. `eps` is that of the dialect; by default it is that of `hyperparameters`, as the
    specification's is.

    Raises:
        ValueError: `scale` is not positive and finite, `steps` is not positive, or `eps` is outside
            its domain.

    >>> mlx = cost(Dialect("outside", "none"), scale=1.0, steps=1)
    >>> f"{mlx[0].here:.6f}"
    '0.100000'
    >>> keras = cost(Dialect("outside"), scale=1.0, steps=2)
    >>> [float(f"{each.here - 1:.1e}") for each in keras]
    [0.0, -6.1e-12]
    >>> keras = cost(Dialect("outside"), scale=1e-6, eps=1e-7)
    >>> f"{keras[-1].path:.4f}"
    '0.9398'
    """
    if not 0 < scale < float("inf"):
        raise ValueError(f"scale = {scale} is outside its domain 0 < scale < inf")
    if steps < 1:
        raise ValueError(f"steps = {steps} is outside its domain steps >= 1")
    rng = np.random.default_rng(seed)
    with localcontext(prec=DIGITS):
        grads = [_decimals(rng.normal(size=ELEMENTS) * scale) for _ in range(steps)]
        hp = with_numbers(hyperparameters, Decimal)
        own = hp if eps is None else replace(hp, eps=Decimal(eps))
        real = replace(dialect, complex=COMPLEX.specified)
        theirs, ours = _paths(real, grads, own), _paths(Dialect(), grads, hp)
        return [
            Cost(
                step,
                theirs[step - 1] / ours[step - 1],
                sum(theirs[:step], Decimal(0)) / sum(ours[:step], Decimal(0)),
            )
            for step in marks(steps)
        ]


def marks(steps: int) -> list[int]:
    """Return the step numbers 1, 2, 5, 10, ... and the last.

    >>> marks(30)
    [1, 2, 5, 10, 20, 30]
    """
    round_ones = (first * 10**power for power in range(len(str(steps))) for first in (1, 2, 5))
    return sorted({step for step in round_ones if step < steps} | {steps})


def _decimals(values: Any) -> Any:
    return np.array([Decimal(float(value)) for value in values], dtype=object)


def _paths(dialect: Dialect, grads: Sequence[Any], hp: Hyperparameters) -> list[Decimal]:
    """Return the size of each step."""
    param = exp_avg = exp_inf = _decimals(np.zeros(ELEMENTS))
    sizes = []
    for count, grad in enumerate(grads):
        after = dialect(param, grad, exp_avg, exp_inf, count, hp)
        param, exp_avg, exp_inf = param + after.update, after.exp_avg, after.exp_inf
        sizes.append(sum(abs(after.update), Decimal(0)))
    return sizes
