"""What a judgement found: one result a case and dtype, and the verdict that follows from them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from adamax_conformance.reports.failure import in_full, written
from adamax_conformance.reports.result import BAD, NOT_RUN, Result, Status


class Verdict(StrEnum):
    """What a report says as a whole."""

    CONFORMANT = "conformant"
    PARTIAL = "passes in part"
    DEVIATES = "deviates as documented"
    NOT_CONFORMANT = "not conformant"
    INCOMPLETE = "incomplete"
    BROKEN = "adapter broken"


class ConformanceError(AssertionError):
    """A backend is not conformant; the message lists what it does wrong."""


# Judged by the quantity of their own line, without any mode; the step before its correction, since
# with beta1 = 0 it is judged without one.
PLAIN_LINES = ("A-3", "A-4", "A-5", "A-7", "A-6")

_DOES_NOT_HOLD = (Status.FAIL, Status.ERROR, Status.XFAIL)


@dataclass(frozen=True)
class Report:
    """Everything that was found about one backend.

    Attributes:
        backend: its name.
        results: one for each case and dtype, in the order of the specification.
        required: the clauses without which nothing is called conformant.
        broken: what the smoke test said when the backend could not take a single step.
        visible: whether the state could be seen, and so the line of the rule that is wrong.
        seed: of the data.
        diagnosis: which dialect it computes, in a sentence, where something fails.
        named: how the command line names it; empty where it has no name there.
        partial: whether only some clauses, dtypes or cases were asked for.
    """

    backend: str
    results: tuple[Result, ...]
    required: tuple[str, ...]
    broken: str = ""
    visible: bool = True
    seed: int = 0
    diagnosis: str = ""
    named: str = ""
    partial: bool = False

    @property
    def counts(self) -> dict[Status, int]:
        """How many results have each status; the sum is the number of results."""
        counted = Counter(result.status for result in self.results)
        return {status: counted[status] for status in Status}

    @property
    def elements(self) -> int:
        """How many numbers were compared."""
        return sum(result.elements for result in self.results)

    @property
    def missing(self) -> tuple[str, ...]:
        """Required clauses of which no case ran."""
        ran = {result.clause for result in self.results if result.status not in NOT_RUN}
        return tuple(clause for clause in self.required if clause not in ran)

    @property
    def failed_clauses(self) -> tuple[str, ...]:
        """Clauses that do not hold, known or not, in the order of the specification."""
        return tuple(dict.fromkeys(r.clause for r in self.results if r.status in _DOES_NOT_HOLD))

    @property
    def suspect(self) -> str | None:
        """The clause to look at first: a line of the rule by itself before what is built on it.

        None where nothing fails, and where the state cannot be seen, so that every line fails.
        """
        if not self.visible:
            return None
        failed = self.failed_clauses
        return next((clause for clause in (*PLAIN_LINES, *failed) if clause in failed), None)

    @property
    def verdict(self) -> Verdict:
        """The worst that can be said."""
        counts = self.counts
        if self.broken:
            return Verdict.BROKEN
        if any(counts[status] for status in BAD):
            return Verdict.NOT_CONFORMANT
        if self.missing or sum(counts[status] for status in NOT_RUN) == len(self.results):
            return Verdict.INCOMPLETE
        if counts[Status.XFAIL]:
            return Verdict.DEVIATES
        return Verdict.PARTIAL if self.partial else Verdict.CONFORMANT

    @property
    def conformant(self) -> bool:
        """Whether every case that there is passed if it applies, and every required clause ran."""
        return self.verdict is Verdict.CONFORMANT

    def raise_for_status(self) -> None:
        """Return if conformant, or, where only a part was asked for, if that passes.

        Raises:
            ConformanceError: lists the failures, or the required clauses that did not run.
        """
        if self.verdict in (Verdict.CONFORMANT, Verdict.PARTIAL):
            return
        lines = [f"{self.backend}: {self.verdict}"]
        lines += [self.broken] if self.broken else []
        if self.missing:
            lines.append(f"required clauses that did not run: {', '.join(self.missing)}")
        lines += [self.diagnosis] if self.diagnosis else []
        shown = [result for result in self.results if result.status in (*BAD, Status.XFAIL)]
        for result, facts in in_full(self, shown):
            lines.append(f"{result.id} {result.status}: {result.message}")
            lines += written(facts, "    ")
        raise ConformanceError("\n".join(lines))

    def as_dict(self) -> Mapping[str, Any]:
        """The report as JSON has it."""
        return {
            "backend": self.backend,
            "named": self.named,
            "verdict": self.verdict,
            "conformant": self.conformant,
            "partial": self.partial,
            "counts": self.counts,
            "cases": len(self.results),
            "elements": self.elements,
            "failed_clauses": list(self.failed_clauses),
            "suspect": self.suspect,
            "missing": list(self.missing),
            "broken": self.broken,
            "visible": self.visible,
            "seed": self.seed,
            "diagnosis": self.diagnosis,
            "results": [result.as_dict() for result in self.results],
        }
