"""The report for programs; its schema is ``schemas/report.schema.json``."""

import json
from collections.abc import Sequence
from typing import TextIO

from adamax_conformance.reports.report import Report

VERSION = 2


def write(reports: Sequence[Report], stream: TextIO, verbose: bool) -> None:
    """Write all results; the document is always complete, so `verbose` changes nothing."""
    del verbose
    documents = [report.as_dict() for report in reports]
    json.dump({"version": VERSION, "reports": documents}, stream, indent=1, allow_nan=False)
    stream.write("\n")
