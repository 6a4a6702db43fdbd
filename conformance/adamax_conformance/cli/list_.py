"""``adamax-conformance list``: the names that the command line takes."""

import sys
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adamax_conformance.cases import CASES
from adamax_conformance.cli.app import app
from adamax_conformance.registry import available, install, missing
from adamax_conformance.spec.clauses import CLAUSES
from adamax_conformance.subject.backend import FEATURES


class Listed(StrEnum):
    """The kinds of names."""

    BACKENDS = "backends"
    CLAUSES = "clauses"
    CASES = "cases"
    FEATURES = "features"


@app.command("list")
def list_(
    what: Annotated[Listed, typer.Argument(help="What to list.")] = Listed.BACKENDS,
) -> None:
    """List the backends, installed or not, the clauses, the cases, or the optional features."""
    rows: dict[Listed, list[tuple[str, str]]] = {
        Listed.BACKENDS: [(name, _installed(name)) for name in available()],
        Listed.CLAUSES: [
            (c.id, c.title + ("" if c.required else " (only for backends with the feature)"))
            for c in CLAUSES
        ],
        Listed.CASES: [(case.id, case.note) for case in CASES],
        Listed.FEATURES: list(FEATURES.items()),
    }
    width = max(len(name) for name, _ in rows[what])
    if not sys.stdout.isatty():
        # One line for each name, for grep.
        sys.stdout.writelines(
            f"{name:<{width}}  {text}".rstrip() + "\n" for name, text in rows[what]
        )
        return
    table = Table.grid(padding=(0, 2))
    for row in rows[what]:
        table.add_row(*map(Text, row))
    Console().print(table)


def _installed(name: str) -> str:
    package = missing(name)
    return f"needs {package}; {install(package)}" if package else "installed"
