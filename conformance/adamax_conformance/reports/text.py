"""Text that the reports for people share: a sentence for a verdict, a sign for each status.

Text from a backend may contain anything; `printable` makes it one safe line. Each format does its
own escaping.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from adamax_conformance.reports.report import Report, Verdict
from adamax_conformance.reports.result import Result, Status
from adamax_conformance.spec.clauses import CLAUSES, Clause
from adamax_conformance.subject.printable import printable

SIGNS: Mapping[Status, str] = {
    Status.PASS: "✓",
    Status.FAIL: "✗",
    Status.XFAIL: "≠",
    Status.XPASS: "?",
    Status.UNSUPPORTED: "·",
    Status.SKIPPED: "»",
    Status.ERROR: "!",
    Status.BLOCKED: "□",
}
"""Signs that show a status without its colour."""

GROUPS: Mapping[str, str] = {
    "A": "arithmetic",
    "S": "state",
    "N": "special values and precision",
    "H": "hyperparameters",
    "D": "derivatives",
}
"""Titles of the groups of clauses by their letter, as in the headings of docs/spec.md."""


def clauses_of(reports: Iterable[Report]) -> list[Clause]:
    """Return the clauses with results in any of the reports, in the order of the specification."""
    shown = {result.clause for report in reports for result in report.results}
    return [clause for clause in CLAUSES if clause.id in shown]


def by_clause(report: Report) -> Mapping[str, list[Result]]:
    """Return the results grouped by the clause that they cite."""
    found: dict[str, list[Result]] = {}
    for result in report.results:
        found.setdefault(result.clause, []).append(result)
    return found


def counted(results: Iterable[Result]) -> list[tuple[Status, int]]:
    """Return the number of results with each status that occurs."""
    counts = Counter(result.status for result in results)
    return [(status, counts[status]) for status in Status if counts[status]]


def occurring(reports: Iterable[Report]) -> list[Status]:
    """Return the statuses for a legend: pass, fail, and all others that occur."""
    seen = {result.status for report in reports for result in report.results}
    return [status for status in Status if status in seen | {Status.PASS, Status.FAIL}]


def bound_used(results: Sequence[Result]) -> str:
    """Return the largest ratio of error to bound, in two digits; empty if no result has a bound.

    >>> bound_used([Result("A-5/x", "A-5", "float32", Status.PASS, bound_used=0.3149)])
    '0.31'
    """
    used = [result.bound_used for result in results if result.trace or result.bound_used]
    return f"{max(used):.2g}" if used else ""


def advice(report: Report) -> str:
    """Return the remedy or the reason for a verdict; empty if there is nothing to do."""
    if report.verdict is Verdict.BROKEN:
        return printable(report.broken)
    if report.verdict is Verdict.INCOMPLETE:
        missing = ", ".join(report.missing)
        reasons = {r.message for r in report.results if r.clause in report.missing}
        why = f" ({'; '.join(sorted(map(printable, reasons)))})" if reasons else ""
        return f"required, but not run: {missing}{why}" if missing else "no case applies"
    if report.verdict is Verdict.PARTIAL:
        clauses = len({result.clause for result in report.results})
        cases = len(report.results)
        return f"partial run: {clauses} of {len(CLAUSES)} clauses, {cases} case{'s'[: cases != 1]}"
    return _fault(report) if report.verdict is Verdict.NOT_CONFORMANT else ""


def _fault(report: Report) -> str:
    if not report.failed_clauses:
        return "a known deviation now passes: remove it from the list"
    if not report.visible:
        return "add `moments` to the backend, and the judge names the wrong line"
    return f"look at {report.suspect} first"


def after_verdict(report: Report) -> str:
    """Return the rest of a sentence after the verdict; empty if the verdict says everything."""
    failed = f" in {', '.join(report.failed_clauses)}" if report.failed_clauses else ""
    return failed + (f"; {advice(report)}" if advice(report) else "")
