"""Which elements of an array are wrong, in words."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adamax_conformance import check
from adamax_conformance.judging.extent import change, extent, left_out
from adamax_conformance.reports.failure import describe
from adamax_conformance.subjects.reference import backend
from adamax_conformance.variants import WRONG
from adamax_core import CANONICAL
from wrong_kernels import kernel

BASE = backend()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (np.ones(20, bool), "all 20 of 20"),
        (np.ones((), bool), "the only one"),
        (np.zeros(3, bool), "none of 3"),
        (np.arange(13) >= 8, "the last 5 of 13"),
        (np.arange(13) == 12, "the last of 13"),
        (np.arange(13) < 2, "the first 2 of 13"),
        (np.arange(20) % 8 == 7, "2 of 20: every 8th from index 7"),
        ((np.arange(20) > 3) & (np.arange(20) < 8), "4 of 20: index 4 to 7"),
        (np.arange(12).reshape(3, 4) % 4 == 2, "3 of 12: index 2 of axis 1"),
        (np.arange(20).reshape(5, 4) // 4 % 2 == 1, "8 of 20: index 1, 3 of axis 0"),
        (np.isin(np.arange(9), (1, 2, 5)), "3 of 9"),
        (np.arange(5) == 2, "1 of 5"),
    ],
)
def test_words(wrong: Any, words: str) -> None:
    assert extent(wrong) == words


def test_failure_tells_which_elements_are_wrong() -> None:
    tail = next(each for each in WRONG if each.id == "tail-forgotten")
    report = check(tail.backend, cases=["S-9/longer[float32]"], investigate=False)
    found = report.results[0].divergence
    assert found is not None
    assert found.extent == "w: the last 5 of 131077"
    assert "; wrong in w: the last 5 of 131077" in report.results[0].message


@pytest.mark.parametrize(
    ("wrong", "unchanged", "left"),
    [
        (np.arange(13) >= 8, np.ones(13, bool), True),
        (np.arange(20) % 8 == 7, np.ones(20, bool), True),
        # All of an array, elements without order, and elements that moved.
        (np.ones(13, bool), np.ones(13, bool), False),
        (np.isin(np.arange(9), (1, 2, 5)), np.ones(9, bool), False),
        (np.arange(13) >= 8, np.arange(13) != 12, False),
        (np.zeros(3, bool), np.ones(3, bool), False),
    ],
)
def test_a_part_that_a_loop_leaves_out(wrong: Any, unchanged: Any, left: bool) -> None:
    assert left_out(wrong, unchanged) is left


def test_elements_without_order_are_evidence_of_a_rule_and_not_of_sizes() -> None:
    """A norm that stays zero where the gradient is negative is, in one of three, an end too."""
    report = check(kernel("no magnitude", "other beta"), clauses=["A-5", "S-9"], investigate=False)
    wrong = [each.divergence for each in report.results if each.divergence]
    assert any(each.left_out for each in wrong)
    assert report.suspect == "A-5"


def test_a_tail_that_is_not_stored_at_all_is_a_fault_of_sizes_and_not_of_the_first_line() -> None:
    report = check(kernel("tail not stored"), clauses=["A-4", "A-5", "S-9"], investigate=False)
    assert report.failed_clauses == ("A-4", "A-5", "S-9")
    assert report.suspect == "S-9"
    wrong = [each for each in report.results if each.divergence]
    assert all(each.divergence.left_out for each in wrong if each.divergence)
    assert all(each.message.endswith(", as before the step") for each in wrong)
    facts = {fact.name: fact.lines for fact in describe(report, wrong[0])}
    assert facts["wrong"] == ("b: the last 3 of 7, as before the step",)


def test_elements_that_a_wrong_rule_leaves_unchanged_are_a_fault_of_its_line() -> None:
    def kept(u: Any, g: Any, _b2: Any, eps: Any) -> Any:
        return np.maximum(u, abs(g) + eps)

    made = backend(CANONICAL._replace(infinity_norm=kept), "never-decays")
    report = check(made, clauses=["A-5", "S-9"], dtypes=["float32"], investigate=False)
    assert report.failed_clauses == ("A-5", "S-9")
    assert report.suspect == "A-5"


def test_failure_in_one_part_of_a_complex_number_is_one_of_its_element() -> None:
    conjugate = next(each for each in WRONG if each.id == "conjugate")
    report = check(conjugate.backend, cases=["A-9/pairs-of-reals[complex64]"], investigate=False)
    found = report.results[0].divergence
    assert found is not None
    assert " of 20" in found.extent


def test_a_change_of_bits_is_told_by_its_first_element() -> None:
    complex_, zero = np.array([1 + 2j, 3 + 4j]), np.array([0.0])
    found = change(complex_, np.array([1 + 2j, 3 - 4j]))
    assert found is not None
    assert (found.index, found.was, found.now) == ((1, 1), "4.0", "-4.0")
    assert found.extent == "the last of 2"
    assert change(zero, -zero) is not None
    assert change(zero * np.nan, zero * np.nan) is None
    other = change(zero, zero.astype(np.float32))
    assert other is not None
    assert (other.was, other.now) == ("float64 of shape (1,)", "float32 of shape (1,)")


def test_a_gradient_that_is_changed_is_told_by_one_element() -> None:
    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        after = BASE.step(params, grads, state, hp)
        for grad in grads.values():
            np.negative(grad, out=grad)
        return after

    report = check(replace(BASE, step=step, features=()), cases=["S-4/unchanged[float32]"])
    assert re.fullmatch(
        r"step 1, w\[0, 0\]: the gradient (\S+) was changed to -\1; changed in w: .* of 20",
        report.results[0].message,
    )
