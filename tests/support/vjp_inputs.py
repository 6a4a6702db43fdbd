"""Hyperparameters, rationals and the call that the tests of `step_vjp` share."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from adamax_core import Derivatives, Hyperparameters, step_vjp

Q = Fraction  # the rationals

MODES: dict[str, dict[str, Any]] = {
    "plain": {"weight_decay": 0.0},
    "ascent": {"weight_decay": 0.0, "maximize": True},
    "coupled": {},
    "coupled-ascent": {"maximize": True},
    "decoupled": {"decoupled_weight_decay": True},
    "decoupled-ascent": {"decoupled_weight_decay": True, "maximize": True},
}
modes = pytest.mark.parametrize("mode", MODES)


def rationals(*values: Any) -> Any:
    return np.array([Q(value) for value in values], dtype=object)


def hyperparameters(mode: str, number: Callable[[float], Any] = Q) -> Hyperparameters:
    lr, beta1, beta2, eps, decay = map(number, (0.125, 0.75, 0.875, 0.25, 0.375))
    plain: dict[str, Any] = {"lr": lr, "betas": (beta1, beta2), "eps": eps, "weight_decay": decay}
    return Hyperparameters(**(plain | MODES[mode]))


def derived(at: Any, hp: Hyperparameters) -> Derivatives:
    params, grads, state, weights = at
    return step_vjp(params, grads, state, hp, weights)
