"""The report for a pull request or a wiki: GitHub Markdown, with failures folded under the table.

Text from a backend is escaped inside a sentence, and fenced on its own.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TextIO

from adamax_conformance.reports.environment import judged_by
from adamax_conformance.reports.failure import in_full, written
from adamax_conformance.reports.report import Report, Verdict
from adamax_conformance.reports.result import BAD, Result, Status
from adamax_conformance.reports.text import (
    SIGNS,
    after_outcome,
    bound_used,
    by_clause,
    clauses_of,
    counted,
    grades,
    occurring,
    outcome,
)
from adamax_conformance.subject.printable import printable

_ACTIVE = re.compile(r"([\\`*_\[\]#!|~$@])")
_VERDICT_SIGNS = {
    Verdict.CONFORMANT: SIGNS[Status.PASS],
    Verdict.PARTIAL: SIGNS[Status.PASS],
    Verdict.DEVIATES: SIGNS[Status.XFAIL],
    Verdict.NOT_CONFORMANT: SIGNS[Status.FAIL],
    Verdict.INCOMPLETE: SIGNS[Status.BLOCKED],
    Verdict.BROKEN: SIGNS[Status.ERROR],
    Verdict.UNJUDGED: SIGNS[Status.UNJUDGED],
}


def write(reports: Sequence[Report], stream: TextIO, verbose: bool) -> None:
    """Write verdicts, table and failures; ``verbose`` adds expected failures and cases not run."""
    lines = [
        "# Adamax conformance",
        "",
        *_summary(reports),
        "",
        *_table(reports),
        "",
        _legend(reports),
        "",
        f"{escaped(judged_by())}.",
    ]
    for report in reports:
        lines += _details(report, verbose=verbose)
    text = "\n".join(lines) + "\n"
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "xmlcharrefreplace").decode(encoding))


def escaped(text: object) -> str:
    r"""Escape the text, so that nothing in it is Markdown or HTML markup.

    >>> print(escaped("a|b <i> `c`"))
    a\|b &lt;i&gt; \`c\`
    """
    plain = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # The pattern leaves out & and ;, which the entities above contain.
    return _ACTIVE.sub(r"\\\1", plain)


def _summary(reports: Sequence[Report]) -> Iterator[str]:
    """Yield the first table: a row for each backend with verdict, counts and advice."""
    statuses = occurring(reports)
    yield _row("backend", "verdict", *statuses, "numbers compared", "")
    yield _row("---", "---", *("---:" for _ in statuses), "---:", "---")
    for report in reports:
        yield summary_row(report, statuses)


def summary_row(report: Report, statuses: Sequence[Status]) -> str:
    """Return the row of one backend in the first table of the report."""
    verdict = f"{_VERDICT_SIGNS[report.outcome]} {outcome(report)}"
    counts = (str(report.counts[status]) for status in statuses)
    parts = (after_outcome(report).strip(" ;"), report.diagnosis, grades(report))
    more = "; ".join(filter(None, parts))
    return _row(escaped(report.backend), verdict, *counts, f"{report.elements:,}", escaped(more))


def _table(reports: Sequence[Report]) -> Iterator[str]:
    names = [escaped(report.backend) for report in reports]
    # As in the terminal: errors of several backends are not comparable, so leave them out.
    alone = len(reports) == 1
    yield _row("clause", *names, *(["bound used"] if alone else []))
    yield _row("---", *("---" for _ in names), *(["---:"] if alone else []))
    found = [by_clause(report) for report in reports]
    for clause in clauses_of(reports):
        title = f"{clause.id} {clause.title}"
        results = [each.get(clause.id, []) for each in found]
        used = [bound_used(results[0])] if alone else []
        yield _row(title if clause.required else f"_{title}_", *map(_cell, results), *used)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(results: Sequence[Result]) -> str:
    return " ".join(f"{SIGNS[status]}&nbsp;{count}" for status, count in counted(results))


def _legend(reports: Sequence[Report]) -> str:
    signs = ", ".join(f"{SIGNS[status]} {status}" for status in occurring(reports))
    return (
        f"{signs}. A number counts the cases of a clause, each in each dtype; _italic_ clauses "
        "bind a backend that offers what they are about."
    )


def _details(report: Report, *, verbose: bool) -> Iterator[str]:
    known = (Status.XFAIL, Status.UNSUPPORTED, Status.SKIPPED) if verbose else ()
    shown = [result for result in report.results if result.status in (*BAD, *known)]
    if not shown:
        return
    yield from ("", f"## {escaped(report.backend)}")
    described = in_full(report, shown)
    for clause, group in groupby(described, key=lambda each: each[0].clause):
        text = []
        for result, facts in group:
            text += [f"{result.id} {result.status}: {printable(result.message)}", *written(facts)]
        counts = ", ".join(
            f"{count} {status}" for status, count in counted(r for r in shown if r.clause == clause)
        )
        yield from ("", f"<details><summary>{clause}: {counts}</summary>", "")
        yield from (*fenced(text), "", "</details>")


def fenced(lines: Sequence[str]) -> list[str]:
    """Return the lines as a block of text that nothing in it ends."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", "\n".join(lines))), default=0))
    return [f"{fence}text", *lines, fence]
