"""The result of one case in one dtype."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from adamax_conformance.exchange.wire import encode_trial
from adamax_conformance.judging.finding import Divergence
from adamax_conformance.judging.run import Trial
from adamax_conformance.reports.expectations import Expectation


class Status(StrEnum):
    """The status of a case in a dtype."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    XFAIL = "xfail"
    XPASS = "xpass"
    UNSUPPORTED = "unsupported"
    SKIPPED = "skipped"
    ERROR = "error"
    BLOCKED = "blocked"


MEANINGS: Mapping[Status, str] = {
    Status.PASS: "the clause holds",
    Status.FAIL: "the clause does not hold",
    Status.XFAIL: "fails, as expected",
    Status.XPASS: "passes, but was expected to fail: the expectation is out of date",
    Status.UNSUPPORTED: "needs a dtype or a feature that the backend does not offer",
    Status.SKIPPED: "not run, because the file of expectations says so",
    Status.ERROR: "the backend raised, or gave a malformed answer",
    Status.BLOCKED: "not run, because the backend cannot take one plain step",
}
NOT_RUN = (Status.UNSUPPORTED, Status.SKIPPED, Status.BLOCKED)
BAD = (Status.FAIL, Status.ERROR, Status.XPASS)
"""Statuses that make a backend not conformant."""


@dataclass(frozen=True)
class Result:
    """One case in one dtype.

    Attributes:
        case: ``CLAUSE/name``.
        clause: the clause that it cites.
        dtype: dtype of the parameters.
        status: its status.
        message: the reason for the status, unless it passed.
        elements: number of numbers compared.
        bound_used: largest ratio of an error to its derived bound; above 1 is wrong.
        trace: the same for each step of a run, the wrong one included.
        expected: the expectation for this case, if there is one.
        divergence: the first wrong value of a run.
        minimal: the smallest run that shows the failure, if it was searched for.
    """

    case: str
    clause: str
    dtype: str
    status: Status
    message: str = ""
    elements: int = 0
    bound_used: float = 0.0
    trace: tuple[float, ...] = ()
    expected: Expectation | None = None
    divergence: Divergence | None = None
    minimal: Trial | None = None

    @property
    def id(self) -> str:
        """``CLAUSE/name[dtype]``."""
        return f"{self.case}[{self.dtype}]"

    def as_dict(self) -> Mapping[str, Any]:
        """Return the result as values for JSON; infinity becomes null."""
        divergence = self.divergence and asdict(self.divergence)
        if divergence:
            divergence["distance"] = _finite(divergence["distance"])
        return {
            "id": self.id,
            "case": self.case,
            "clause": self.clause,
            "dtype": self.dtype,
            "status": self.status,
            "message": self.message,
            "elements": self.elements,
            "bound_used": _finite(self.bound_used),
            "trace": [_finite(used) for used in self.trace],
            "expected": self.expected and asdict(self.expected),
            "divergence": divergence,
            "minimal": self.minimal and encode_trial(self.minimal),
        }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
