"""Report formats for people and programs: one file for each, each a function of the reports."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from adamax_conformance.reports import html, json_, junit, markdown, pretty
from adamax_conformance.reports.report import Report

Write = Callable[[Sequence[Report], TextIO, bool], None]
"""Function of a format: takes reports of the same cases, a stream, and whether to be verbose."""

FORMATS: Mapping[str, Write] = {
    "pretty": pretty.write,
    "json": json_.write,
    "junit": junit.write,
    "markdown": markdown.write,
    "html": html.write,
}


def write(
    reports: Sequence[Report], form: str, stream: TextIO | None = None, *, verbose: bool = False
) -> None:
    """Write the reports in one of `FORMATS`, by default to standard output."""
    stream = stream or sys.stdout
    FORMATS[form](reports, stream, verbose)
    stream.flush()
