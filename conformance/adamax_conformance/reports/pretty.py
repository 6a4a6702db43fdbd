"""The report for a terminal: a row for each clause, a column for each backend, totals below."""

from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from adamax_conformance.reports.failure import in_full, most_informative, written
from adamax_conformance.reports.report import Report, Verdict
from adamax_conformance.reports.result import BAD, Result, Status
from adamax_conformance.reports.text import (
    SIGNS,
    after_verdict,
    bound_used,
    by_clause,
    clauses_of,
    counted,
    occurring,
)
from adamax_conformance.subject.printable import printable

_ASCII_SIGNS = {
    Status.PASS: "+",
    Status.FAIL: "x",
    Status.XFAIL: "~",
    Status.XPASS: "?",
    Status.UNSUPPORTED: "-",
    Status.SKIPPED: "s",
    Status.ERROR: "!",
    Status.BLOCKED: "b",
}
_STYLES = {
    Status.PASS: "green",
    Status.FAIL: "bold red",
    Status.XFAIL: "yellow",
    Status.XPASS: "bold red",
    Status.UNSUPPORTED: "bright_black",
    Status.SKIPPED: "bright_black",
    Status.ERROR: "bold magenta",
    Status.BLOCKED: "bright_black",
}
_VERDICT_STYLES = {
    Verdict.CONFORMANT: "bold green",
    Verdict.PARTIAL: "green",
    Verdict.DEVIATES: "yellow",
    Verdict.NOT_CONFORMANT: "bold red",
    Verdict.INCOMPLETE: "magenta",
    Verdict.BROKEN: "bold magenta",
}

_USED = "bound used: the largest error, relative to the error that the specification allows"
_COMPARED = "numbers compared: numbers checked against the specification"
_SHOWN = 20
_IN_FULL = 3
"""Failures explained in full without --verbose: few, so that table and verdict fit a screen."""


def write(reports: Sequence[Report], stream: TextIO, verbose: bool) -> None:
    """Print the report; into a pipe, which has no width, as wide as the table needs."""
    wide = None if stream.isatty() else 52 + 26 * len(reports)
    show(reports, Console(file=stream, width=wide), verbose=verbose)


def show(reports: Sequence[Report], console: Console, *, verbose: bool = False) -> None:
    """Print the table, the failures, and the verdicts.

    Args:
        reports: one for each backend, of the same cases.
        console: the console to print to.
        verbose: explain all failures in full, expected failures, and why cases are unsupported.
    """
    signs = _ASCII_SIGNS if console.options.ascii_only else SIGNS
    for table in _tables(reports, console, signs):
        console.print(table)
    legend = [(f"{signs[each]} {each}   ", _STYLES[each]) for each in occurring(reports)]
    console.print(
        Text.assemble(*legend),
        Text("a number counts the cases of a clause, each in each dtype", "bright_black"),
        sep="",
    )
    explained = [_USED, _COMPARED] if len(reports) == 1 else [_COMPARED]
    console.print(Text("; ".join(explained), "bright_black"))
    for report in reports:
        _details(report, console, signs, verbose=verbose)
    console.print()
    for report in reports:
        _line(console, _sentence(report))


def _line(console: Console, text: Text) -> None:
    """Print a line; wrap it only in a terminal, since it may be a command to copy."""
    if console.options.ascii_only:
        text.plain = text.plain.encode("ascii", "backslashreplace").decode("ascii")
    console.print(text, soft_wrap=not console.is_terminal)


def _tables(
    reports: Sequence[Report], console: Console, signs: Mapping[Status, str]
) -> list[Table]:
    """Return one table, or several of fewer backends each if the terminal is too narrow."""
    table = _table(reports, signs, ascii_only=console.options.ascii_only)
    unlimited = console.options.update_width(10_000)
    if len(reports) == 1 or console.measure(table, options=unlimited).maximum <= console.width:
        return [table]
    half = (len(reports) + 1) // 2
    return _tables(reports[:half], console, signs) + _tables(reports[half:], console, signs)


def _table(reports: Sequence[Report], signs: Mapping[Status, str], *, ascii_only: bool) -> Table:
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
    groups = clauses_of(reports)
    for clause, following in zip(groups, [*groups[1:], None], strict=True):
        results = [each.get(clause.id, []) for each in found]
        cells = [_cell(each, signs) for each in results]
        used = [_used(results[0])] if alone else []
        title = Text(f"{clause.id:<5}{clause.title}", "" if clause.required else "italic")
        last = following is None or following.id[0] != clause.id[0]
        table.add_row(title, *cells, *used, end_section=last)
    for status in occurring(reports):
        style = _STYLES[status]
        counts = [Text(str(report.counts[status]), style) for report in reports]
        table.add_row(Text(f"{signs[status]} {status}", style), *counts)
    table.add_row("cases, all", *(str(len(report.results)) for report in reports))
    table.add_row("numbers compared", *(f"{report.elements:,}" for report in reports))
    return table


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
    if report.broken:
        return
    wanted = [Status.XFAIL, Status.UNSUPPORTED, Status.SKIPPED] if verbose else []
    shown = [result for result in report.results if result.status in (*BAD, *wanted)]
    if not shown:
        return
    chosen = shown if verbose else _some(report, shown)
    console.print()
    _line(console, Text(printable(report.backend), "bold"))
    described = 0
    for result, facts in in_full(report, chosen):
        described += bool(facts)
        heading = f"  {signs[result.status]} {result.id}: "
        style = _STYLES[result.status]
        _line(console, Text.assemble((heading, style), printable(result.message)))
        for line in written(facts, "      ") if verbose or described <= _IN_FULL else ():
            _line(console, Text(line))
    if left := len(shown) - len(chosen):
        _line(console, Text(f"  and {left} more: --verbose shows them all"))


def _some(report: Report, results: Sequence[Result]) -> Sequence[Result]:
    """Return the results to print, those of the suspect first; of many, one for each clause."""
    if len(results) > _SHOWN:
        results = most_informative(results)
    return sorted(results, key=lambda result: result.clause != report.suspect)[:_SHOWN]


def _sentence(report: Report) -> Text:
    verdict = report.verdict
    name = (printable(report.backend), "bold")
    return Text.assemble(name, ": ", (verdict, _VERDICT_STYLES[verdict]), after_verdict(report))
