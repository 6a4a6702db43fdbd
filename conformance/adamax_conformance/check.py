"""`check`: judge one backend by all cases."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from adamax_conformance.cases import CASES
from adamax_conformance.cases.case import PLAIN, Case, Data
from adamax_conformance.dialects.diagnose import diagnose
from adamax_conformance.judging.finding import Violation
from adamax_conformance.judging.shrink import smallest
from adamax_conformance.registry import find, require_backend
from adamax_conformance.reports.expectations import Expectation, Expectations, load
from adamax_conformance.reports.report import Report
from adamax_conformance.reports.result import Result, Status
from adamax_conformance.spec.clauses import CLAUSES
from adamax_conformance.spec.formats import COMPLEX, DTYPES, FLOATS, dtype_of
from adamax_conformance.subject.backend import Backend
from adamax_conformance.subject.blame import blamed, first_line
from adamax_conformance.subject.watched import BackendError, Watched


def selected(
    clauses: Iterable[str] | None = None,
    dtypes: Iterable[str] | None = None,
    cases: Iterable[str] | None = None,
) -> list[tuple[Case, str]]:
    """The cases of these clauses in these dtypes, in the order of the specification.

    Args:
        clauses: such as ``A-5``; all by default.
        dtypes: of `DTYPES`; all by default.
        cases: such as ``A-5/decays`` or ``A-5/decays[float32]``; all by default.

    Raises:
        ValueError: an unknown clause, dtype or case.
    """
    every = [(case, dtype) for case in CASES for dtype in case.dtypes]
    ids = {f"{case.id}[{dtype}]" for case, dtype in every} | {case.id for case in CASES}
    wanted_clauses = _known(clauses, [clause.id for clause in CLAUSES], "clause")
    wanted_dtypes = _known(dtypes, DTYPES, "dtype")
    wanted_cases = _known(cases, ids, "case")
    return [
        (case, dtype)
        for case, dtype in every
        if case.clause in wanted_clauses
        and dtype in wanted_dtypes
        and (case.id in wanted_cases or f"{case.id}[{dtype}]" in wanted_cases)
    ]


def _known(wanted: Iterable[str] | None, known: Collection[str], what: str) -> Collection[str]:
    chosen = [wanted] if isinstance(wanted, str) else list(wanted or known)
    for unknown in (each for each in chosen if each not in known):
        near = ", ".join(get_close_matches(unknown, known)) or "those that `list cases` shows"
        choices = near if what == "case" else ", ".join(known)
        raise ValueError(f"unknown {what} {unknown!r}: choose from {choices}")
    return chosen


def check(
    backend: Backend | str,
    *,
    clauses: Collection[str] | None = None,
    dtypes: Collection[str] | None = None,
    cases: Collection[str] | None = None,
    seed: int = 0,
    expect: Expectations | Path | str | None = None,
    investigate: bool = True,
    advance: Callable[[], None] = lambda: None,
) -> Report:
    """Judge a backend by docs/spec.md; never raises for what the backend does.

    Args:
        backend: a `Backend`, or a name that `adamax_conformance.registry.find` knows.
        clauses: only these, such as ``["A-5", "N-1"]``; all by default.
        dtypes: only these of `DTYPES`; all by default.
        cases: only these, such as ``["A-5/decays[float32]"]``; all by default.
        seed: seed of the data, which depend only on the seed, the case and the dtype.
        expect: known deviations, or the path of a file of them, in addition to those that the
            backend declares.
        investigate: after a failure, search for the smallest run that shows it, and for the
            dialect that the backend computes.
        advance: called after each case and dtype.

    Raises:
        ValueError: an unknown clause, dtype or case, or a negative seed; an `ExpectationError`.
        TypeError: the object is not a backend.
        BackendNotFoundError: no backend has this name.
        BackendBrokenError: the backend of this name cannot be imported.

    >>> report = check("numpy", clauses=["A-5"], dtypes=["float32"])
    >>> str(report.verdict), len(report.results)
    ('passes in part', 3)
    """
    chosen = selected(clauses, dtypes, cases)
    subject = Subject(backend, seed=seed, expect=expect)
    results = []
    for case, dtype in chosen:
        results.append(subject.judge(case, dtype))
        advance()
    report = subject.report(results)
    return subject.investigated(report) if investigate else report


class Subject:
    """A backend under judgement: the smoke test runs once, then case after case.

    Attributes:
        name: name of the backend.
    """

    def __init__(
        self,
        backend: Backend | str,
        *,
        seed: int = 0,
        expect: Expectations | Path | str | None = None,
    ) -> None:
        """Arguments and errors are those of `check`."""
        if seed < 0:
            raise ValueError(f"seed = {seed} is negative")
        if isinstance(expect, Path | str):
            expect = load(Path(expect))
        subject = find(backend) if isinstance(backend, str) else require_backend(backend)
        own = Expectations.of_deviations(subject.deviations)
        self.name = subject.name
        self._named = backend if isinstance(backend, str) else ""
        self._seed = seed
        self._known = own | (expect or Expectations())
        self._backend = Watched(subject)
        unknown = ", ".join(own.unknown)
        self._broken = (
            f"deviations of unknown cases: {unknown}" if unknown else _smoke(self._backend)
        )

    def judge(self, case: Case, dtype: str) -> Result:
        """Judge one case in one dtype."""
        known = self._known.of(case.id, dtype)
        return _result(self._backend, case, dtype, self._seed, self._broken, known)

    def report(self, results: Sequence[Result]) -> Report:
        """Return the report of these results."""
        wanted = {result.clause for result in results}
        return Report(
            backend=self.name,
            results=tuple(results),
            required=tuple(c.id for c in CLAUSES if c.required and c.id in wanted),
            broken=self._broken,
            visible=self._backend.visible,
            seed=self._seed,
            named=self._named,
            partial=len(results) < len(selected()),
        )

    def investigated(self, report: Report) -> Report:
        """Add the dialect, and the smallest failing run of the first failure of each clause."""
        results, seen = [], set[str]()
        for result in report.results:
            minimal = None
            if result.status is Status.FAIL and result.minimal and result.clause not in seen:
                seen.add(result.clause)
                minimal = smallest(self._backend, result.minimal)
            results.append(replace(result, minimal=minimal))
        # A wrong run may be that of a dialect; a missing refusal is not.
        diagnosis = ""
        if seen:
            dialect = diagnose(self._backend.backend)
            elsewhere = "the backend computes the canonical rule; the fault is elsewhere"
            diagnosis = elsewhere if dialect.canonical else dialect.sentence
        return replace(report, results=tuple(results), diagnosis=diagnosis)


def _smoke(backend: Watched) -> str:
    """Return why the backend cannot take one plain step; empty if it can.

    A broken harness is not a wrong rule.
    """
    widest_first = (*FLOATS[::-1], *COMPLEX)
    dtype = next((name for name in widest_first if name in backend.backend.dtypes), None)
    if dtype is None:
        return f"the dtypes of the backend include none of {', '.join(DTYPES)}"
    params = {"w": np.ones(3, dtype_of(dtype))}
    try:
        state = backend.init(params, PLAIN)
        backend.moments(params, state)
        stepped, state = backend.step(params, {"w": params["w"].copy()}, state, PLAIN)
        backend.moments(stepped, state)
    except BackendError as error:
        return f"the smoke test, one {dtype} step: {error}"
    return ""


def _result(
    backend: Watched, case: Case, dtype: str, seed: int, broken: str, known: Expectation | None
) -> Result:
    """Judge one case in one dtype."""
    result = Result(case.id, case.clause, dtype, Status.PASS, expected=known)
    if (why := _not_run(backend, case, dtype, broken, known)) is not None:
        status, message = why
        return replace(result, status=status, message=message)
    try:
        # The judge computes with infinities on purpose.
        with np.errstate(all="ignore"):
            finding = case.body(backend, Data(dtype, seed, case.id))
    except Violation as problem:
        return replace(
            _as_known(result, Status.FAIL, str(problem)),
            elements=problem.elements,
            trace=problem.trace,
            bound_used=max(problem.trace, default=0.0),
            divergence=problem.divergence,
            minimal=problem.trial,
        )
    except (Exception, SystemExit) as problem:  # noqa: BLE001 - a stranger's objects may do anything
        return _as_known(result, Status.ERROR, _error_message(problem))
    result = replace(
        result, elements=finding.elements, bound_used=finding.used, trace=finding.trace
    )
    if known is not None:
        message = f"passed, but is known to deviate: {known}"
        return replace(result, status=Status.XPASS, message=message)
    if not finding.elements:
        message = "not judged: needs `moments`, which this backend does not provide"
        return replace(result, status=Status.UNSUPPORTED, message=message)
    return result


def _error_message(problem: BaseException) -> str:
    """Return the message of an error in the backend, or in judging what the backend returned."""
    if isinstance(problem, BackendError):
        return str(problem)
    kind = type(problem).__name__
    return f"cannot judge what the backend returned: {kind}: {first_line(problem)}{blamed(problem)}"


def _not_run(
    backend: Watched, case: Case, dtype: str, broken: str, known: Expectation | None
) -> tuple[Status, str] | None:
    """Return the status and the reason if the case does not run, else None."""
    absent = sorted(case.features - backend.features)
    wanted = [dtype, *([case.beside[dtype]] if dtype in case.beside else [])]
    if other := [each for each in wanted if each not in backend.backend.dtypes]:
        absent = other
    if absent:
        return Status.UNSUPPORTED, f"no {', '.join(absent)}"
    if broken:
        return Status.BLOCKED, broken
    if known is not None and known.status == "skip":
        return Status.SKIPPED, str(known)
    return None


def _as_known(result: Result, status: Status, message: str) -> Result:
    """Return the failed result; an expectation that fits makes it an expected failure."""
    known = result.expected
    if known is None:
        return replace(result, status=status, message=message)
    if known.status in (None, status):
        return replace(result, status=Status.XFAIL, message=f"{known} ({message})")
    return replace(result, status=status, message=f"{message}; expected {known.status}: {known}")
