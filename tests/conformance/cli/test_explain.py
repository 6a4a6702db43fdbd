"""`explain`: the words of the document, the derivation, and the variants that are caught."""

import pytest
from typer.testing import CliRunner

from adamax_conformance.cases import CASES
from adamax_conformance.cases.case import Case
from adamax_conformance.cli import app
from adamax_conformance.cli import explanation as explain
from adamax_conformance.spec.clauses import CLAUSES, Clause


def explained(name: str) -> str:
    result = CliRunner().invoke(app, ["explain", name])
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_clause_is_explained_by_its_words_cases_bounds_and_variants() -> None:
    text = explained("A-5")
    for part in (
        "A-5 infinity norm (required)",
        "eps is inside the maximum, added to $|g|$ alone",
        "A-5/decays One large gradient",
        "eps-outside",
        "A float is an exact rational",
    ):
        assert part in text


def test_case_is_explained_by_its_bound_and_what_it_kills() -> None:
    text = explained("A-5/eps-inside-the-maximum[bfloat16]")
    for part in (
        "An eps of the size of the gradients",
        "in bfloat16; w is half a unit",
        "max(beta2 u, |g| + eps)",
        "4 w of it",
        "eps-outside (A-5)",
    ):
        assert part in text
    assert "maximize-ignored" not in text


def test_case_that_is_no_run_has_no_bound() -> None:
    text = explained("H-1/negative")
    assert "The bound" not in text
    assert "lr = -0.5 is outside the domain" in text


@pytest.mark.parametrize("name", ["A-99", "A-5/gone", "A-5/decays[int8]", ""])
def test_unknown_name_says_where_they_are(name: str) -> None:
    result = CliRunner().invoke(app, ["explain", name])
    assert result.exit_code == 2
    assert "`adamax-conformance list clauses`" in " ".join(result.output.split())


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.id)
def test_every_clause_has_words_without_its_list_of_cases(clause: Clause) -> None:
    words = clause.words
    assert len(words) > 20
    assert "Cases:" not in words
    assert "###" not in words


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_run_has_an_example_and_nothing_else_has(case: Case) -> None:
    for dtype in case.dtypes:
        assert (explain.example(case, dtype) is None) == (case.trial is None)
