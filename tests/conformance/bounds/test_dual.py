"""Derivatives of the rule against exact differences, every subgradient at a kink, wrong slopes."""

import functools
import pickle
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import optree
import pytest

from adamax_conformance import FunctionalBackend, Status, check
from adamax_conformance.bounds.carried import Carried
from adamax_conformance.bounds.dual import Dual
from adamax_conformance.bounds.oracle import with_numbers
from adamax_conformance.cases import CASES
from adamax_conformance.cases.derivatives import tangents
from adamax_conformance.spec.formats import FLOAT64
from adamax_conformance.subject.backend import WRT, Moments, Steps
from adamax_conformance.subjects.reference import backend as reference
from adamax_core import CANONICAL, Cotangents, Derivatives, Hyperparameters, State, step, step_vjp

HP = Hyperparameters(lr=0.5, betas=(0.75, 0.5), eps=0.25, weight_decay=0.125)
GRADS = ([1.0, -2.0, 0.5], [-0.5, -3.0, 4.0])
START = Moments(1, np.array([0.5, -0.25, 1.0]), np.array([8.0, 1.0, 0.5]))
PARAM = np.array([1.0, -2.0, 3.0])
SMALL = Fraction(1, 2**40)


def final(wrt: str, change: Fraction, hp: Hyperparameters) -> Any:
    """Return the last parameter of two exact steps, with one input perturbed."""
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


# Backends that are made of the closed form on rationals: right ones and wrong ones.


def rationals(array: Any) -> Any:
    return np.vectorize(Fraction, otypes=[object])(array)


@functools.cache
def exact_slopes(pickled: bytes, nudge: Fraction) -> list[Derivatives]:
    """Return exact slopes by every input of each step, with gradients shifted by `nudge`.

    A case asks for the slopes by one input after the other; they are computed once for all.
    """
    steps: Steps = pickle.loads(pickled)  # noqa: S301 - our own bytes
    hp = with_numbers(steps.hp, Fraction)
    params = {key: rationals(array) for key, array in steps.params.items()}
    state = State(
        {key: slot.step for key, slot in steps.saved.items()},
        {key: rationals(slot.exp_avg) for key, slot in steps.saved.items()},
        {key: rationals(slot.exp_inf) for key, slot in steps.saved.items()},
    )
    begins = []
    for each in steps.grads:
        grads = {key: rationals(g) + nudge for key, g in each.items()}
        begins.append((params, grads, state))
        params, state = step(params, grads, state, hp)
    cotangents = Cotangents({key: rationals(array) for key, array in steps.cotangents.items()})
    found: list[Derivatives] = []
    for params, grads, state in reversed(begins):
        found.insert(0, step_vjp(params, grads, state, hp, cotangents))
        cotangents = found[0].before
    return found


def picked(wrt: str, found: list[Derivatives]) -> Any:
    if wrt == "grads":
        return [each.grads for each in found]
    if wrt in Cotangents._fields:
        return getattr(found[0], wrt)
    return sum(getattr(each, wrt) for each in found)


D = ("D-1", "D-2", "D-3", "D-4")
BASE = reference()
KINK = Fraction(1, 2**200)


def rejecting(vjp: Callable[[str, Steps], Any]) -> set[str]:
    """Return the cases that reject the reference with these derivatives."""
    backend: FunctionalBackend = replace(BASE, vjp=vjp)
    results = check(backend, clauses=D, dtypes=["float32"]).results
    assert {result.status for result in results} <= {Status.PASS, Status.FAIL}
    return {result.case for result in results if result.status is Status.FAIL}


def between(theta: Any) -> Callable[[str, Steps], Any]:
    """Return the slope; at a kink, a point between the slopes on its left and on its right."""

    def mixed(left: Any, right: Any) -> Any:
        jump = np.where(abs(right - left) < Fraction(1, 2**100), 0, right - left)
        return np.asarray(left, float) + theta * np.asarray(jump, float)

    def vjp(wrt: str, steps: Steps) -> Any:
        pickled = pickle.dumps(steps)
        sides = (picked(wrt, exact_slopes(pickled, nudge)) for nudge in (-KINK, KINK))
        return optree.tree_map(mixed, *sides)

    return vjp


@pytest.mark.parametrize("theta", [0, 0.25, 0.5, 1])
def test_every_subgradient_passes(theta: float) -> None:
    assert rejecting(between(theta)) == set()


@pytest.mark.parametrize("theta", [-0.125, 1.125])
def test_no_slope_beyond_passes(theta: float) -> None:
    assert rejecting(between(theta)) == {"D-4/zero-gradient", "D-4/tie"}


def at_zero(slope: float) -> Callable[[str, Steps], Any]:
    """Return the reference with another slope by gradients of zero."""

    def vjp(wrt: str, steps: Steps) -> Any:
        found = BASE.vjp(wrt, steps)
        if wrt != "grads":
            return found
        return [
            {key: np.where(grads[key] == 0, slope, each[key]) for key in each}
            for each, grads in zip(found, steps.grads, strict=True)
        ]

    return vjp


@pytest.mark.parametrize("slope", [np.nan, np.inf, -np.inf])
def test_at_a_kink_a_slope_is_a_number(slope: float) -> None:
    assert rejecting(at_zero(slope)) == {"D-4/zero-gradient"}


def ascent_forgotten(wrt: str, steps: Steps) -> Any:
    """Drop the sign of maximize from the gradient's slope, if the decay is decoupled."""
    found = BASE.vjp(wrt, steps)
    turned = wrt == "grads" and steps.hp.maximize and steps.hp.decoupled_weight_decay
    return [{k: -v for k, v in each.items()} for each in found] if turned else found


def ascent_of_the_decay(wrt: str, steps: Steps) -> Any:
    """Negate the slope of coupled decay along with the gradient."""
    found = BASE.vjp(wrt, steps)
    coupled = not steps.hp.decoupled_weight_decay
    return -found if wrt == "weight_decay" and steps.hp.maximize and coupled else found


def decay_left_out_of_lr(wrt: str, steps: Steps) -> Any:
    """Leave the part of decoupled decay out of the slope by lr, when maximizing."""
    if wrt == "lr" and steps.hp.maximize and steps.hp.decoupled_weight_decay:
        steps = steps._replace(hp=replace(steps.hp, weight_decay=0.0))
    return BASE.vjp(wrt, steps)


@pytest.mark.parametrize(
    ("wrong", "case"),
    [
        (ascent_forgotten, "D-2/decoupled-ascent"),
        (ascent_of_the_decay, "D-3/coupled-ascent"),
        (decay_left_out_of_lr, "D-3/decoupled-ascent"),
    ],
)
def test_wrong_slope_is_rejected_by_its_case_alone(
    wrong: Callable[[str, Steps], Any], case: str
) -> None:
    assert rejecting(wrong) == {case}


def test_every_case_rejects_derivatives_of_zero() -> None:
    """The control that every case must reject: derivatives that are all zero."""
    zero = rejecting(lambda wrt, steps: optree.tree_map(np.zeros_like, BASE.vjp(wrt, steps)))
    expected = {case.id for case in CASES if case.clause in D and "float32" in case.dtypes}
    assert zero == expected
