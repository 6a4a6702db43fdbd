"""How the judge calls a backend."""

import warnings
from dataclasses import replace
from typing import Any

from adamax_conformance.check import check
from adamax_conformance.reports.result import Status
from adamax_conformance.subjects.reference import backend as reference


def test_warning_is_no_failure_whatever_the_program_makes_of_warnings() -> None:
    base = reference()

    def step(*args: Any) -> Any:
        warnings.warn("deprecated", stacklevel=1)
        return base.step(*args)

    report = check(replace(base, step=step), clauses=["A-7"], dtypes=["float32"])
    assert {result.status for result in report.results} <= {Status.PASS, Status.UNSUPPORTED}
