"""The report for programs; ``schemas/report.schema.json`` says what is in it."""

import json
from collections.abc import Sequence
from typing import TextIO

from adamax_conformance.reports.report import Report

VERSION = 2


def write(reports: Sequence[Report], stream: TextIO, verbose: bool) -> None:
    """Everything that was found; there is no more to say."""
    del verbose
    documents = [report.as_dict() for report in reports]
    json.dump({"version": VERSION, "reports": documents}, stream, indent=1, allow_nan=False)
    stream.write("\n")
