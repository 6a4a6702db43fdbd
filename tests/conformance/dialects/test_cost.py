"""The cost of a dialect, compared with closed forms."""

import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from adamax_conformance.dialects import Dialect
from adamax_conformance.dialects.cost import ELEMENTS, cost
from adamax_conformance.scoreboard.entry import ratio
from adamax_core import Hyperparameters

LAST = Fraction(1, 10**40)
"""Of fifty digits, more than a few operations can lose."""


def test_the_specification_costs_nothing() -> None:
    assert {each[1:] for each in cost(Dialect(), 1e-6, steps=7)} == {(Decimal(1), Decimal(1))}


def test_without_eps_the_first_step_is_that_of_the_sign() -> None:
    eps = 2.0**-3
    (only,) = cost(Dialect("none"), 0.5, 1, Hyperparameters(eps=eps), seed=3)
    grads = [Fraction(g) for g in np.random.default_rng(3).normal(size=ELEMENTS) * 0.5]
    exact = ELEMENTS / sum((abs(g) / (abs(g) + Fraction(eps)) for g in grads), Fraction(0))
    assert only.here == only.path
    assert abs(Fraction(only.here) - exact) < LAST


def test_without_bias_correction_a_step_is_smaller_by_the_correction() -> None:
    costs = cost(Dialect(correction="none"), 1.0, steps=20)
    assert [each.step for each in costs] == [1, 2, 5, 10, 20]
    for each in costs:
        assert abs(Fraction(each.here) - (1 - Fraction(0.9) ** each.step)) < LAST
    # What is behind it is smaller still.
    assert all(each.path < each.here for each in costs[1:])


def test_the_extra_root_of_decimals() -> None:
    costs = cost(Dialect(correction="extra square root"), 1.0, steps=2)
    assert abs(Fraction(costs[-1].here) ** 2 - (1 - Fraction(0.999) ** 2)) < LAST


def test_eps_in_the_decay_piles_up() -> None:
    """For gradients far below eps the norm is eps (1 - b2^t) / (1 - b2) instead of eps."""
    tiny = 1e-30
    last = cost(Dialect("in the decay"), tiny, steps=100)[-1]
    beta2 = Fraction(0.999)
    # Both norms are off by less than the largest gradient, of which none is above 10 here.
    off = 2 * 10 * Fraction(tiny) / Fraction(1e-8)
    assert abs(Fraction(last.here) * (1 - beta2**100) / (1 - beta2) - 1) < off


def test_what_is_done_with_complex_numbers_costs_nothing() -> None:
    """The gradients are real."""
    assert all(each.here == each.path == 1 for each in cost(Dialect(complex="modulus"), 1.0, 5))


def test_an_eps_of_its_own_is_that_of_the_dialect_alone() -> None:
    """For gradients far below both, the norms are the two eps."""
    last = cost(Dialect(), 1e-30, steps=10, eps=1e-6)[-1]
    off = 4 * 10 * Fraction(1e-30) / Fraction(1e-8)
    assert abs(Fraction(last.path) - Fraction(1e-8) / Fraction(1e-6)) < off


ROW = re.compile(
    r"^\| ([a-z ]+?)(?: (1e-\d))?, (\w+) (?:\| .*[A-Z].* )?\|(( [^|]+ \|){6})$", re.MULTILINE
)


def test_the_page_gives_the_costs() -> None:
    page = (Path(__file__).parents[3] / "docs" / "dialects.md").read_text()
    rows = ROW.findall(page.partition("## What it costs")[2])
    assert len(rows) == 6
    for rule, eps, correction, cells, _ in rows:
        costs = (
            cost(Dialect(rule, correction), scale, eps=float(eps) if eps else None)[-1].path
            for scale in (1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1.0)
        )
        assert cells.strip(" |").split(" | ") == [ratio(float(each)) for each in costs]


@pytest.mark.parametrize(
    ("scale", "steps", "text"),
    [(0.0, 1, "scale = 0.0"), (float("nan"), 1, "scale = nan"), (1.0, 0, "steps = 0")],
)
def test_domains(scale: float, steps: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        cost(Dialect(), scale, steps)
