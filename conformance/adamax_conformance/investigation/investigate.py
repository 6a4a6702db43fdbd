"""Investigate the failures of a report: name the fault, and shrink the runs that show it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import adamax_conformance_supervisor as supervisor
from adamax_conformance.dialects.diagnose import diagnose
from adamax_conformance.dialects.diagnosis import OTHER, Diagnosis
from adamax_conformance.dialects.dialect import FIELDS, Dialect
from adamax_conformance.investigation.likeness import matching, matching_pair, right_under
from adamax_conformance.judging.run import Trial
from adamax_conformance.judging.shrink import Effort, first_wrong, smallest
from adamax_conformance.reports.grade import spans
from adamax_conformance.reports.report import Report
from adamax_conformance.reports.result import Result, Status
from adamax_conformance.reports.text import EXPLAINED
from adamax_conformance.spec.alteration import Alteration, Both
from adamax_conformance.subject.printable import printable
from adamax_conformance.subject.watched import Watched

if TYPE_CHECKING:
    from adamax_conformance.variants import Wrong

STEPS_OF_A_REPORT = 4000
"""Largest number of steps to judge in search of the smallest runs of one report."""

_Runs = dict[str, dict[str, Trial]]
"""The wrong runs, by clause and by the id of the case and dtype."""

_CHANGES = (
    "the same run gives another result when it is repeated: something is kept from run to run, or "
    "left to chance"
)
_ELSEWHERE = "the backend computes the canonical rule; the fault is elsewhere"


def investigated(
    report: Report,
    backend: Watched,
    dialect: Dialect,
    seen: Diagnosis | None = None,
    *,
    known: bool = False,
) -> Report:
    """Return the report with a diagnosis, and the smallest failing run of each clause.

    Args:
        report: all results of the backend.
        backend: the backend, watched.
        dialect: the dialect that it was judged by.
        seen: its diagnosis, if it is known already; else it is diagnosed if a run is wrong.
        known: True to search for the smallest run of each known deviation too.
    """
    # A wrong run may be that of a dialect; a missing refusal is not.
    wrong: _Runs = {}
    for result in report.results:
        if result.status is Status.FAIL and result.minimal:
            wrong.setdefault(result.clause, {})[result.id] = result.minimal
    if seen is None and (wrong or known):
        seen = diagnose(backend.backend)
    if seen is None:
        return report
    report = _diagnosed(report, dialect, seen, wrong=bool(wrong))
    first = report.suspect if report.suspect in wrong else next(iter(wrong), "")
    if _changes(report, backend, wrong.get(first, {})):
        # Its runs show nothing, and cannot be made smaller.
        results = tuple(replace(each, minimal=None) for each in report.results)
        return replace(report, results=results, diagnosis=_CHANGES, deviating=(), found="")
    searched = [next(iter(wrong[each].items())) for each in sorted(wrong, key=first.__ne__)]
    also = _known(report).values() if known else ()
    report, smaller = _shrunk(report, backend, [*searched, *also])
    if not wrong or dialect != Dialect():
        return report
    return _named(report, backend, wrong, seen, smaller)


def _changes(report: Report, backend: Watched, runs: Mapping[str, Trial]) -> bool:
    """Does the first of these wrong runs go otherwise when it is repeated?"""
    for case, trial in runs.items():
        before = next(each.divergence for each in report.results if each.id == case)
        return before is not None and str(first_wrong(backend, trial)) != str(before)
    return False


def _shrunk(
    report: Report, backend: Watched, runs: Iterable[tuple[str, Trial]]
) -> tuple[Report, Mapping[str, Trial]]:
    """Return the report with the smallest runs, and these runs in the order of search."""
    effort, smaller, shown = Effort(STEPS_OF_A_REPORT), {}, {}
    for case, trial in runs:
        supervisor.note(f"{case} of {printable(report.backend)}, made smaller")
        smaller[case] = smallest(backend, trial, effort)
        shown[case] = first_wrong(backend, smaller[case])
    results = [
        replace(each, minimal=smaller.get(each.id), shown=shown.get(each.id))
        for each in report.results
    ]
    return replace(report, results=tuple(results)), smaller


def _named(
    report: Report,
    backend: Watched,
    wrong: _Runs,
    seen: Diagnosis,
    smaller: Mapping[str, Trial],
) -> Report:
    """Return the report with the name of the fault, and the clauses that it explains."""
    if report.found and seen.dialect is not None:
        return _explained(report, backend, wrong, seen, seen.dialect, seen.dialect.phrase)
    if _names_all(seen):
        return report
    from adamax_conformance.variants import WRONG  # noqa: PLC0415 - makes every variant

    first = report.suspect if report.suspect in wrong else next(iter(wrong))
    case = next(iter(wrong[first]))
    supervisor.note(f"{case} of {printable(report.backend)}, compared with wrong variants")
    # A fault seldom depends on the dtype, and runs in one dtype take a quarter of the time.
    dtype = case.partition("[")[2]
    trials = [trial for each, trial in wrong[first].items() if each.endswith(dtype)]
    if variant := matching(backend, [smaller[case], *trials], WRONG):
        return _likened(report, backend, wrong, seen, (variant,))
    # Two faults: one shows in the first clause, and both in those that follow.
    firsts = {next(iter(runs)) for runs in wrong.values()}
    others = [run for id_, run in smaller.items() if id_ in firsts and id_.endswith(dtype)]
    pair = matching_pair(backend, [smaller[case], *others], WRONG) or ()
    return _likened(report, backend, wrong, seen, pair)


def _diagnosed(report: Report, dialect: Dialect, seen: Diagnosis, *, wrong: bool) -> Report:
    other = seen.dialect is not None and seen.dialect != dialect
    return replace(
        report,
        diagnosis=_ELSEWHERE if seen.canonical and wrong else seen.sentence,
        deviating=tuple(axis.clause for axis in seen.deviating),
        found=str(seen.dialect) if other else "",
        axes={axis.axis: axis.found for axis in seen.axes},
    )


def _known(report: Report) -> dict[str, tuple[str, Trial]]:
    """Return the first wrong run of each known deviation, by its reason."""
    found: dict[str, tuple[str, Trial]] = {}
    for result in report.results:
        if result.status is Status.XFAIL and result.minimal and result.expected:
            found.setdefault(result.expected.reason, (result.id, result.minimal))
    return found


def _names_all(seen: Diagnosis) -> bool:
    """Has each deviation a name?"""
    return bool(seen.deviating) and all(axis.found != OTHER for axis in seen.deviating)


def _likened(
    report: Report,
    backend: Watched,
    wrong: _Runs,
    seen: Diagnosis,
    variants: "tuple[Wrong, ...]",
) -> Report:
    """Name the variants in the diagnosis, beside the deviations that have a name of their own."""
    if not variants:
        return report
    named = [axis for axis in seen.deviating if axis.found != OTHER]
    ids = " and ".join(f"`{each.id}`" for each in variants)
    does = "; ".join(each.does.rstrip(".") for each in variants)
    sentence = f"computes what {ids} {'do together' if len(variants) > 1 else 'does'}: {does}"
    report = replace(
        report,
        diagnosis=", ".join([*(axis.phrase for axis in named), sentence]),
        deviating=(*(each.clause for each in variants), *(axis.clause for axis in named)),
    )
    alterations = [each.alteration for each in variants if each.alteration]
    if not alterations:
        return report
    return _explained(report, backend, wrong, seen, reduce(Both, alterations), f"the rule of {ids}")


def _explained(
    report: Report,
    backend: Watched,
    wrong: _Runs,
    seen: Diagnosis,
    alteration: Alteration,
    rule: str,
) -> Report:
    """Say of each smallest run whether the altered rule explains it, and name the other clauses."""
    effort = Effort(STEPS_OF_A_REPORT)

    def explained(result: Result) -> Result:
        trial = result.minimal
        if trial and effort.afford(backend, trial.run) and right_under(backend, trial, alteration):
            return replace(result, message=f"{result.message}{EXPLAINED}{rule}")
        return result

    report = replace(report, results=tuple(map(explained, report.results)))

    def unexplained(runs: Mapping[str, Trial]) -> bool:
        dtype = next(iter(runs)).partition("[")[2]
        return any(
            effort.afford(backend, trial.run) and not right_under(backend, trial, alteration)
            for case, trial in runs.items()
            if case.endswith(dtype)
        )

    # One count for all parameters, and the like, is no line of the rule, and explains more.
    if {axis.axis for axis in seen.deviating} - {axis.name for axis in FIELDS.values()}:
        return report
    left = spans(clause for clause, runs in wrong.items() if unexplained(runs))
    more = f"{report.diagnosis}; that does not explain {left}"
    return replace(report, diagnosis=more) if left else report
