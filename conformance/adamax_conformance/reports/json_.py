"""The report for programs; its schema is ``schemas/report.schema.json``."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from adamax_conformance.exchange.schemas import SchemaError, require
from adamax_conformance.exchange.wire import WireError
from adamax_conformance.reports.environment import environment
from adamax_conformance.reports.report import Report

VERSION = 4


class ReadError(ValueError):
    """A file holds no report of this version; the message says which file, and why."""


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
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        require("report", document)
        return list(map(Report.of, document["reports"]))
    except (ValueError, SchemaError, WireError) as error:
        raise ReadError(
            f"{path} is no report of version {VERSION}: {error}; write it anew by "
            f"`adamax-conformance check NAME --report json={path}`"
        ) from error
