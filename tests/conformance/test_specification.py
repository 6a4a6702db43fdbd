"""The document, the clauses and the cases say the same."""

import re
from pathlib import Path

import pytest

from adamax_conformance.backend import FEATURES
from adamax_conformance.cases import CASES
from adamax_conformance.clauses import CLAUSES, Clause
from adamax_conformance.formats import DTYPES, FLOATS

SPEC = (Path(__file__).parents[2] / "docs" / "spec.md").read_text()
_HEADING = re.compile(r"^### ([A-Z]-\d+) (.*?)( \*\(required\)\*)?$", re.MULTILINE)
HEADINGS = {match[1]: match for match in _HEADING.finditer(SPEC)}


def text_of(clause: str) -> str:
    return re.split(r"^##+ ", SPEC[HEADINGS[clause].end() :], flags=re.MULTILINE)[0]


def test_document_and_code_have_the_same_clauses() -> None:
    assert [*HEADINGS] == [clause.id for clause in CLAUSES]
    for clause in CLAUSES:
        heading = HEADINGS[clause.id]
        assert (heading[2], heading[3] is not None) == (clause.title, clause.required)


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.id)
def test_clause_names_its_cases_and_no_others(clause: Clause) -> None:
    named = re.findall(rf"`({re.escape(clause.id)}/[a-z0-9-]+)`", text_of(clause.id))
    assert named == [case.id for case in CASES if case.clause == clause.id]
    assert named


def test_every_case_cites_a_clause_and_says_why_it_exists() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    for case in CASES:
        assert case.clause in HEADINGS
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
    assert set(re.findall(r"[ASNHD]-\d+", table)) <= set(HEADINGS)
