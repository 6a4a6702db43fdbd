"""What the scoreboard says about one implementation, drawn from its report."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from adamax_conformance.cases.case import DEFAULT
from adamax_conformance.dialects.axes import AXES, CORRECTION, EPS, START
from adamax_conformance.dialects.cost import cost
from adamax_conformance.dialects.diagnosis import NOT_OFFERED, NOT_SEEN
from adamax_conformance.dialects.dialect import Dialect
from adamax_conformance.reports.failure import Fact, describe
from adamax_conformance.reports.report import Report
from adamax_conformance.reports.result import BAD, Result, Status
from adamax_conformance.reports.text import outcome
from adamax_conformance.subject.printable import printable

SCALES = (1.0, 1e-3, 1e-6, 1e-8)
"""Standard deviations of the gradients for which the cost is given."""

_KEYS = tuple(f"{scale:g}" for scale in SCALES)

CONFIRMING = ("A-3", "A-4", "A-5", "A-6", "A-7", "S-1", "N-1", "N-7")
"""The clauses on which the size of a step depends: at any hyperparameters, for small gradients."""

_CAST_DOUBT = (Status.FAIL, Status.REFUSED, Status.ERROR, Status.UNJUDGED)

_ELSEWHERE = ("clause", "known", "diagnosis")
"""Facts of a result that the page shows elsewhere."""


class Graded(NamedTuple):
    """A grade: its name, whether it is conformant, and what is missing."""

    grade: str
    conformant: bool
    sentence: str


class OnAxis(NamedTuple):
    """What was found on one axis of the dialect, and whether the specification says otherwise."""

    axis: str
    clause: str
    found: str
    deviates: bool


@dataclass(frozen=True)
class Deviation:
    """Cases that deviate for one reason.

    Attributes:
        reason: the reason; the message of the judge if the deviation is not known.
        url: a link, or empty.
        known: True if it was expected.
        cases: the cases that show it.
        facts: what the smallest of them shows.
    """

    reason: str
    url: str
    known: bool
    cases: tuple[str, ...]
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Entry:
    """A line of the scoreboard.

    Attributes:
        name: name of the implementation.
        language: language that its rule is written in.
        packages: ``name version`` of each package.
        date: the day on which it was judged; empty if it was not.
        environment: what judged it, as the report says; empty if the report does not.
        outcome: the verdict in words.
        broken: why it could not be judged; empty if it was.
        axes: what was found on each axis.
        grades: the grades of its report.
        deviations: what deviates, with the smallest case of each.
        costs: size of its steps over that of the specification's, at each of `SCALES`; empty if
            its rule is not known, or if the cases do not confirm it.
        default_eps: its eps where its user names none, which its costs are of; None if it does not
            say, or has no eps: its costs are then of the specification's.
    """

    name: str
    language: str
    packages: tuple[str, ...]
    date: str
    environment: Mapping[str, str]
    outcome: str
    broken: str
    axes: tuple[OnAxis, ...]
    grades: tuple[Graded, ...]
    deviations: tuple[Deviation, ...]
    costs: tuple[float, ...]
    default_eps: float | None = None

    @classmethod
    def of(cls, report: Report) -> "Entry":
        """Return the line for this report."""
        line = cls(
            name=report.backend,
            language=report.language,
            packages=tuple(f"{name} {at}" for name, at in report.packages.items()),
            date=report.date,
            environment=report.environment,
            outcome=outcome(report),
            broken=report.broken,
            axes=tuple(_axes(report)),
            grades=tuple(_grades(report)),
            deviations=tuple(_deviations(report)),
            costs=_costs(report),
            default_eps=report.default_eps,
        )
        return cls.read(line.as_dict())

    @property
    def shown_costs(self) -> tuple[str, ...]:
        """The costs in words."""
        unknown = "" if self.broken else "not known"
        return tuple(map(ratio, self.costs)) or (unknown,) * len(SCALES)

    @property
    def shown_eps(self) -> str:
        """The eps of the costs in words; empty if it was not judged."""
        if self.broken:
            return ""
        return "none" if self.default_eps is None else f"{self.default_eps:g}"

    @property
    def unusual_eps(self) -> str:
        """Its default eps; empty if it is that of the specification, or not known."""
        return "" if self.default_eps in (None, DEFAULT.eps) else self.shown_eps

    def found(self, axis: str) -> str:
        """Return what was found on this axis; empty if it was not diagnosed."""
        return next((each.found for each in self.axes if each.axis == axis), "")

    def as_dict(self) -> Mapping[str, Any]:
        """Return the line as values for JSON."""
        axes = [each._asdict() for each in self.axes]
        grades = [each._asdict() for each in self.grades]
        known = {
            "environment": self.environment or None,
            "costs": dict(zip(_KEYS, self.costs, strict=True)) if self.costs else None,
        }
        return {**asdict(self), "axes": axes, "grades": grades, **known}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Entry":
        """Return the line that `as_dict` has described, with all its text `printable`.

        The document satisfies the schema.
        """
        document, costs = _printable(document), document["costs"]

        def deviation(given: Mapping[str, Any]) -> Deviation:
            facts = tuple(Fact(fact["name"], tuple(fact["lines"])) for fact in given["facts"])
            return Deviation(**{**given, "cases": tuple(given["cases"]), "facts": facts})

        return cls(
            **{
                **document,
                "environment": document["environment"] or {},
                "packages": tuple(document["packages"]),
                "axes": tuple(OnAxis(**each) for each in document["axes"]),
                "grades": tuple(Graded(**each) for each in document["grades"]),
                "deviations": tuple(map(deviation, document["deviations"])),
                "costs": tuple(costs[key] for key in _KEYS) if costs else (),
            }
        )


def _printable(value: Any) -> Any:
    """Return values of JSON with all text `printable`; keys are those of the schema."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {key: _printable(each) for key, each in value.items()}
    return list(map(_printable, value)) if isinstance(value, list | tuple) else value


def _axes(report: Report) -> Iterator[OnAxis]:
    for axis in AXES:
        if found := report.axes.get(axis.name):
            deviates = found not in (axis.specified, NOT_OFFERED, NOT_SEEN)
            yield OnAxis(axis.name, axis.clause, found, deviates)


def _grades(report: Report) -> Iterator[Graded]:
    for grade in () if report.broken else report.grades:
        yield Graded(grade.name, grade.conformant, str(grade).partition(": ")[2])


def _deviations(report: Report) -> Iterator[Deviation]:
    """Yield what deviates: what is not known first, by its message, then by the known reason."""
    groups: dict[tuple[bool, str, str], list[Result]] = {}
    for result in report.results:
        if result.status in BAD:
            groups.setdefault((False, result.message, ""), []).append(result)
        elif result.status is Status.XFAIL and (known := result.expected):
            groups.setdefault((True, known.reason, known.url), []).append(result)
    for (expected, reason, url), results in sorted(groups.items(), key=lambda each: each[0][0]):
        shown = next((each for each in results if each.minimal), results[0])
        facts = describe(report, shown)
        yield Deviation(
            reason,
            url if url.startswith("https://") else "",
            expected,
            tuple(result.id for result in results),
            tuple(fact for fact in facts if fact.name not in _ELSEWHERE),
        )


def _costs(report: Report) -> tuple[float, ...]:
    axes = (EPS, CORRECTION, START)
    known = all(report.axes.get(axis.name) in axis.alternatives for axis in axes)
    if not (known and _confirmed(report)):
        return ()
    return _costs_of(Dialect.found(report.axes), report.default_eps)


def _confirmed(report: Report) -> bool:
    """Do the cases say that the dialect that was found is computed everywhere?

    A diagnosis sees the hyperparameters and gradients of its own run alone.
    """
    results = [each for each in report.results if each.clause in CONFIRMING]
    passed = {each.clause for each in results if each.status is Status.PASS}
    doubtful = any(each.status in _CAST_DOUBT for each in results)
    return not (report.found or doubtful) and {"A-5", "A-6", "A-7"} <= passed


@lru_cache
def _costs_of(dialect: Dialect, eps: float | None) -> tuple[float, ...]:
    """Return the size of a hundred steps over that of the specification's, for each scale."""
    return tuple(float(cost(dialect, scale, eps=eps)[-1].path) for scale in SCALES)


EPS_OF_COSTS = (
    "each with its own default eps, the specification with that of "
    f"{DEFAULT.eps:g}; where it has none, both with that"
)
"""What the costs are of."""


def ratio(value: float) -> str:
    """Return a ratio near one by its difference from one.

    >>> [ratio(each) for each in (1.0, 0.99999999, 1.0012, 1.5678, 0.25)]
    ['1', '1 - 1e-08', '1.001', '1.568', '0.25']
    """
    difference = abs(value - 1)
    if not 0 < difference < 1e-3:  # noqa: PLR2004 - what four digits show
        return f"{value:.4g}"
    return f"1 {'+' if value > 1 else '-'} {difference:.0e}"
