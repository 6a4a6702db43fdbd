"""The grades of a report: the arithmetic, the interface, the state and the derivatives."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from adamax_conformance.reports.result import BAD, NOT_RUN, Result, Status
from adamax_conformance.spec.formats import DTYPES

_INTERFACE = ("H-1", "H-2", "H-3", "H-4", "S-10")
_STATE = ("S-6", "S-7", "S-8", "S-11")


def grade_of(clause: str) -> str:
    """Return the name of the grade that a clause counts for.

    >>> [grade_of(clause) for clause in ("A-5", "H-5", "H-4", "S-10", "S-9", "S-7", "D-1")]
    ['arithmetic', 'arithmetic', 'interface', 'interface', 'arithmetic', 'state', 'derivatives']
    """
    if clause in _INTERFACE:
        return "interface"
    if clause in _STATE:
        return "state"
    return "derivatives" if clause.startswith("D-") else "arithmetic"


_FAULTS: Mapping[tuple[str, ...], str] = {
    ("H-1", "H-2", "H-3", "H-4"): "does not refuse bad hyperparameters",
    ("S-10",): "takes gradients that do not fit",
    ("S-6",): "does not keep the state in the dtype asked for",
    ("S-7",): "loses count in long runs",
    ("S-8",): "loads the state of other optimizers",
}
_LONG_RUNS = "S-7"
_OFFERS: Mapping[tuple[str, ...], str] = {("S-7", "S-8"): "loading", ("S-6",): "a state dtype"}
"""What a backend offers, by the clauses about it."""


@dataclass(frozen=True)
class Grade:
    """The results of one backend in the clauses of one grade; true if it is conformant.

    Attributes:
        name: ``arithmetic``, ``interface``, ``state`` or ``derivatives``.
        results: the results of its clauses, in the order of the specification.
        required: clauses of it that must run.
    """

    name: str
    results: tuple[Result, ...]
    required: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Required clauses of which no case ran."""
        return missing(self.results, self.required)

    @property
    def failed_clauses(self) -> tuple[str, ...]:
        """Clauses with a failure, expected or not, or with an expectation out of date."""
        return tuple(dict.fromkeys(result.clause for result in self._failed))

    @property
    def conformant(self) -> bool:
        """Did a case run, does none fail, is no dtype blocked, and no required clause missing?"""
        return self._ran and not (self._failed or self._blocked or self._unjudged or self.missing)

    def __bool__(self) -> bool:
        return self.conformant

    def __str__(self) -> str:
        """Return ``arithmetic: conformant in float32, float64``."""
        return f"{self.name}: {', '.join(self._parts())}"

    @property
    def _ran(self) -> bool:
        """Did any case run?"""
        return any(result.status not in NOT_RUN for result in self.results)

    @property
    def _blocked(self) -> list[str]:
        """The dtypes in which the backend cannot take one plain step."""
        blocked = {each.dtype for each in self.results if each.status is Status.BLOCKED}
        return [dtype for dtype in DTYPES if dtype in blocked]

    @property
    def _failed(self) -> list[Result]:
        return [each for each in self.results if each.status in (*BAD, Status.XFAIL)]

    @property
    def _unjudged(self) -> list[str]:
        """The clauses of cases in which the judge failed."""
        return [each.clause for each in self.results if each.status is Status.UNJUDGED]

    @property
    def _loses_count(self) -> bool:
        """Is a wrong count among what fails in long runs, and not a wrong line alone?"""
        return any(
            each.divergence is None or each.divergence.quantity == "step"
            for each in self._failed
            if each.clause == _LONG_RUNS and each.status in (Status.FAIL, Status.XFAIL)
        )

    def _parts(self) -> Iterator[str]:
        offered = " and ".join(self._not_offered())
        if not (self._ran or self._blocked):
            yield f"not judged ({offered} not offered)" if offered else "not judged"
            return
        failed = set(self.failed_clauses)
        described = {clause for clauses in _FAULTS for clause in clauses}
        described -= set() if self._loses_count else {_LONG_RUNS}
        if self.name == "arithmetic":
            yield from self._by_dtype()
        elif other := [clause for clause in self.failed_clauses if clause not in described]:
            yield f"not conformant ({spans(other)})"
        for clauses, fault in _FAULTS.items():
            if mine := [clause for clause in clauses if clause in failed & described]:
                yield f"{fault} ({spans(mine)})"
        if offered:
            yield f"{offered} not offered"
        yield from self._incomplete()
        if self.name != "arithmetic" and self.conformant and not offered:
            yield "conformant"

    def _incomplete(self) -> Iterator[str]:
        """Yield what was not judged, and why."""
        if self._unjudged:
            yield f"the judge failed in {spans(dict.fromkeys(self._unjudged))}"
        if self._blocked:
            yield f"blocked in {', '.join(self._blocked)}"
        selected = {result.clause for result in self.results}
        if unjudged := [clause for clause in self.missing if clause in selected]:
            yield f"{spans(unjudged)} not judged"
        if set(self.missing) - selected:
            yield "judged in part"

    def _by_dtype(self) -> Iterator[str]:
        """Yield the dtypes in which all is right, and those in which something is wrong."""
        right = [dtype for dtype in DTYPES if self._passes(dtype)]
        failed = {
            dtype: spans(dict.fromkeys(r.clause for r in self._failed if r.dtype == dtype))
            for dtype in DTYPES
            if any(result.dtype == dtype for result in self._failed)
        }
        if right:
            every = len(right) == len(DTYPES)
            yield f"conformant in {'every dtype' if every else ', '.join(right)}"
        if failed and not right:
            yield f"not conformant ({spans(self.failed_clauses)})"
        elif failed:
            which = {
                clauses: [d for d in failed if failed[d] == clauses] for clauses in failed.values()
            }
            for clauses, dtypes in which.items():
                yield f"not in {', '.join(dtypes)} ({clauses})"

    def _passes(self, dtype: str) -> bool:
        mine = [result for result in self.results if result.dtype == dtype]
        failed = any(result.dtype == dtype for result in self._failed)
        return not failed and any(result.status is Status.PASS for result in mine)

    def _not_offered(self) -> Iterator[str]:
        for clauses, what in _OFFERS.items():
            about = [result for result in self.results if result.clause in clauses]
            if about and all(result.status is Status.UNSUPPORTED for result in about):
                yield what


def missing(results: Iterable[Result], required: Iterable[str]) -> tuple[str, ...]:
    """Return the required clauses of which no case ran, though no declared limit excludes them."""
    ran = {each.clause for each in results if each.status not in NOT_RUN or each.limit}
    return tuple(clause for clause in required if clause not in ran)


def spans(clauses: Iterable[str]) -> str:
    """Return the clauses with runs of three or more as spans.

    >>> spans(["H-1", "H-2", "H-3", "S-10"]), spans(["A-5", "A-6"])
    ('H-1 to H-3, S-10', 'A-5, A-6')
    """
    runs: list[list[str]] = []
    for clause in clauses:
        letter, _, number = clause.partition("-")
        if runs and runs[-1][-1] == f"{letter}-{int(number) - 1}":
            runs[-1].append(clause)
        else:
            runs.append([clause])
    return ", ".join(
        f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(run)  # noqa: PLR2004 - a span of two is none
        for run in runs
    )
