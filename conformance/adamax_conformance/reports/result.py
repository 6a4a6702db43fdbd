"""How one case went in one dtype."""

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
    """How a case went; every case of every dtype has exactly one."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    XFAIL = "xfail"
    XPASS = "xpass"
    UNSUPPORTED = "unsupported"
    SKIPPED = "skipped"
    ERROR = "error"
    BLOCKED = "blocked"


MEANINGS: Mapping[Status, str] = {
    Status.PASS: "what the clause says holds",
    Status.FAIL: "what the clause says does not hold",
    Status.XFAIL: "does not hold, as is known",
    Status.XPASS: "holds, but is known not to: the expectation is out of date",
    Status.UNSUPPORTED: "about a dtype or a feature that the backend does not offer",
    Status.SKIPPED: "not run, because the file of expectations says so",
    Status.ERROR: "the backend raised, or answered out of form",
    Status.BLOCKED: "not run, because the backend cannot take one plain step",
}
NOT_RUN = (Status.UNSUPPORTED, Status.SKIPPED, Status.BLOCKED)
BAD = (Status.FAIL, Status.ERROR, Status.XPASS)
"""What makes a backend not conformant."""


@dataclass(frozen=True)
class Result:
    """One case in one dtype.

    Attributes:
        case: ``CLAUSE/name``.
        clause: the clause that it cites.
        dtype: of the parameters.
        status: how it went.
        message: what was found, unless it passed.
        elements: how many numbers were compared.
        bound_used: the largest part of a derived bound that an error took; above 1 it is wrong.
        trace: the same for each step of a run, the wrong one included.
        expected: what was known before.
        divergence: where a run first left what is allowed.
        minimal: the smallest run that shows it, where one was looked for.
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
        """The result as JSON has it; what is infinite is null."""
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
