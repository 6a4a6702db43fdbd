"""``adamax-conformance render``: one scoreboard from reports that were made in any environments."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from adamax_conformance.cli.app import Exit, app, stop
from adamax_conformance.reports.json_ import ReadError
from adamax_conformance.scoreboard import FORMATS, write
from adamax_conformance.scoreboard.json_ import merged, read

Form = StrEnum("Form", [*FORMATS])  # type: ignore[misc]  # the names are those of a mapping
_MARKDOWN = Form("markdown")


@app.command()
def render(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Reports of `check --report json=FILE`, or scoreboards of `render --format json`.",
        ),
    ],
    output: Annotated[Form, typer.Option("--format", help="Output format.")] = _MARKDOWN,
) -> None:
    """Write one scoreboard from reports that were made in different environments.

    The reports must come from `check --dialect found` of all cases, which finds the dialect on each
    axis; `--known` adds the smallest case of each deviation. Of several lines with one name, the
    last counts. Each line keeps its date and what judged it.

    Exit codes:

    - 0 written
    - 2 usage: a file is missing, is no report, or is of a run that says less than a line needs

    Example: adamax-conformance render a.json b.json --format html
    """
    try:
        entries = merged(entry for file in files for entry in read(file))
    except (ReadError, OSError) as error:
        raise stop(str(error), Exit.USAGE) from None
    write(entries, output.value)
