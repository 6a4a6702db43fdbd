"""The report on a backend: a result for each case and dtype, and the verdict that follows."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from adamax_conformance.reports.failure import in_full, written
from adamax_conformance.reports.result import BAD, NOT_RUN, Result, Status


class Verdict(StrEnum):
    """The overall outcome of a report."""

    CONFORMANT = "conformant"
    PARTIAL = "passes in part"
    DEVIATES = "deviates as documented"
    NOT_CONFORMANT = "not conformant"
    INCOMPLETE = "incomplete"
    BROKEN = "adapter broken"


class ConformanceError(AssertionError):
    """A backend is not conformant; the message lists its failures."""


# Clauses judged by the quantity of their own line, without any mode. A-7, the step, comes before
# its correction A-6, since its cases set beta1 = 0, which needs no correction.
PLAIN_LINES = ("A-3", "A-4", "A-5", "A-7", "A-6")

_DOES_NOT_HOLD = (Status.FAIL, Status.ERROR, Status.XFAIL)


@dataclass(frozen=True)
class Report:
    """All results of one backend.

    Attributes:
        backend: name of the backend.
        results: one for each case and dtype, in the order of the specification.
        required: clauses that must run before a backend is conformant.
        broken: message of the smoke test, if the backend could not take a single step.
        visible: True if the backend reported its state, which shows the wrong line of the rule.
        seed: seed of the data.
        diagnosis: the dialect that it computes, in a sentence, if a case fails.
        named: its name on the command line; empty if it has none there.
        partial: True if only some clauses, dtypes or cases were selected.
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
        """Number of results with each status; they sum to the number of results."""
        counted = Counter(result.status for result in self.results)
        return {status: counted[status] for status in Status}

    @property
    def elements(self) -> int:
        """Number of numbers compared."""
        return sum(result.elements for result in self.results)

    @property
    def missing(self) -> tuple[str, ...]:
        """Required clauses of which no case ran."""
        ran = {result.clause for result in self.results if result.status not in NOT_RUN}
        return tuple(clause for clause in self.required if clause not in ran)

    @property
    def failed_clauses(self) -> tuple[str, ...]:
        """Clauses with a failure, expected or not, in the order of the specification."""
        return tuple(dict.fromkeys(r.clause for r in self.results if r.status in _DOES_NOT_HOLD))

    @property
    def suspect(self) -> str | None:
        """The clause to look at first: a line of the rule before the clauses that depend on it.

        None if nothing fails, or if the state is hidden: then all lines fail together.
        """
        if not self.visible:
            return None
        failed = self.failed_clauses
        return next((clause for clause in (*PLAIN_LINES, *failed) if clause in failed), None)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict that applies."""
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
        """Did all cases that apply pass, and all required clauses run?"""
        return self.verdict is Verdict.CONFORMANT

    def raise_for_status(self) -> None:
        """Raise unless the backend is conformant, or a partial run passes.

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
        """Return the report as values for JSON."""
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
