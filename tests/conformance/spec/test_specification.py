"""The document, the clauses and the cases say the same."""

import re
from pathlib import Path

import pytest

from adamax_conformance.cases import CASES
from adamax_conformance.spec.clauses import CLAUSES, Clause
from adamax_conformance.spec.formats import DTYPES, FLOATS
from adamax_conformance.subject.backend import FEATURES

ROOT = Path(__file__).parents[3]
SPEC = (ROOT / "docs" / "spec.md").read_text()
_BETWEEN = re.split(r"^### .*$", SPEC, flags=re.MULTILINE)[1:]
TEXTS = {clause.id: text for clause, text in zip(CLAUSES, _BETWEEN, strict=True)}


def test_every_heading_of_the_document_is_a_clause() -> None:
    assert SPEC.count("\n### ") == len(CLAUSES) == len({clause.id for clause in CLAUSES})
    assert SPEC.count("*(required)*\n") == sum(clause.required for clause in CLAUSES)
    assert all(clause.words and clause.title for clause in CLAUSES)
    words = "$t$ is zero before the first step and one in it."
    assert CLAUSES[2] == Clause("A-3", "count", required=True, words=words)


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.id)
def test_clause_names_its_cases_and_no_others_or_the_tests_that_show_it(clause: Clause) -> None:
    named = re.findall(rf"`({re.escape(clause.id)}/[a-z0-9-]+)`", TEXTS[clause.id])
    assert named == [case.id for case in CASES if case.clause == clause.id]
    tests = re.findall(r"`(tests/[a-z_/]+\.py)`", TEXTS[clause.id])
    assert bool(named) is not bool(tests)
    assert all(f"({clause.id})" in (ROOT / each).read_text() for each in tests)


def test_every_case_cites_a_clause_and_says_why_it_exists() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    for case in CASES:
        assert case.clause in TEXTS
        assert case.note.endswith("."), case.id
        assert case.features <= set(FEATURES)
        assert case.dtypes
        assert set(case.dtypes) <= set(DTYPES)


def test_required_clause_has_a_case_that_needs_no_feature() -> None:
    for clause in CLAUSES:
        mine = [case for case in CASES if case.clause == clause.id]
        plain = [case for case in mine if not case.features and set(case.dtypes) & set(FLOATS)]
        assert bool(plain) is clause.required, clause.id


def test_table_at_the_end_names_only_clauses() -> None:
    table = SPEC.partition("## Where implementations differ")[2]
    assert set(re.findall(r"[ASNHD]-\d+", table)) <= set(TEXTS)
