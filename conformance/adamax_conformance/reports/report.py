"""The report on a backend: a result for each case and dtype, and the verdict that follows."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from adamax_conformance.reports.failure import in_full, written
from adamax_conformance.reports.grade import Grade, grade_of, missing
from adamax_conformance.reports.result import BAD, NOT_RUN, Result, Status
from adamax_conformance.reports.suspect import WRONG, suspected
from adamax_conformance.spec.alteration import CANONICAL_NAME
from adamax_conformance.spec.clauses import CLAUSES


class Verdict(StrEnum):
    """The overall outcome of a report."""

    CONFORMANT = "conformant"
    PARTIAL = "passes in part"
    DEVIATES = "deviates as documented"
    NOT_CONFORMANT = "not conformant"
    INCOMPLETE = "incomplete"
    BROKEN = "adapter broken"
    UNJUDGED = "not judged: the judge failed"


class ConformanceError(AssertionError):
    """A backend is not conformant; the message lists its failures."""


PROFILES: Mapping[str, tuple[str, ...]] = {
    "optimizer": ("arithmetic", "interface", "state", "derivatives"),
    "kernel": ("arithmetic",),
}
"""The grades that each profile requires."""

_DOES_NOT_HOLD = (*WRONG, Status.REFUSED, Status.ERROR)


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
        deviating: the clauses of the axes on which its dialect deviates, in order.
        named: its name on the command line; empty if it has none there.
        partial: True if only some clauses, dtypes or cases were selected.
        dialect: the dialect that it was judged by, as ``check`` takes it.
        phrase: this dialect in words; empty for the specification.
        found: the dialect that it computes, as ``check`` takes it; empty if it was judged by that,
            or if none was found.
        profile: what must hold, one of `PROFILES`.
        axes: what was found on each axis of the dialect; empty if it was not diagnosed.
        language: the language that its rule is written in; empty if it does not say.
        packages: versions of the packages whose step it takes, by name.
        default_eps: its eps where its user names none; None if it does not say, or has no eps.
        date: the day on which it was judged, as 2026-11-29; empty if it is not known.
        unfound: True if it was to be judged by the dialect that it computes, and none was found.
        environment: what judged, as `reports.environment.environment` has it; empty if not known.
        started: the command that starts the judge where this backend is installed.
        options: options of ``check`` that it was judged with, such as ``--expect FILE``.
    """

    backend: str
    results: tuple[Result, ...]
    required: tuple[str, ...]
    broken: str = ""
    visible: bool = True
    seed: int = 0
    diagnosis: str = ""
    deviating: tuple[str, ...] = ()
    named: str = ""
    partial: bool = False
    dialect: str = CANONICAL_NAME
    phrase: str = ""
    found: str = ""
    profile: str = "optimizer"
    axes: Mapping[str, str] = field(default_factory=dict)
    language: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    default_eps: float | None = None
    date: str = ""
    unfound: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    started: str = "adamax-conformance"
    options: tuple[str, ...] = ()

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
        """Required clauses of which no case ran, though the backend declares no limit to them."""
        return missing(self.results, self.required)

    @property
    def limits(self) -> Mapping[str, tuple[str, ...]]:
        """What the backend declares that it does not offer, with the clauses that need it."""
        found: dict[str, dict[str, None]] = {}
        for result in self.results:
            if result.limit:
                found.setdefault(result.limit, {})[result.clause] = None
        return {limit: tuple(clauses) for limit, clauses in found.items()}

    @property
    def failed_clauses(self) -> tuple[str, ...]:
        """Clauses with a failure, expected or not, in the order of the specification."""
        return tuple(dict.fromkeys(r.clause for r in self.results if r.status in _DOES_NOT_HOLD))

    @property
    def decisive(self) -> tuple[str, ...]:
        """The failed clauses that count for the profile."""
        wanted = PROFILES[self.profile]
        return tuple(clause for clause in self.failed_clauses if grade_of(clause) in wanted)

    @property
    def suspect(self) -> str | None:
        """The clause to look at first.

        The first that the diagnosis names, else that of `suspected`. None if nothing fails, or if
        the state is hidden and the diagnosis names nothing: then all lines fail together.
        """
        failed = self.decisive
        named = next((clause for clause in self.deviating if clause in failed), None)
        if named or not self.visible:
            return named
        return suspected(self.results, failed)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict that applies to any case."""
        return self._verdict(self.results, self.missing)

    @property
    def outcome(self) -> Verdict:
        """The worst verdict that applies to what the profile requires."""
        wanted = PROFILES[self.profile]
        return self._verdict(
            [result for result in self.results if grade_of(result.clause) in wanted],
            [clause for clause in self.missing if grade_of(clause) in wanted],
        )

    def _verdict(self, results: Sequence[Result], missing: Iterable[str]) -> Verdict:
        if self.broken:
            return Verdict.BROKEN
        statuses = {result.status for result in results}
        if statuses & set(BAD):
            return Verdict.NOT_CONFORMANT
        if Status.UNJUDGED in statuses:
            return Verdict.UNJUDGED
        if any(missing) or Status.BLOCKED in statuses or statuses <= set(NOT_RUN):
            return Verdict.INCOMPLETE
        if Status.XFAIL in statuses:
            return Verdict.DEVIATES
        return Verdict.PARTIAL if self.partial else Verdict.CONFORMANT

    @property
    def conformant(self) -> bool:
        """Did all cases that apply pass, and all required clauses run?"""
        return self.verdict is Verdict.CONFORMANT

    @property
    def arithmetic(self) -> Grade:
        """The grade of A, N, S-1 to S-5, S-9, H-5 and H-6: are the numbers of each step right?"""
        return self._grade("arithmetic")

    @property
    def interface(self) -> Grade:
        """The grade of H-1 to H-4 and S-10: is what is wrong refused?"""
        return self._grade("interface")

    @property
    def state(self) -> Grade:
        """The grade of S-6 to S-8: dtype, count and loading of the state."""
        return self._grade("state")

    @property
    def derivatives(self) -> Grade:
        """The grade of D, where derivatives are offered."""
        return self._grade("derivatives")

    def _grade(self, name: str) -> Grade:
        return Grade(
            name,
            tuple(result for result in self.results if grade_of(result.clause) == name),
            tuple(c.id for c in CLAUSES if c.required and grade_of(c.id) == name),
        )

    @property
    def grades(self) -> tuple[Grade, ...]:
        """The grades of which a case was selected; that of derivatives only if they are offered."""
        every = [self.arithmetic, self.interface, self.state]
        offered = any(r.status not in NOT_RUN for r in self.derivatives.results)
        every += [self.derivatives] if offered else []
        return tuple(grade for grade in every if grade.results)

    def raise_for_status(self) -> None:
        """Raise unless what the profile requires is conformant, or passes in a partial run.

        Raises:
            ConformanceError: lists the failures, or the required clauses that did not run.
        """
        if self.outcome in (Verdict.CONFORMANT, Verdict.PARTIAL):
            return
        lines = [f"{self.backend}: {self.outcome}"]
        lines += [self.broken] if self.broken else []
        if self.missing:
            lines.append(f"required clauses that did not run: {', '.join(self.missing)}")
        lines += [self.diagnosis] if self.diagnosis else []
        shown = [
            result
            for result in self.results
            if result.status in (*BAD, Status.XFAIL, Status.UNJUDGED)
        ]
        for result, facts in in_full(self, shown):
            lines.append(f"{result.id} {result.status}: {result.message}")
            lines += written(facts, "    ")
        raise ConformanceError("\n".join(lines))

    def as_dict(self) -> Mapping[str, Any]:
        """Return the report as values for JSON."""
        return {
            "backend": self.backend,
            "named": self.named,
            "started": self.started,
            "options": list(self.options),
            "verdict": self.verdict,
            "conformant": self.conformant,
            "partial": self.partial,
            "dialect": self.dialect,
            "phrase": self.phrase,
            "found": self.found,
            "unfound": self.unfound,
            "axes": dict(self.axes),
            "deviating": list(self.deviating),
            "language": self.language,
            "packages": dict(self.packages),
            "default_eps": self.default_eps,
            "date": self.date,
            "profile": self.profile,
            "outcome": self.outcome,
            "grades": {
                each.name: {"conformant": each.conformant, "sentence": str(each)}
                for each in self.grades
            },
            "counts": self.counts,
            "cases": len(self.results),
            "elements": self.elements,
            "failed_clauses": list(self.failed_clauses),
            "suspect": self.suspect,
            "required": list(self.required),
            "missing": list(self.missing),
            "broken": self.broken,
            "visible": self.visible,
            "seed": self.seed,
            "diagnosis": self.diagnosis,
            "results": [result.as_dict() for result in self.results],
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Report":
        """Return the report that `as_dict` has described.

        Raises:
            WireError: a smallest run is malformed.
        """
        kept = (
            *("backend", "broken", "visible", "seed", "diagnosis", "named", "partial", "dialect"),
            *("phrase", "found", "profile", "axes", "language", "packages", "date"),
        )
        return cls(
            **{key: document[key] for key in kept},
            results=tuple(map(Result.of, document["results"])),
            required=tuple(document["required"]),
            unfound=document.get("unfound", False),
            started=document.get("started", cls.started),
            options=tuple(document.get("options", ())),
            default_eps=document.get("default_eps"),
            deviating=tuple(document["deviating"]),
        )
