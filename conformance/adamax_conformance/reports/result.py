"""The result of one case in one dtype."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from adamax_conformance.exchange.wire import (
    decode_divergence,
    decode_ratio,
    decode_trial,
    encode_divergence,
    encode_ratio,
    encode_trial,
)
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
    REFUSED = "refused"
    ERROR = "error"
    BLOCKED = "blocked"
    UNJUDGED = "unjudged"


MEANINGS: Mapping[Status, str] = {
    Status.PASS: "the clause holds",
    Status.FAIL: "the clause does not hold",
    Status.XFAIL: "fails, as expected",
    Status.XPASS: "passes, though an expectation or a declared limit says that it does not",
    Status.UNSUPPORTED: "not offered: needs a dtype or a feature, or what a limit excludes",
    Status.SKIPPED: "not run, because the file of expectations says so",
    Status.REFUSED: "the backend refused what the specification allows",
    Status.ERROR: "the backend broke down, or gave a malformed answer",
    Status.BLOCKED: "not run, because the backend cannot take one plain step in this dtype",
    Status.UNJUDGED: "the judge itself failed, whatever the backend did: please report it",
}
NOT_RUN = (Status.UNSUPPORTED, Status.SKIPPED, Status.BLOCKED)
BAD = (Status.FAIL, Status.REFUSED, Status.ERROR, Status.XPASS)
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
        shown: the first wrong value of that run.
        limit: what the case needs and the backend declares that it does not offer, or empty.
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
    shown: Divergence | None = None
    limit: str = ""

    @property
    def id(self) -> str:
        """``CLAUSE/name[dtype]``."""
        return f"{self.case}[{self.dtype}]"

    def as_dict(self) -> Mapping[str, Any]:
        """Return the result as values for JSON; infinity becomes null."""
        return {
            "id": self.id,
            "case": self.case,
            "clause": self.clause,
            "dtype": self.dtype,
            "status": self.status,
            "message": self.message,
            "elements": self.elements,
            "bound_used": encode_ratio(self.bound_used),
            "trace": [encode_ratio(used) for used in self.trace],
            "expected": self.expected and asdict(self.expected),
            "divergence": encode_divergence(self.divergence),
            "minimal": self.minimal and encode_trial(self.minimal),
            "shown": encode_divergence(self.shown),
            "limit": self.limit,
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Result":
        """Return the result that `as_dict` has described.

        Raises:
            WireError: the smallest run is malformed.
        """
        expected, minimal = document["expected"], document["minimal"]
        return cls(
            **{key: document[key] for key in ("case", "clause", "dtype", "message", "elements")},
            status=Status(document["status"]),
            bound_used=decode_ratio(document["bound_used"]),
            trace=tuple(map(decode_ratio, document["trace"])),
            expected=expected and Expectation(**expected),
            divergence=decode_divergence(document["divergence"]),
            minimal=minimal and decode_trial(minimal),
            shown=decode_divergence(document.get("shown")),
            limit=document["limit"],
        )
