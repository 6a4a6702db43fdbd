"""Derivatives of the rule against exact differences, and every subgradient at a kink."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from adamax_conformance.backend import WRT, Moments
from adamax_conformance.carried import Carried
from adamax_conformance.cases.derivatives import tangents
from adamax_conformance.dual import Dual
from adamax_conformance.formats import FLOAT64
from adamax_conformance.oracle import with_numbers
from adamax_core import CANONICAL, Hyperparameters

HP = Hyperparameters(lr=0.5, betas=(0.75, 0.5), eps=0.25, weight_decay=0.125)
GRADS = ([1.0, -2.0, 0.5], [-0.5, -3.0, 4.0])
START = Moments(1, np.array([0.5, -0.25, 1.0]), np.array([8.0, 1.0, 0.5]))
PARAM = np.array([1.0, -2.0, 3.0])
SMALL = Fraction(1, 2**40)


def final(wrt: str, change: Fraction, hp: Hyperparameters) -> Any:
    """The last parameter of two exact steps, with one input changed by a little."""
    numbers = with_numbers(hp, Fraction)
    values = {name: getattr(numbers, name) for name in ("lr", "eps", "weight_decay")}
    values |= dict(zip(("beta1", "beta2"), numbers.betas, strict=True))
    values |= {"params": PARAM, "exp_avg": START.exp_avg, "exp_inf": START.exp_inf}
    values |= {"grads": np.array(GRADS[0])}
    values = {
        k: np.array([Fraction(x) for x in v], object) if isinstance(v, np.ndarray) else v
        for k, v in values.items()
    }
    values[wrt] = values[wrt] + change
    moved = Hyperparameters(
        values["lr"],
        (values["beta1"], values["beta2"]),
        values["eps"],
        values["weight_decay"],
        maximize=hp.maximize,
        decoupled_weight_decay=hp.decoupled_weight_decay,
    )
    p, m, u, step = values["params"], values["exp_avg"], values["exp_inf"], START.step
    second = np.array([Fraction(x) for x in GRADS[1]], object)
    for g in (values["grads"], second):
        after = CANONICAL(p, g, m, u, step, moved)
        p, m, u, step = p + after.update, after.exp_avg, after.exp_inf, after.step
    return p


@pytest.mark.parametrize("wrt", WRT)
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("decoupled", [False, True])
def test_tangent_is_the_limit_of_exact_differences(
    wrt: str, maximize: bool, decoupled: bool
) -> None:
    hp = Hyperparameters(
        HP.lr, HP.betas, HP.eps, HP.weight_decay,
        maximize=maximize, decoupled_weight_decay=decoupled,
    )  # fmt: skip
    grads = [np.array(g) for g in GRADS]
    slope = tangents(wrt, PARAM, grads, START, hp)

    def error_at(h: Fraction) -> list[Fraction]:
        difference = (final(wrt, h, hp) - final(wrt, -h, hp)) / (2 * h)
        return [abs(x) for x in difference - slope.value]

    # A central difference of a smooth function is off by a multiple of h^2, to the leading order:
    # halving h quarters the error. A wrong slope leaves an error that does not shrink.
    for coarse, fine in zip(error_at(SMALL), error_at(SMALL / 2), strict=True):
        assert fine <= coarse / 3 or coarse == 0


def test_any_slope_is_allowed_at_a_kink_and_none_beyond() -> None:
    x = Dual.of(np.array([0.0, 2.0, -2.0]), FLOAT64, seeded=True)
    slope = abs(x).tangent
    assert [*slope.value] == [0, 1, -1]
    assert [*slope.error] == [1, 0, 0]


def test_any_split_is_allowed_at_a_tie() -> None:
    x = Dual.of(np.array([1.0, 2.0, 0.0]), FLOAT64, seeded=True)
    constant = Dual.of(np.array([1.0, 1.0, 1.0]), FLOAT64, seeded=False)
    slope = Dual.maximum(x, constant).tangent
    assert [*slope.value] == [Fraction(1, 2), 1, 0]
    assert [*slope.error] == [Fraction(1, 2), 0, 0]


def test_rounding_that_may_fall_on_either_side_is_a_kink_too() -> None:
    unsure = Dual(
        Carried(np.array([Fraction(1, 8)]), np.array([Fraction(1, 4)]), FLOAT64),
        Carried.of([1.0], FLOAT64),
    )
    assert abs(unsure).tangent.error[0] == 1
