"""`check`: judge one backend by all cases."""

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import adamax_conformance_supervisor as supervisor
from adamax_conformance.cases.case import Case, Data
from adamax_conformance.cases.selection import require_known, selected
from adamax_conformance.cases.smoke import unfit
from adamax_conformance.dialects.diagnose import diagnose
from adamax_conformance.dialects.dialect import FOUND_NAME, Dialect
from adamax_conformance.investigation.investigate import investigated
from adamax_conformance.judging.finding import Finding, NotJudged, Violation
from adamax_conformance.registry import find, require_backend
from adamax_conformance.reports.environment import environment
from adamax_conformance.reports.expectations import Expectation, Expectations, load
from adamax_conformance.reports.report import PROFILES, Report
from adamax_conformance.reports.result import Result, Status
from adamax_conformance.spec.alteration import CANONICAL_NAME, UNALTERED
from adamax_conformance.spec.clauses import CLAUSES
from adamax_conformance.subject.backend import Backend
from adamax_conformance.subject.blame import PLEASE_REPORT, blamed, first_line, location
from adamax_conformance.subject.limits import HIDDEN, NotOfferedError
from adamax_conformance.subject.printable import printable
from adamax_conformance.subject.watched import BackendError, MalformedError, Watched


def check(
    backend: Backend | str,
    *,
    clauses: Collection[str] | None = None,
    dtypes: Collection[str] | None = None,
    cases: Collection[str] | None = None,
    seed: int = 0,
    expect: Expectations | Path | str | None = None,
    dialect: Dialect | str = CANONICAL_NAME,
    profile: str = "optimizer",
    investigate: bool = True,
    known: bool = False,
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
            backend declares. Under a dialect, one that passes passes.
        dialect: the dialect to judge by: ``canonical``, the specification; ``found``, the one that
            `diagnose` finds, or the specification if it finds none; ``AXIS=NAME,...``, such as
            ``eps=outside,bias-correction=none``; or a `Dialect`.
        profile: what must hold: ``optimizer``, all; ``kernel``, the arithmetic. All cases run.
        investigate: after a failure, search for the smallest run that shows it, and for the
            dialect that the backend computes.
        known: also search for the smallest run of each known deviation.
        advance: called after each case and dtype.

    Raises:
        ValueError: an unknown clause, dtype, case, dialect or profile, or a negative seed; an
            `ExpectationError`.
        TypeError: the object is not a backend.
        BackendNotFoundError: no backend has this name.
        BackendBrokenError: the backend of this name cannot be imported.

    >>> report = check("numpy", clauses=["A-5"], dtypes=["float32"])
    >>> str(report.verdict), len(report.results)
    ('passes in part', 4)
    >>> from adamax_conformance.subjects.reference import backend
    >>> keras = backend(Dialect("outside"), "keras")
    >>> str(check(keras, clauses=["A-5"], dtypes=["float32"], dialect="found").verdict)
    'passes in part'
    """
    chosen = selected(clauses, dtypes, cases)
    subject = Subject(backend, seed=seed, expect=expect, dialect=dialect, profile=profile)
    results = []
    for case, dtype in chosen:
        results.append(subject.judge(case, dtype))
        advance()
    report = subject.report(results)
    return subject.investigated(report, known=known) if investigate else report


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
        dialect: Dialect | str = CANONICAL_NAME,
        profile: str = "optimizer",
    ) -> None:
        """Arguments and errors are those of `check`."""
        if seed < 0:
            raise ValueError(f"seed = {seed} is negative")
        require_known([profile], PROFILES, "profile")
        if isinstance(dialect, str) and dialect != FOUND_NAME:
            dialect = Dialect.of(dialect)
        if isinstance(expect, Path | str):
            expect = load(Path(expect))
        subject = find(backend) if isinstance(backend, str) else require_backend(backend)
        self.name = subject.name
        self._named = backend if isinstance(backend, str) else ""
        self._seed = seed
        self._profile = profile
        self._backend = Watched(subject)
        self._known = expect or Expectations()
        try:
            own = Expectations.of_deviations(self._backend.deviations)
            self._known = own | self._known
            unknown = ", ".join(own.unknown)
            self._broken = f"deviations of unknown cases: {unknown}" if unknown else ""
        except BackendError as error:
            self._broken = str(error)
        self._blocked: dict[str, str] = {}
        if not self._broken:
            self._broken, self._blocked = unfit(self._backend)
        self._diagnosed = None
        if not isinstance(dialect, Dialect):
            self._diagnosed = diagnose(subject)
            dialect = self._diagnosed.dialect or Dialect()
        self._dialect = dialect
        if dialect != Dialect():
            self._backend.alteration = dialect

    def judge(self, case: Case, dtype: str) -> Result:
        """Judge one case in one dtype."""
        dtype = case.dtype_for(dtype, self._backend.backend.dtypes)
        supervisor.note(f"{case.id}[{dtype}] of {printable(self.name)}")
        known = self._known.of(case.id, dtype)
        dtypes = (dtype, case.beside.get(dtype, ""))
        blocked = self._broken or next(filter(None, map(self._blocked.get, dtypes)), "")
        return _result(self._backend, case, dtype, self._seed, blocked, known)

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
            dialect=str(self._dialect),
            phrase=self._dialect.phrase,
            profile=self._profile,
            language=getattr(self._backend.backend, "language", ""),
            packages=getattr(self._backend.backend, "packages", {}),
            default_eps=getattr(self._backend.backend, "default_eps", None),
            date=datetime.now(UTC).date().isoformat(),
            unfound=self._diagnosed is not None and self._diagnosed.dialect is None,
            environment=environment(),
        )

    def investigated(self, report: Report, *, known: bool = False) -> Report:
        """Add the diagnosis, and the smallest failing run of the first failure of each clause."""
        return investigated(report, self._backend, self._dialect, self._diagnosed, known=known)


def _result(
    backend: Watched, case: Case, dtype: str, seed: int, blocked: str, known: Expectation | None
) -> Result:
    """Judge one case in one dtype."""
    result = Result(case.id, case.clause, dtype, Status.PASS, expected=known)
    if (why := _not_run(backend, case, dtype, blocked, known)) is not None:
        status, message = why
        return replace(result, status=status, message=message)
    try:
        finding = _found(backend, case, Data(dtype, seed, case.id))
    except (NotJudged, NotOfferedError) as absent:
        return _unsupported(backend, case, Data(dtype, seed, case.id), result, absent)
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
        return _erroneous(result, problem)
    result = replace(
        result, elements=finding.elements, bound_used=finding.used, trace=finding.trace
    )
    if known is not None and backend.alteration == UNALTERED:
        message = f"passed, but is known to deviate: {known}"
        return replace(result, status=Status.XPASS, message=message)
    return result


def _erroneous(result: Result, problem: BaseException) -> Result:
    """Return the result of a case that raised: the fault of the backend, or of the judge itself."""
    if not isinstance(problem, BackendError) and not location(problem):
        what = f"{type(problem).__name__}: {first_line(problem)}"
        message = f"the judge failed: {what}; {PLEASE_REPORT}"
        return replace(result, status=Status.UNJUDGED, message=message)
    status = Status.REFUSED if _refused(problem) else Status.ERROR
    return _as_known(result, status, _error_message(problem))


def _found(backend: Watched, case: Case, data: Data) -> Finding:
    """Judge a case; what it needs and does not find is not offered."""
    if case.digits:
        backend.limits.require_digits()
    # The judge computes with infinities on purpose.
    with np.errstate(all="ignore"):
        finding = case.body(backend, data)
    if not finding.elements:
        raise NotOfferedError(HIDDEN)
    return finding


def _unsupported(
    backend: Watched, case: Case, data: Data, result: Result, absent: Exception
) -> Result:
    """Return the result of a case that is not judged; one that passes in spite of a limit fails."""
    unsupported = replace(result, status=Status.UNSUPPORTED)
    if isinstance(absent, NotJudged):
        return replace(unsupported, message=f"not judged: {absent}")
    limit = str(absent)
    # A backend that refuses bad values by itself need not let good ones change.
    if limit != HIDDEN and not case.any_dtype:
        with contextlib.suppress(Exception, SystemExit):
            _found(backend.unlimited(), case, data)
            message = f"passed, but the backend declares that it does not offer {limit}"
            return replace(result, status=Status.XPASS, message=message)
    return replace(unsupported, message=f"not offered: {limit}", limit=limit)


def _refused(problem: BaseException) -> bool:
    """Has the backend refused a valid argument, and not broken down?"""
    if not isinstance(problem, BackendError) or isinstance(problem, MalformedError):
        return False
    return isinstance(problem.cause, ValueError | TypeError | NotImplementedError)


def _error_message(problem: BaseException) -> str:
    """Return the message of an error in the backend, or in judging what the backend returned."""
    if isinstance(problem, BackendError):
        return str(problem)
    kind = type(problem).__name__
    return f"cannot judge what the backend returned: {kind}: {first_line(problem)}{blamed(problem)}"


def _not_run(
    backend: Watched, case: Case, dtype: str, blocked: str, known: Expectation | None
) -> tuple[Status, str] | None:
    """Return the status and the reason if the case does not run, else None."""
    absent = sorted(case.features - backend.features)
    wanted = [dtype, *([case.beside[dtype]] if dtype in case.beside else [])]
    where = "features"
    if other := [each for each in wanted if each not in backend.backend.dtypes]:
        absent, where = other, "dtypes"
    if absent:
        return Status.UNSUPPORTED, f"no {', '.join(absent)}: not among the backend's `{where}`"
    if blocked:
        return Status.BLOCKED, blocked
    if known is not None and known.status == "skip":
        return Status.SKIPPED, str(known)
    return None


def _as_known(result: Result, status: Status, message: str) -> Result:
    """Return the failed result; an expectation that fits makes it an expected failure."""
    known = result.expected
    if known is None:
        return replace(result, status=status, message=message)
    # To a file of expectations a refusal is an error.
    if known.status in (None, "error" if status is Status.REFUSED else status):
        return replace(result, status=Status.XFAIL, message=f"{known} ({message})")
    return replace(result, status=status, message=f"{message}; expected {known.status}: {known}")
