"""`parametrize`: one pytest test for each case in each dtype, in a backend's own test suite.

The plugin ``adamax_conformance_pytest``, which pytest loads by itself, prints the totals.
"""

import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from adamax_conformance.cases.case import Case
from adamax_conformance.cases.selection import selected
from adamax_conformance.check import Subject
from adamax_conformance.reports.expectations import Expectations, load
from adamax_conformance.reports.failure import describe, written
from adamax_conformance.reports.result import BAD, Result, Status
from adamax_conformance.subject.backend import Backend


class BoundCase:
    """A case in one dtype, bound to one backend; call it in the test.

    Attributes:
        conformance: the name of the backend and the status, after the case has run; the plugin
            counts these.
    """

    def __init__(self, suite: "_Suite", case: Case, dtype: str) -> None:
        self.suite = suite
        self.case = case
        self.dtype = dtype
        self.conformance: list[str] | None = None

    @property
    def id(self) -> str:
        """``CLAUSE/name[dtype]``, permanent."""
        return f"{self.case.id}[{self.dtype}]"

    def __call__(self) -> Result:
        """Judge the case; fail, skip or xfail the test by its status.

        Returns:
            The result, if the case passed.
        """
        import pytest  # noqa: PLC0415 - pytest is the caller's, not a dependency

        __tracebackhide__ = True
        subject = self.suite.subject
        result = subject.judge(self.case, self.dtype)
        self.conformance = [subject.name, result.status.value]
        if result.status in (*BAD, Status.BLOCKED, Status.UNJUDGED):
            report = subject.investigated(subject.report([result]))
            story = written(describe(report, report.results[0]))
            pytest.fail("\n".join([f"{result.id}: {result.message}", *story]), pytrace=False)
        if result.status is Status.XFAIL:
            pytest.xfail(result.message)
        if result.status in (Status.UNSUPPORTED, Status.SKIPPED):
            pytest.skip(result.message)
        return result


class _Suite:
    """The backend of one decorated test, created when its first case runs, not at collection."""

    def __init__(self, backend: Backend | str, seed: int, expect: Expectations | None) -> None:
        self._arguments = (backend, seed, expect)
        self._subject: Subject | None = None

    @property
    def subject(self) -> Subject:
        if self._subject is None:
            backend, seed, expect = self._arguments
            self._subject = Subject(backend, seed=seed, expect=expect)
        return self._subject


def parametrize(
    backend: Backend | str,
    *,
    expect: Path | str | None = None,
    clauses: Collection[str] | None = None,
    dtypes: Collection[str] | None = None,
    seed: int = 0,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Run the decorated test once for each case in each dtype; its argument is named ``case``.

    The ids of the tests are those of the cases and never change. So ``pytest -k`` and lists of
    known failures stay valid, and pytest-xdist can distribute the tests.

    Args:
        backend: a `Backend`, or a name that `adamax_conformance.registry.find` knows.
        expect: a TOML file of known deviations, relative to the file of the test.
        clauses: only these, such as ``["A-5", "N-1"]``.
        dtypes: only these of `adamax_conformance.DTYPES`.
        seed: seed of the data.

    Raises:
        ValueError: an unknown clause or dtype; `ExpectationError` for an invalid file.
        OSError: the file cannot be read.

    >>> @parametrize("numpy", clauses=["A-5"], dtypes=["float32"])
    ... def test_adamax(case):
    ...     case()
    >>> [each.id for each in test_adamax.pytestmark[0].args[1]][0]
    'A-5/eps-inside-the-maximum[float32]'
    """
    import pytest  # noqa: PLC0415 - pytest is the caller's, not a dependency

    chosen = selected(clauses, dtypes)

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        known = None
        if expect is not None:
            known = load(Path(inspect.getfile(test)).parent / expect)
        suite = _Suite(backend, seed, known)
        bound = [BoundCase(suite, case, dtype) for case, dtype in chosen]
        cases = [pytest.param(each, id=each.id) for each in bound]
        decorated: Callable[..., Any] = pytest.mark.parametrize("case", cases)(test)
        return decorated

    return decorate
