"""The scoreboard for programs; its schema is ``schemas/scoreboard.schema.json``."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from adamax_conformance.exchange.schemas import SchemaError, require
from adamax_conformance.reports import json_
from adamax_conformance.reports.environment import environment
from adamax_conformance.scoreboard.entry import Entry

VERSION = 1


def page(entries: Sequence[Entry]) -> str:
    """Return the scoreboard as JSON."""
    lines = [entry.as_dict() for entry in entries]
    document = {"version": VERSION, "environment": environment(), "implementations": lines}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def read(path: Path) -> list[Entry]:
    """Return the lines in a file: a scoreboard, or reports of `check`.

    Raises:
        ReadError: the file is neither.
        OSError: the file cannot be read.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        require("scoreboard", document)
    except (ValueError, SchemaError):
        return list(map(Entry.of, json_.read(path)))
    return list(map(Entry.read, document["implementations"]))


def merged(entries: Iterable[Entry]) -> list[Entry]:
    """Return one line for each name: the last, in the place of the first."""
    return list({entry.name: entry for entry in entries}.values())
