"""Infinities and NaN: the results of all admitted formulations are right, and no others."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adamax_conformance.bounds.oracle import allowed
from adamax_conformance.bounds.special import Special
from adamax_conformance.subject.backend import Moments
from adamax_core import Hyperparameters

HP = Hyperparameters(lr=0.125, betas=(0.75, 0.875), eps=0.25)
DECOUPLED = replace(HP, weight_decay=0.5, decoupled_weight_decay=True)
KINDS = (1.0, np.inf, -np.inf, np.nan)


def right(
    hp: Hyperparameters,
    *,
    param: float = 1.0,
    grad: float = 1.0,
    exp_avg: float = 0.5,
    exp_inf: float = 2.0,
    reported: tuple[float, float] | None = None,
    dtype: Any = np.float64,
) -> dict[str, list[float]]:
    """Return the kinds of result that are right after one step, by quantity; 1 is a number."""
    p, g, m, u = (np.array([x], dtype) for x in (param, grad, exp_avg, exp_inf))
    shown = reported and Moments(4, *(np.array([x], dtype) for x in reported))
    bounds = allowed(p, g, Moments(3, m, u), hp, reported=shown)

    def kinds(special: Special) -> list[float]:
        return [kind for kind, mask in zip(KINDS, special, strict=False) if mask[0]]

    return {quantity: kinds(bound.special) for quantity, bound in bounds.items()}


def same(found: list[float], expected: list[float]) -> bool:
    return np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize(
    ("hp", "param", "kinds"),
    [
        (HP, np.inf, [np.inf]),
        (replace(HP, lr=0.0), -np.inf, [-np.inf]),
        (DECOUPLED, np.inf, [np.inf, np.nan]),
        (DECOUPLED, -np.inf, [-np.inf, np.nan]),
        (replace(DECOUPLED, lr=0.0), np.inf, [np.inf, np.nan]),
        (replace(DECOUPLED, weight_decay=0.0), np.inf, [np.inf, np.nan]),
        # A factor below zero turns the parameter round.
        (replace(DECOUPLED, lr=4.0), np.inf, [-np.inf, np.nan]),
        # Here the factor is zero, or whatever rounding makes of it.
        (replace(DECOUPLED, lr=2.0), np.inf, [np.inf, -np.inf, np.nan]),
        (replace(DECOUPLED, lr=0.1, weight_decay=10.0), np.inf, [np.inf, -np.inf, np.nan]),
        (DECOUPLED, np.nan, [np.nan]),
        (DECOUPLED, 1.0, [1.0]),
    ],
)
def test_infinite_parameter_by_the_admitted_forms_of_decay(
    hp: Hyperparameters, param: float, kinds: list[float]
) -> None:
    found = right(hp, param=param)
    assert same(found["param"], kinds)
    assert same(found["exp_avg"], [1.0])


def test_infinite_moment_is_kept_by_products_and_lost_by_interpolation() -> None:
    found = right(HP, exp_avg=-np.inf)
    assert same(found["exp_avg"], [-np.inf, np.nan])
    assert same(found["param"], [np.inf, np.nan])


@pytest.mark.parametrize(("reported", "kind"), [(-np.inf, np.inf), (np.nan, np.nan)])
def test_parameter_follows_from_the_moment_that_was_reported(reported: float, kind: float) -> None:
    found = right(HP, exp_avg=-np.inf, reported=(reported, 1.75))
    assert same(found["param"], [kind])


def test_number_in_place_of_an_infinite_moment_does_not_change_the_parameter() -> None:
    found = right(HP, exp_avg=-np.inf, reported=(1.0, 1.75))
    assert same(found["param"], [np.inf, np.nan])


def test_infinite_gradient() -> None:
    found = right(HP, grad=-np.inf)
    assert same(found["exp_avg"], [-np.inf, np.nan])
    assert same(found["exp_inf"], [np.inf])
    assert same(found["param"], [np.nan])


def test_zero_over_zero_and_more_than_zero_over_zero() -> None:
    no_eps = replace(HP, eps=0.0)
    assert same(right(no_eps, grad=0.0, exp_avg=0.0, exp_inf=0.0)["param"], [np.nan])
    assert same(right(no_eps, grad=0.0, exp_inf=0.0)["param"], [-np.inf])
    # m may be flushed to zero, where zero over zero is NaN.
    tiny = right(no_eps, grad=0.0, exp_avg=1e-38, exp_inf=0.0, dtype=np.float32)
    assert same(tiny["param"], [-np.inf, np.nan])


def test_decay_that_is_flushed_to_zero_may_read_the_parameter_or_not() -> None:
    tiny = replace(HP, weight_decay=1e-320)
    found = right(tiny, param=np.inf)
    assert same(found["exp_avg"], [1.0, np.inf, np.nan])
    assert same(found["exp_inf"], [1.0, np.inf, np.nan])
    assert same(right(replace(HP, weight_decay=0.5), param=np.inf)["exp_inf"], [np.inf])


def test_hidden_moments_carry_every_kind_to_the_next_step() -> None:
    """m was infinite or NaN, which makes the parameter infinite or NaN in the next step."""
    one = np.array([1.0])
    first = allowed(one, one, Moments(3, np.array([-np.inf]), 2 * one), HP)
    second = allowed(np.array([1.0]), one, Moments(4, first["exp_avg"], first["exp_inf"]), HP)[
        "param"
    ]
    assert [float(second.excess([x])[0]) for x in (np.inf, np.nan, -np.inf, 1.0)] == [
        0.0, 0.0, np.inf, np.inf,
    ]  # fmt: skip


def test_words_name_every_kind() -> None:
    one, infinite = np.array([1.0]), np.array([np.inf])
    bound = allowed(infinite, one, Moments(3, one / 2, one * 2), DECOUPLED)["param"]
    assert bound.interval((0,)) == "inf or nan"


@pytest.mark.parametrize("kinds", list(itertools.combinations(KINDS, 2)))
def test_alternatives_take_every_kind(kinds: tuple[float, float]) -> None:
    each = [Special.of(np.array([kind, 5.0])) for kind in kinds]
    found = (each[0] | each[1]).alternatives()
    assert {str(array[0]) for array in found} == {str(np.float64(kind)) for kind in kinds}
    assert all(array[1] == 5.0 for array in found)
