"""Text that the reports for people share: a sentence for an outcome, a sign for each status.

Text from a backend may contain anything; `printable` makes it one safe line. Each format does its
own escaping.
"""

import re
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
    Status.REFUSED: "⊘",
    Status.ERROR: "!",
    Status.BLOCKED: "□",
    Status.UNJUDGED: "¡",
}
"""Signs that show a status without its colour."""

_UNDECLARED = re.compile(r"no (.+): not among the backend's `(\w+)`")

EXPLAINED = "; as with "
"""Between the message of a failure and the rule that explains it."""

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
    """Return the remedy or the reason for the outcome; empty if there is nothing to do."""
    if report.outcome is Verdict.BROKEN:
        return printable(report.broken)
    if report.outcome is Verdict.UNJUDGED:
        [first, *_] = (r for r in report.results if r.status is Status.UNJUDGED)
        return printable(f"{first.id}: {first.message}")
    if report.outcome is Verdict.INCOMPLETE:
        missing = ", ".join(report.missing)
        reasons = {r.message for r in report.results if r.clause in report.missing}
        why = f" ({'; '.join(sorted(map(printable, reasons)))})" if reasons else ""
        if not missing and report.counts[Status.BLOCKED]:
            blocked = (r.message for r in report.results if r.status is Status.BLOCKED)
            return "; ".join(map(printable, dict.fromkeys(blocked)))
        return f"required, but not run: {missing}{why}" if missing else "no case applies"
    if report.outcome is Verdict.PARTIAL:
        clauses = len({result.clause for result in report.results})
        cases = len(report.results)
        return f"partial run: {clauses} of {len(CLAUSES)} clauses, {cases} case{'s'[: cases != 1]}"
    return _fault(report) if report.outcome is Verdict.NOT_CONFORMANT else ""


def _fault(report: Report) -> str:
    if not report.decisive:
        return "a known deviation, or what a limit excludes, passes: remove the declaration"
    if report.suspect:
        return f"look at {report.suspect} first"
    return "add `moments` to the backend, and the judge names the wrong line"


def undeclared(report: Report) -> str:
    """Return what no case asks for, since the backend does not declare it; empty if nothing."""
    found: dict[str, dict[str, None]] = {}
    for result in report.results:
        if result.status is Status.UNSUPPORTED and (told := _UNDECLARED.fullmatch(result.message)):
            found.setdefault(told[2], {}).update(dict.fromkeys(told[1].split(", ")))
    parts = "; ".join(f"`{where}`: {', '.join(names)}" for where, names in sorted(found.items()))
    return f"unsupported, until the backend declares it in {parts}" if parts else ""


def outcome(report: Report) -> str:
    """Return the outcome in words: ``conformant``, or what it is in the dialect judged by.

    >>> mine = Report("mine", (), ("A-4",), phrase="eps outside the maximum", profile="kernel")
    >>> outcome(mine)
    'Adamax with eps outside the maximum; otherwise incomplete as a kernel'
    """
    words = str(report.outcome)
    if report.profile == "kernel":
        words += " as a kernel"
    if report.phrase and report.outcome is Verdict.NOT_CONFORMANT and report.decisive:
        words = f"{Verdict.CONFORMANT} but for {_joined(report.decisive)}"
    if report.unfound:
        return f"no dialect found, so judged by the specification: {words}"
    return f"Adamax with {report.phrase}; otherwise {words}" if report.phrase else words


def _joined(clauses: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(clauses[:-1]), clauses[-1])))


def failures(report: Report) -> str:
    """Return ``in A-5, N-1``, to follow the outcome; empty if that names them or there are none."""
    named = report.phrase and report.outcome is Verdict.NOT_CONFORMANT
    return "" if named or not report.decisive else f" in {', '.join(report.decisive)}"


def grades(report: Report) -> str:
    """Return all grades in one line; empty if no case ran."""
    return "" if report.broken else "; ".join(map(str, report.grades))


def after_outcome(report: Report) -> str:
    """Return the rest of a sentence after the outcome; empty if the outcome says everything."""
    limits = (f"{limit} ({', '.join(clauses)})" for limit, clauses in report.limits.items())
    offers = f"; not offered: {', '.join(limits)}" if report.limits else ""
    return failures(report) + offers + (f"; {advice(report)}" if advice(report) else "")


def conclusion(report: Report) -> str:
    """Return the last line: where to look first, the diagnosis, and the offer to judge by it."""
    diagnosis = printable(report.diagnosis)
    named = report.suspect is not None and report.suspect in report.deviating
    first = _fault(report) if report.outcome is Verdict.NOT_CONFORMANT else ""
    about = [first, diagnosis if named or not diagnosis else f"diagnosis: {diagnosis}"]
    line = (": " if named else "; ").join(filter(None, about))
    how = "`--dialect found`" if report.named else "`dialect='found'`"
    return f"{line}; to judge by this dialect: {how}" if report.found else line
