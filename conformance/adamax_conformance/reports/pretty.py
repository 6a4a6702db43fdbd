"""The report as people read it in a terminal: clauses down, backends across, totals below."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from adamax_conformance.clauses import CLAUSES
from adamax_conformance.report import BAD, Report, Result, Status, Verdict

_MARKS = {
    Status.PASS: ("✓", "+", "green"),
    Status.FAIL: ("✗", "x", "bold red"),
    Status.XFAIL: ("≠", "~", "yellow"),
    Status.XPASS: ("?", "?", "bold red"),
    Status.UNSUPPORTED: ("·", "-", "bright_black"),
    Status.SKIPPED: ("s", "s", "bright_black"),
    Status.ERROR: ("!", "!", "bold magenta"),
    Status.BLOCKED: ("□", "b", "bright_black"),
}
_VERDICT_STYLES = {
    Verdict.CONFORMANT: "bold green",
    Verdict.DEVIATES: "yellow",
    Verdict.NOT_CONFORMANT: "bold red",
    Verdict.INCOMPLETE: "magenta",
    Verdict.BROKEN: "bold magenta",
}
Marks = Mapping[Status, tuple[str, str]]
"""How a status is written, and in which style."""

_SHOWN = 20


def write(reports: Sequence[Report], stream: TextIO, verbose: bool) -> None:
    """The table, what went wrong, and the verdicts."""
    # A pipe has no width; the table is then as wide as it needs to be.
    wide = None if stream.isatty() else 40 + 26 * len(reports)
    show(reports, Console(file=stream, width=wide), verbose=verbose)


def show(reports: Sequence[Report], console: Console, *, verbose: bool = False) -> None:
    """Print the table, what went wrong, and the verdicts.

    Args:
        reports: one a backend, of the same cases.
        console: where to.
        verbose: explain each expected deviation, and why cases are unsupported.
    """
    plain = console.options.ascii_only
    marks = {
        status: (ascii_mark if plain else mark, style)
        for status, (mark, ascii_mark, style) in _MARKS.items()
    }
    for table in _tables(reports, console, marks):
        console.print(table)
    console.print(
        Text.assemble(*[(f"{mark} {status}   ", style) for status, (mark, style) in marks.items()]),
        Text("a number counts the cases of a clause, each in each dtype", "bright_black"),
        sep="",
    )
    for report in reports:
        _details(report, console, marks, verbose=verbose)
    console.print()
    for report in reports:
        console.print(_sentence(report))


def _tables(reports: Sequence[Report], console: Console, marks: Marks) -> list[Table]:
    """One table, or several of fewer backends each where the terminal is too narrow for it."""
    table = _table(reports, marks)
    unlimited = console.options.update_width(10_000)
    if len(reports) == 1 or console.measure(table, options=unlimited).maximum <= console.width:
        return [table]
    half = (len(reports) + 1) // 2
    return _tables(reports[:half], console, marks) + _tables(reports[half:], console, marks)


def _table(reports: Sequence[Report], marks: Marks) -> Table:
    table = Table(header_style="bold", title="Adamax conformance", title_style="bold")
    table.add_column("clause", no_wrap=True)
    for report in reports:
        table.add_column(Text(report.backend.replace("?", "\n?")), justify="left", min_width=5)
    shown = {result.clause for report in reports for result in report.results}
    groups = [clause for clause in CLAUSES if clause.id in shown]
    for clause, following in zip(groups, [*groups[1:], None], strict=True):
        cells = [
            _cell([r for r in report.results if r.clause == clause.id], marks) for report in reports
        ]
        title = Text(f"{clause.id:<5}{clause.title}", "" if clause.required else "italic")
        last = following is None or following.id[0] != clause.id[0]
        table.add_row(title, *cells, end_section=last)
    for status, (mark, style) in marks.items():
        counts = [Text(str(report.counts[status]), style) for report in reports]
        table.add_row(Text(f"{mark} {status}", style), *counts)
    table.add_row("cases, all", *(str(len(report.results)) for report in reports))
    table.add_row("numbers compared", *(f"{report.elements:,}" for report in reports))
    return table


def _cell(results: Sequence[Result], marks: Marks) -> Text:
    counts = Counter(result.status for result in results)
    parts = [
        (f"{mark}{counts[status]} ", style)
        for status, (mark, style) in marks.items()
        if counts[status]
    ]
    return Text.assemble(*parts)


def _details(report: Report, console: Console, marks: Marks, *, verbose: bool) -> None:
    wanted = [Status.XFAIL, Status.UNSUPPORTED, Status.SKIPPED] if verbose else []
    bad = [result for result in report.results if result.status in (*BAD, *wanted)]
    if report.broken:
        console.print(Text(f"\n{report.backend}: {report.broken}", "bold magenta"))
        return
    if not bad:
        return
    console.print(Text(f"\n{report.backend}", "bold"))
    for result in bad if verbose else bad[:_SHOWN]:
        mark, style = marks[result.status]
        console.print(Text.assemble((f"  {mark} {result.id}: ", style), result.message))
    if not verbose and len(bad) > _SHOWN:
        console.print(f"  and {len(bad) - _SHOWN} more: --verbose shows them all")


def _sentence(report: Report) -> Text:
    verdict = report.verdict
    sentence = Text.assemble((report.backend, "bold"), ": ", (verdict, _VERDICT_STYLES[verdict]))
    if verdict is Verdict.DEVIATES:
        sentence.append(f" in {', '.join(report.failed_clauses)}")
    elif verdict is Verdict.NOT_CONFORMANT:
        sentence.append(f" in {', '.join(report.failed_clauses)}; ")
        sentence.append(
            f"look at {report.suspect} first"
            if report.visible
            else "the state is not shown: `moments` would tell which line it is"
        )
    elif verdict is Verdict.INCOMPLETE:
        missing = ", ".join(report.missing)
        sentence.append(f"; required, but not run: {missing}" if missing else "; no case applies")
    return sentence
