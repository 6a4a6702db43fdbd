"""`check`: judge one backend by every case."""

from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np

from adamax_conformance.backend import Backend
from adamax_conformance.case import PLAIN, Case, Data
from adamax_conformance.cases import CASES
from adamax_conformance.clauses import CLAUSES
from adamax_conformance.formats import COMPLEX, DTYPES, FLOATS, dtype_of
from adamax_conformance.judge import Finding, Violation
from adamax_conformance.registry import find, require_backend
from adamax_conformance.report import Report, Result, Status
from adamax_conformance.watched import BackendError, Watched


def selected(clauses: Iterable[str] | None, dtypes: Iterable[str] | None) -> list[tuple[Case, str]]:
    """The cases of these clauses in these dtypes, in the order of the specification.

    Raises:
        ValueError: an unknown clause or dtype.
    """
    known = [clause.id for clause in CLAUSES]
    wanted_clauses = [clauses] if isinstance(clauses, str) else list(clauses or known)
    wanted_dtypes = [dtypes] if isinstance(dtypes, str) else list(dtypes or DTYPES)
    for unknown in (c for c in wanted_clauses if c not in known):
        raise ValueError(f"unknown clause {unknown!r}: there are {', '.join(known)}")
    for unknown in (d for d in wanted_dtypes if d not in DTYPES):
        raise ValueError(f"unknown dtype {unknown!r}: there are {', '.join(DTYPES)}")
    return [
        (case, dtype)
        for case in CASES
        for dtype in case.dtypes
        if case.clause in wanted_clauses and dtype in wanted_dtypes
    ]


def check(
    backend: Backend | str,
    *,
    clauses: Collection[str] | None = None,
    dtypes: Collection[str] | None = None,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> Report:
    """Judge a backend by docs/spec.md; never raises for what the backend does.

    Args:
        backend: a `Backend`, or a name that `adamax_conformance.registry.find` knows.
        clauses: only these, such as ``["A-5", "N-1"]``; all by default.
        dtypes: only these of `DTYPES`; all by default.
        seed: of the data. The data of a case depend on nothing but it, the case and the dtype.
        advance: called after each case and dtype.

    Raises:
        ValueError: an unknown clause or dtype, or a negative seed.
        TypeError: what is no backend.
        BackendNotFoundError: a name that is not a backend.
        BackendBrokenError: a name whose backend cannot be imported.

    >>> report = check("numpy", clauses=["A-5"], dtypes=["float32"])
    >>> report.conformant, len(report.results)
    (True, 3)
    """
    chosen = selected(clauses, dtypes)
    if seed < 0:
        raise ValueError(f"seed = {seed} is negative")
    subject = find(backend) if isinstance(backend, str) else require_backend(backend)
    watched = Watched(subject)
    unknown = _unknown_deviations(subject)
    broken = f"deviations of unknown cases: {', '.join(unknown)}" if unknown else _smoke(watched)
    results = []
    for case, dtype in chosen:
        results.append(_result(watched, case, dtype, seed, broken))
        advance()
    wanted = {case.clause for case, _ in chosen}
    return Report(
        backend=subject.name,
        results=tuple(results),
        required=tuple(c.id for c in CLAUSES if c.required and c.id in wanted),
        broken=broken,
        visible=watched.visible,
    )


def _smoke(backend: Watched) -> str:
    """Why the backend cannot take one plain step, or nothing: a broken harness is no wrong rule."""
    widest_first = (*FLOATS[::-1], *COMPLEX)
    dtype = next((name for name in widest_first if name in backend.backend.dtypes), None)
    if dtype is None:
        return f"no dtype of {', '.join(DTYPES)} among those of the backend"
    params = {"w": np.ones(3, dtype_of(dtype))}
    try:
        state = backend.init(params, PLAIN)
        backend.moments(params, state)
        stepped, state = backend.step(params, {"w": params["w"].copy()}, state, PLAIN)
        backend.moments(stepped, state)
    except BackendError as error:
        return f"the smoke test, one {dtype} step: {error}"
    return ""


def _reason(deviations: Mapping[str, str], case: Case, dtype: str) -> str | None:
    for key in (f"{case.id}[{dtype}]", case.id, case.clause):
        if key in deviations:
            return deviations[key]
    return None


def _unknown_deviations(subject: Backend) -> list[str]:
    known = {clause.id for clause in CLAUSES} | {case.id for case in CASES}
    known |= {f"{case.id}[{dtype}]" for case in CASES for dtype in case.dtypes}
    return sorted(set(subject.deviations) - known)


def _result(backend: Watched, case: Case, dtype: str, seed: int, broken: str) -> Result:
    absent = sorted(case.features - backend.features)
    if dtype not in backend.backend.dtypes:
        absent = [dtype]
    found = Finding()
    if absent:
        status, message = Status.UNSUPPORTED, f"no {', '.join(absent)}"
    elif broken:
        status, message = Status.ERROR, broken
    else:
        status, message, found = _outcome(backend, case, dtype, seed)
    return Result(case.id, case.clause, dtype, status, message, found.elements, found.used)


def _outcome(backend: Watched, case: Case, dtype: str, seed: int) -> tuple[Status, str, Finding]:
    """How a case goes that applies; a known deviation has to show."""
    known = _reason(backend.backend.deviations, case, dtype)
    try:
        # The judge's own arithmetic meets infinities on purpose.
        with np.errstate(all="ignore"):
            finding = case.body(backend, Data(dtype, seed, case.id))
    except (Violation, BackendError) as problem:
        if known is not None:
            return Status.DEVIATION, f"{known} ({problem})", Finding()
        status = Status.FAIL if isinstance(problem, Violation) else Status.ERROR
        return status, str(problem), Finding()
    if known is not None:
        return Status.FAIL, f"passed, but is known to deviate: {known}", finding
    if not finding.elements:
        return Status.UNSUPPORTED, "nothing to compare: the state is not shown", finding
    return Status.PASS, "", finding
