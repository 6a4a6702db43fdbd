"""The scoreboard for programs; its schema is ``schemas/scoreboard.schema.json``."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from adamax_conformance.reports import json_
from adamax_conformance.reports.report import Report
from adamax_conformance.scoreboard.entry import Entry
from adamax_conformance.subject.printable import printable

VERSION = 2


def page(entries: Sequence[Entry]) -> str:
    """Return the scoreboard as JSON."""
    lines = [entry.as_dict() for entry in entries]
    return (
        json.dumps({"version": VERSION, "implementations": lines}, indent=1, allow_nan=False) + "\n"
    )


def read(path: Path) -> list[Entry]:
    """Return the lines in a file: a scoreboard, or reports of `check`.

    Raises:
        ReadError: the file is neither, or a report is not of a whole run by the dialect found.
        OSError: the file cannot be read.
    """
    document = json_.load(path)
    kinds = document.keys() & {"implementations", "reports"} if isinstance(document, dict) else ()
    if not kinds:
        raise json_.ReadError(
            f"{path} is no report and no scoreboard: it has neither `reports` nor `implementations`"
        )
    if "reports" in kinds:
        return [_line(path, report) for report in json_.reports(path, document)]
    remedy = "write it anew by `adamax-conformance render FILE... --format json`"
    json_.require_version(path, document, "scoreboard", VERSION, remedy)
    return list(map(Entry.read, document["implementations"]))


def merged(entries: Iterable[Entry]) -> list[Entry]:
    """Return one line for each name: the last, in the place of the first."""
    return list({entry.name: entry for entry in entries}.values())


def _line(path: Path, report: Report) -> Entry:
    """Return the line of a report of a whole run by the dialect found.

    Lines would otherwise differ in what they leave out, and one of a partial run could replace a
    complete one.
    """
    diagnosed = report.axes or report.unfound or report.broken
    if report.partial or report.found or not diagnosed:
        how = "by a part of the cases" if report.partial else "without `--dialect found`"
        raise json_.ReadError(
            f"{path}: {printable(report.backend)} was judged {how}: a line of the scoreboard "
            "needs `adamax-conformance check NAME --dialect found --known --report json=FILE`"
        )
    return Entry.of(report)
