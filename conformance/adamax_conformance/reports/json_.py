"""The report for programs; its schema is ``schemas/report.schema.json``."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from adamax_conformance.exchange.schemas import SchemaError, require
from adamax_conformance.exchange.wire import WireError
from adamax_conformance.reports.environment import environment
from adamax_conformance.reports.report import Report
from adamax_conformance.subject.printable import LONGEST, printable

VERSION = 4


class ReadError(ValueError):
    """A file holds no document of this version; the message says which file, and why."""


def write(reports: Sequence[Report], stream: TextIO, verbose: bool) -> None:
    """Write all results; the document is always complete, so `verbose` changes nothing."""
    del verbose
    documents = [report.as_dict() for report in reports]
    document = {"version": VERSION, "environment": environment(), "reports": documents}
    json.dump(document, stream, indent=1, allow_nan=False)
    stream.write("\n")


def read(path: Path) -> list[Report]:
    """Return the reports in a file that `write` has written.

    Raises:
        ReadError: the file holds something else.
        OSError: the file cannot be read.
    """
    return reports(path, load(path))


def reports(path: Path, document: Any) -> list[Report]:
    """Return the reports in a document that `load` has read from this file.

    Raises:
        ReadError: it is another document.
    """
    remedy = f"write it anew by `adamax-conformance check NAME --report json={path}`"
    require_version(path, document, "report", VERSION, remedy)
    try:
        found = list(map(Report.of, document["reports"]))
    except WireError as error:
        raise ReadError(f"{path}: {printable(error, LONGEST)}; {remedy}") from error
    return [replace(report, environment=document["environment"]) for report in found]


def load(path: Path) -> Any:
    """Return the JSON document in a file, in UTF-8 with or without a byte order mark.

    Raises:
        ReadError: the file holds something else.
        OSError: the file cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=_refuse)
    except RecursionError as error:
        raise ReadError(f"{path} is not JSON that can be read: it is nested too deeply") from error
    except ValueError as error:
        raise ReadError(f"{path} is not JSON: {printable(error, LONGEST)}") from error


def require_version(path: Path, document: Any, name: str, version: int, remedy: str) -> None:
    """Raise unless the document has this version, and satisfies the schema of this name.

    Raises:
        ReadError: it does not; the message ends in the remedy.
    """
    given = document.get("version", version) if isinstance(document, dict) else version
    why = "" if given == version else f"its version is {given!r}"
    try:
        if not why:
            require(name, document)
    except SchemaError as error:
        why = str(error)
    if why:
        why = printable(why, LONGEST)
        raise ReadError(f"{path} is no {name} of version {version}: {why}; {remedy}")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")
