"""The alternatives: the page lists them, and the probe distinguishes every two."""

from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gmpy2 import mpq

from adamax_conformance.bounds.carried import Carried
from adamax_conformance.bounds.oracle import admitted, with_numbers
from adamax_conformance.dialects import KNOWN_AS, Dialect, probe
from adamax_conformance.dialects.axes import (
    AXES,
    CORRECTION,
    EPS,
    START,
)
from adamax_conformance.dialects.generic import modulus, square_root
from adamax_conformance.spec.clauses import CLAUSES
from adamax_conformance.spec.formats import FLOAT32, format_of
from adamax_core import CANONICAL, Hyperparameters

# The package exports the function of the same name.
PAGE = (Path(__file__).parents[3] / "docs" / "dialects.md").read_text()


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_the_page_lists_every_alternative_with_its_formula(axis: Any) -> None:
    section = PAGE.split(f"\n## {axis.name}\n")[1].split("\n## ")[0]
    assert axis.clause in section
    assert axis.clause in [clause.id for clause in CLAUSES]
    assert axis.specified in axis.alternatives
    for name, alternative in axis.alternatives.items():
        bold = f"**{name}**" if name == axis.specified else name
        cells = [bold, alternative.formula.replace("|", r"\|"), alternative.who]
        assert f"| {' | '.join(cells)} |".replace("|  |", "| |") in section


def test_names_of_implementations_are_of_alternatives_that_exist() -> None:
    for eps, correction in KNOWN_AS:
        assert eps in EPS.alternatives
        assert correction in CORRECTION.alternatives
    assert Dialect("outside", "none").known_as == ("MLX",)
    assert Dialect("floor").known_as == ()


def test_without_changes_a_dialect_is_the_canonical_rule() -> None:
    hp = Hyperparameters(weight_decay=0.25, maximize=True)
    p, g, m, u = (np.array([x, -x]) for x in (1.0, 0.5, 0.25, 2.0))
    for step in (0, 3):
        ours, theirs = Dialect()(p, g, m, u, step, hp), CANONICAL(p, g, m, u, step, hp)
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_roots_that_carry_an_error_hold_the_root_of_everything_they_may_be() -> None:
    x = Carried(np.array([mpq(2), mpq(9, 4), mpq(0)]),
                np.array([mpq(1, 8), mpq(0), mpq(0)]), FLOAT32)  # fmt: skip
    root = square_root(x)
    assert root.value[1:].tolist() == [mpq(3, 2), 0]
    assert abs(root.value[0] ** 2 - 2) < mpq(1, 2**200)
    for each in (x.value - x.error, x.value + x.error):
        assert all((root.value + root.error) ** 2 >= each)
        assert all(np.maximum(root.value - root.error, 0) ** 2 <= each)


def test_modulus_is_that_of_pairs() -> None:
    assert modulus(np.array([[3.0, -4.0], [0.0, 2.0]])).tolist() == [[5, 5], [2, 2]]
    exact = modulus(Carried.of(np.array([[5.0, 12.0]]), FLOAT32))
    assert exact.value.tolist() == [[13, 13]]


SAME = {frozenset(pair) for pair in (("zero", "norm of eps"),)}
"""max(b2 eps, |g| + eps) is |g| + eps, and max(b2 eps, |g|, eps) is max(|g|, eps)."""

CLOSE = {("twice", "square root"), ("twice", "one late")}
"""Of these, which no known implementation computes, the bounds in bfloat16 overlap by 3 percent."""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_any_two_rules_are_further_apart_than_their_bounds(dtype: str) -> None:
    """Only narrow formats matter: in wide ones the values are the same and all bounds smaller.

    Both rules step from the parameters of the backend, which must be within reach of both.
    """
    names = list(product(EPS.alternatives, CORRECTION.alternatives, START.alternatives))
    traces = {name: _Trace(Dialect(*name), dtype) for name in names}
    for one, other in combinations(names, 2):
        same = one[:2] == other[:2] and frozenset((one[2], other[2])) in SAME
        close = dtype == "bfloat16" and {one[:2], other[:2]} == CLOSE
        if not (same and one[0] in ("inside", "twice", "floor")) and not close:
            assert traces[one].differs(traces[other]), (one, other)


class _Trace:
    """The updates of a dialect on the probe, their bounds, and the reach of earlier steps."""

    def __init__(self, dialect: Dialect, dtype: str) -> None:
        format_ = format_of(dtype)
        self.unit = format_.unit
        base = admitted(format_, accurate_correction=False)
        hp = with_numbers(probe.PROBE, mpq)
        zero = exp_avg = exp_inf = Carried.of(np.zeros(len(probe.GRADS[0])), format_)
        self.reach, updates, reach = [], [], zero.value
        for count, row in enumerate(probe.GRADS):
            grad = Carried.of(np.array(row), format_)
            step = dialect(zero, grad, exp_avg, exp_inf, count, hp, base)
            exp_avg, exp_inf = step.exp_avg, step.exp_inf
            updates.append(step.update.stored(format_))
            self.reach += list(reach)
            after = Carried.of(reach, format_) + abs(updates[-1])
            reach = after.value + after.error
        self.value = [value for update in updates for value in update.value]
        self.error = [error for update in updates for error in update.error]
        self.floats = np.array(self.value, float)
        self.bounds = np.array([self.bound(i, reach) for i, reach in enumerate(self.reach)], float)

    def bound(self, index: int, reach: mpq) -> mpq:
        """Return the bound of the next parameter, from one of this size."""
        error, value = self.error[index], self.value[index]
        return mpq(error + self.unit * (reach + abs(value) + error))

    def differs(self, other: "_Trace") -> bool:
        """Are two intervals disjoint somewhere? Floats choose the element, rationals decide.

        The parameter is within the reach of both dialects, since both fit the earlier steps.
        """
        apart = abs(self.floats - other.floats) / (self.bounds + other.bounds)
        for index in np.argsort(apart)[::-1][:6]:
            reach = min(self.reach[index], other.reach[index])
            bounds = self.bound(index, reach) + other.bound(index, reach)
            if abs(self.value[index] - other.value[index]) > bounds:
                return True
        return False
