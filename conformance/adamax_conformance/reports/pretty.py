"""The report for a terminal: a row for each clause, a column for each backend, the outcome last."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from adamax_conformance.reports.environment import judged_by
from adamax_conformance.reports.failure import describe, in_full, most_informative, written
from adamax_conformance.reports.grade import spans
from adamax_conformance.reports.report import Report, Verdict
from adamax_conformance.reports.result import BAD, Result, Status
from adamax_conformance.reports.text import (
    EXPLAINED,
    GROUPS,
    SIGNS,
    after_outcome,
    bound_used,
    by_clause,
    clauses_of,
    conclusion,
    counted,
    failures,
    grades,
    occurring,
    outcome,
    undeclared,
)
from adamax_conformance.spec.clauses import Clause
from adamax_conformance.subject.printable import printable

_ASCII_SIGNS = {
    Status.PASS: "+",
    Status.FAIL: "x",
    Status.XFAIL: "~",
    Status.XPASS: "?",
    Status.UNSUPPORTED: "-",
    Status.SKIPPED: "s",
    Status.REFUSED: "r",
    Status.ERROR: "!",
    Status.BLOCKED: "b",
    Status.UNJUDGED: "u",
}
_STYLES = {
    Status.PASS: "green",
    Status.FAIL: "bold red",
    Status.XFAIL: "yellow",
    Status.XPASS: "bold red",
    Status.UNSUPPORTED: "bright_black",
    Status.SKIPPED: "bright_black",
    Status.REFUSED: "bold red",
    Status.ERROR: "bold magenta",
    Status.BLOCKED: "bright_black",
    Status.UNJUDGED: "bold magenta",
}
_VERDICT_STYLES = {
    Verdict.CONFORMANT: "bold green",
    Verdict.PARTIAL: "green",
    Verdict.DEVIATES: "yellow",
    Verdict.NOT_CONFORMANT: "bold red",
    Verdict.INCOMPLETE: "magenta",
    Verdict.BROKEN: "bold magenta",
    Verdict.UNJUDGED: "bold magenta",
}

_USED = "bound used: the largest error, relative to the error that the specification allows"
_COMPARED = "numbers compared: numbers checked against the specification"
_ROWS = 10
"""Largest number of clauses of one backend that get a row each without `verbose`."""
_IN_SHORT = ("why", "minimal example", "reproduce")
"""Facts of the first fault that are shown last, so that they fit a screen with the outcome."""


def write(reports: Sequence[Report], stream: TextIO, verbose: bool) -> None:
    """Print the report; into a pipe, which has no width, as wide as the table needs."""
    wide = None if stream.isatty() else 52 + 26 * len(reports)
    show(reports, Console(file=stream, width=wide), verbose=verbose)


def show(reports: Sequence[Report], console: Console, *, verbose: bool = False) -> None:
    """Print the table, the failures, and last what matters most: first fault, outcome, diagnosis.

    Args:
        reports: one for each backend, of the same cases.
        console: the console to print to.
        verbose: explain all failures in full, expected failures, and why cases are unsupported.
    """
    signs = _ASCII_SIGNS if console.options.ascii_only else SIGNS
    folded = len(reports) == 1 and not verbose and len(clauses_of(reports)) > _ROWS
    for table in _tables(reports, console, signs, folded=folded):
        console.print(table)
    legend = [(f"{signs[each]} {each}   ", _STYLES[each]) for each in occurring(reports)]
    console.print(
        Text.assemble(*legend),
        Text("a number counts the cases of a clause, each in each dtype", "bright_black"),
        sep="",
    )
    explained = [_USED, _COMPARED] if len(reports) == 1 else [_COMPARED]
    console.print(Text("; ".join(explained), "bright_black"))
    if len(reports) == 1 and (missing := undeclared(reports[0])):
        console.print(Text(missing, "bright_black"))
    console.print(Text(judged_by(), "bright_black"))
    for report in reports:
        _details(report, console, signs, verbose=verbose)
    for report in reports:
        _conclusion(report, console, signs)


def _tables(
    reports: Sequence[Report],
    console: Console,
    signs: Mapping[Status, str],
    *,
    folded: bool = False,
) -> list[Table]:
    """Return one table, or several of fewer backends each if the terminal is too narrow."""
    table = _table(reports, signs, ascii_only=console.options.ascii_only, folded=folded)
    unlimited = console.options.update_width(10_000)
    if len(reports) == 1 or console.measure(table, options=unlimited).maximum <= console.width:
        return [table]
    half = (len(reports) + 1) // 2
    return _tables(reports[:half], console, signs) + _tables(reports[half:], console, signs)


def _table(
    reports: Sequence[Report], signs: Mapping[Status, str], *, ascii_only: bool, folded: bool
) -> Table:
    """Return a row for each clause, or, if folded, for each group of clauses; then the totals."""
    table = Table(header_style="bold", title="Adamax conformance", title_style="bold")
    table.add_column("clause", no_wrap=True)
    for report in reports:
        name = printable(report.backend)
        if ascii_only:
            name = ascii(name)[1:-1]
        table.add_column(Text(name.replace("?", "\n?")), min_width=5, overflow="fold")
    # Errors of several backends are not comparable, so show them for one backend only.
    alone = len(reports) == 1
    if alone:
        table.add_column("bound used", justify="right")
    found = [by_clause(report) for report in reports]
    groups = [[*each] for _, each in groupby(clauses_of(reports), lambda clause: clause.id[0])]
    for group in groups:
        rows = [group] if folded else [[clause] for clause in group]
        for row in rows:
            results = [[r for clause in row for r in each.get(clause.id, [])] for each in found]
            cells = [_cell(each, signs) for each in results]
            used = [_used(results[0])] if alone else []
            last = row is rows[-1] and (not folded or group is groups[-1])
            table.add_row(_title(row), *cells, *used, end_section=last)
    for status in occurring(reports):
        style = _STYLES[status]
        counts = [Text(str(report.counts[status]), style) for report in reports]
        table.add_row(Text(f"{signs[status]} {status}", style), *counts)
    table.add_row("cases, all", *(str(len(report.results)) for report in reports))
    table.add_row("numbers compared", *(f"{report.elements:,}" for report in reports))
    return table


def _title(clauses: Sequence[Clause]) -> Text:
    [first, *others] = clauses
    if others:
        return Text(f"{spans(each.id for each in clauses)}  {GROUPS[first.id[0]]}")
    return Text(f"{first.id:<5}{first.title}", "" if first.required else "italic")


def _cell(results: Sequence[Result], signs: Mapping[Status, str]) -> Text:
    return Text.assemble(
        *((f"{signs[status]}{count} ", _STYLES[status]) for status, count in counted(results))
    )


def _used(results: Sequence[Result]) -> Text:
    """Return the bound used: near one, a backend is close to failing; red above one."""
    wrong = any(result.bound_used > 1 for result in results)
    return Text(bound_used(results), "bold red" if wrong else "")


def _details(
    report: Report, console: Console, signs: Mapping[Status, str], *, verbose: bool
) -> None:
    """Print a line for each group of clauses that fail; with `verbose`, every result in full."""
    wanted = [Status.XFAIL, Status.UNSUPPORTED, Status.SKIPPED] if verbose else []
    shown = [result for result in report.results if result.status in (*BAD, *wanted)]
    if report.broken or not shown:
        return
    console.print()
    _line(console, Text(printable(report.backend), "bold"))
    if not verbose:
        groups = groupby(most_informative(shown), lambda result: result.clause[0])
        lines = [_folded([*group], signs) for _, group in groups]
        for each in lines:
            _line(console, each, cut=True)
        if left := len(shown) - len(lines):
            _line(console, Text(f"  and {left} more: --verbose shows them all"))
        return
    for result, facts in in_full(report, shown):
        _line(console, _heading(result, signs))
        for line in written(facts, "      "):
            _line(console, Text(line))


def _folded(results: Sequence[Result], signs: Mapping[Status, str]) -> Text:
    """Return a line for results of several clauses: that of the first that nothing explains."""
    first = next((each for each in results if EXPLAINED not in each.message), results[0])
    others = spans(each.clause for each in results) if len(results) > 1 else ""
    return _heading(first, signs, f"{others}, as " if others else "")


def _heading(result: Result, signs: Mapping[Status, str], before: str = "") -> Text:
    heading = f"  {signs[result.status]} {before}{result.id}: "
    return Text.assemble((heading, _STYLES[result.status]), printable(result.message))


def _conclusion(report: Report, console: Console, signs: Mapping[Status, str]) -> None:
    """Print what to read if nothing else is read: the first fault, the outcome, the diagnosis."""
    console.print()
    bad = [result for result in report.results if result.status in BAD]
    for result in most_informative(bad):
        if result.clause == report.suspect:
            facts = [fact for fact in describe(report, result) if fact.name in _IN_SHORT]
            _line(console, _heading(result, signs))
            for line in written(tuple(facts), "      "):
                _line(console, Text(line))
    style = _VERDICT_STYLES[report.outcome]
    name = (printable(report.backend), "bold")
    wrong = report.outcome is Verdict.NOT_CONFORMANT
    rest = failures(report) if wrong else after_outcome(report)
    _line(console, Text.assemble(name, ": ", (outcome(report), style), rest))
    for line in filter(None, (grades(report), conclusion(report))):
        _line(console, Text(f"  {line}"))


def _line(console: Console, text: Text, *, cut: bool = False) -> None:
    """Print a line; wrap or cut it only in a terminal, since it may be a command to copy."""
    if console.options.ascii_only:
        text.plain = text.plain.encode("ascii", "backslashreplace").decode("ascii")
    if cut and console.is_terminal:
        console.print(text, no_wrap=True, overflow="ellipsis")
    else:
        console.print(text, soft_wrap=not console.is_terminal)
