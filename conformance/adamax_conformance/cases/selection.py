"""The cases to run, by clause, dtype and id."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from adamax_conformance.cases import CASES
from adamax_conformance.cases.case import Case
from adamax_conformance.spec.clauses import CLAUSES
from adamax_conformance.spec.formats import DTYPES


def selected(
    clauses: Iterable[str] | None = None,
    dtypes: Iterable[str] | None = None,
    cases: Iterable[str] | None = None,
) -> list[tuple[Case, str]]:
    """The cases of these clauses in these dtypes, in the order of the specification.

    A case whose dtype does not matter runs in float32, or else in the first that is wanted.

    Args:
        clauses: such as ``A-5``; all by default.
        dtypes: of `DTYPES`; all by default.
        cases: such as ``A-5/decays`` or ``A-5/decays[float32]``; all by default.

    Raises:
        ValueError: an unknown clause, dtype or case.
    """
    every = [(case, dtype) for case in CASES for dtype in _possible(case)]
    ids = {f"{case.id}[{dtype}]" for case, dtype in every} | {case.id for case in CASES}
    wanted_clauses = require_known(clauses, [clause.id for clause in CLAUSES], "clause")
    wanted_dtypes = require_known(dtypes, DTYPES, "dtype")
    wanted_cases = require_known(cases, ids, "case")
    found = [
        (case, dtype)
        for case, dtype in every
        if case.clause in wanted_clauses
        and dtype in wanted_dtypes
        and (case.id in wanted_cases or f"{case.id}[{dtype}]" in wanted_cases)
    ]
    first = {case.id: dtype for case, dtype in reversed(found)}
    return [(case, dtype) for case, dtype in found if not case.any_dtype or dtype == first[case.id]]


def require_known(
    wanted: Iterable[str] | None, known: Collection[str], what: str
) -> Collection[str]:
    """Return the wanted names, all by default; raise ValueError for one that is not known."""
    chosen = [wanted] if isinstance(wanted, str) else list(wanted or known)
    for unknown in (each for each in chosen if each not in known):
        near = ", ".join(get_close_matches(unknown, known)) or "those that `list cases` shows"
        choices = near if what == "case" else ", ".join(known)
        raise ValueError(f"unknown {what} {unknown!r}: choose from {choices}")
    return chosen


def _possible(case: Case) -> Iterable[str]:
    return dict.fromkeys((*case.dtypes, *DTYPES)) if case.any_dtype else case.dtypes
