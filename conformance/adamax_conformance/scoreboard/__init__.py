"""The scoreboard: one page about many implementations, from reports of any number of runs."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from adamax_conformance.scoreboard import html, json_, markdown
from adamax_conformance.scoreboard.entry import Entry

FORMATS: Mapping[str, Callable[[Sequence[Entry]], str]] = {
    "markdown": markdown.page,
    "json": json_.page,
    "html": html.page,
}


def write(entries: Sequence[Entry], form: str, stream: TextIO | None = None) -> None:
    """Write the scoreboard in one of `FORMATS`, by default to standard output."""
    stream = stream or sys.stdout
    stream.write(FORMATS[form](entries))
    stream.flush()
