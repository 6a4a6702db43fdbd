"""Reference derivatives at gradients of every size: those of gradients about one, scaled.

A power of two that all gradients have in common changes no rounding, unless a number leaves the
range of its format.
"""

from typing import Any

import numpy as np
import pytest

from adamax_core import Cotangents, Derivatives, Hyperparameters, State, step_vjp

# The norm is the past's in the first two elements, the gradient's in the others.
GRADS, EXP_AVG, EXP_INF = [1.0, -2.0, 3.0, -5.0], [0.5, -1.0, 2.0, 0.25], [8.0, 12.0, 1.0, 0.5]
WEIGHTS = [1.0, 2.0, 4.0, 8.0]


def slopes(dtype: Any, size: float) -> Derivatives:
    grads, exp_avg, exp_inf = (np.array(x, dtype) * dtype(size) for x in (GRADS, EXP_AVG, EXP_INF))
    hp = Hyperparameters(1.0, (0.5, 0.75), size / 4, weight_decay=size / 2)
    params, weights = np.array([1.0, -1.0, 0.5, 2.0], dtype), np.array(WEIGHTS, dtype)
    return step_vjp(params, grads, State(2, exp_avg, exp_inf), hp, Cotangents(weights))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_slopes_are_those_of_gradients_about_one(dtype: Any) -> None:
    """Eight powers of two within the range, so that derivatives are normal numbers too."""
    info, one = np.finfo(dtype), slopes(dtype, 1.0)
    assert all(np.any(slope) and np.all(np.isfinite(slope)) for slope in one)
    for exponent in range(info.minexp + 8, info.maxexp - 9):
        size = 2.0**exponent
        for name, slope in slopes(dtype, size)._asdict().items():
            like_one = name in ("params", "lr", "beta1", "beta2")
            scaled = slope if like_one else slope * size
            assert np.array_equal(scaled, getattr(one, name)), (name, exponent)
