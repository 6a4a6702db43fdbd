"""The command ``adamax-conformance``."""

import json
import sys
from enum import IntEnum, StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from adamax_conformance.backend import FEATURES, Backend
from adamax_conformance.cases import CASES
from adamax_conformance.check import check as check_one
from adamax_conformance.check import selected
from adamax_conformance.clauses import CLAUSES
from adamax_conformance.formats import DTYPES
from adamax_conformance.registry import (
    BackendBrokenError,
    BackendNotFoundError,
    available,
    find,
)
from adamax_conformance.report import Report, Verdict
from adamax_conformance.table import show


class Exit(IntEnum):
    """Exit codes."""

    CONFORMANT = 0
    NOT_CONFORMANT = 1
    USAGE = 2
    BROKEN = 3
    INCOMPLETE = 4


class Format(StrEnum):
    """How the report is printed."""

    PRETTY = "pretty"
    JSON = "json"


_CODES = {
    Verdict.CONFORMANT: Exit.CONFORMANT,
    Verdict.DEVIATES: Exit.CONFORMANT,
    Verdict.NOT_CONFORMANT: Exit.NOT_CONFORMANT,
    Verdict.INCOMPLETE: Exit.INCOMPLETE,
    Verdict.BROKEN: Exit.BROKEN,
}
_WORST_FIRST = (Exit.BROKEN, Exit.NOT_CONFORMANT, Exit.INCOMPLETE, Exit.CONFORMANT)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Says whether an implementation of Adamax computes the specification, and where not.",
)
_errors = Console(stderr=True)


def _complete(incomplete: str) -> list[str]:
    return [name for name in available() if name.startswith(incomplete)]


def _stop(message: str, code: Exit) -> typer.Exit:
    _errors.print(message, style="red", markup=False, highlight=False, emoji=False, soft_wrap=True)
    return typer.Exit(code)


@app.command()
def check(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="Backends: an installed name, with options as in 'torch?foreach=true', or "
            "py:module:attribute for your own.",
            autocompletion=_complete,
        ),
    ],
    clause: Annotated[
        list[str] | None, typer.Option(help="Only this clause, such as A-5; may be repeated.")
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(help=f"Only this dtype of {', '.join(DTYPES)}; may be repeated."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the data.")] = 0,
    output: Annotated[Format, typer.Option("--format", help="How to print the report.")] = (
        Format.PRETTY
    ),
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 for expected deviations too.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Explain deviations and what is unsupported.")
    ] = False,
) -> None:
    """Judge backends by every clause of docs/spec.md, side by side.

    Exit codes:

    - 0 conformant, or deviating exactly as documented
    - 1 not conformant
    - 2 usage: an unknown name, a framework that is not installed
    - 3 adapter broken: it cannot be imported, or cannot take one step
    - 4 incomplete: a required clause did not run

    Example: adamax-conformance check numpy 'torch?foreach=true' optax --dtype float32
    """
    # As for `python -m`: your own backend may be in the folder that you are in.
    sys.path.insert(0, "")
    try:
        chosen = selected(clause, dtype)
        backends = [find(name) for name in dict.fromkeys(names)]
    except (ValueError, BackendNotFoundError) as error:
        raise _stop(str(error), Exit.USAGE) from None
    except BackendBrokenError as error:
        raise _stop(str(error), Exit.BROKEN) from None
    if not chosen:
        raise _stop("no case of these clauses has these dtypes", Exit.USAGE)
    reports = _judge(backends, clause, dtype, seed, len(chosen))
    try:
        _write(reports, output, seed, verbose=verbose)
    except OSError as error:
        raise _stop(f"the report cannot be written: {error}", Exit.USAGE) from None
    codes = {_code(report, strict=strict) for report in reports}
    raise typer.Exit(next(code for code in _WORST_FIRST if code in codes))


def _write(reports: list[Report], output: Format, seed: int, *, verbose: bool) -> None:
    if output is Format.JSON:
        documents = [report.as_dict() for report in reports]
        sys.stdout.write(json.dumps({"version": 1, "seed": seed, "reports": documents}, indent=1))
        sys.stdout.write("\n")
    else:
        # A pipe has no width; the table is then as wide as it needs to be.
        wide = None if sys.stdout.isatty() else 40 + 26 * len(reports)
        show(reports, Console(width=wide), verbose=verbose)
    sys.stdout.flush()


def _judge(
    backends: list[Backend],
    clauses: list[str] | None,
    dtypes: list[str] | None,
    seed: int,
    cases: int,
) -> list[Report]:
    """The reports, with a progress bar where somebody may be looking."""
    columns = (
        TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(),
    )  # fmt: skip
    reports = []
    with Progress(*columns, console=_errors, disable=not _errors.is_terminal) as progress:
        for backend in backends:
            task = progress.add_task(backend.name, total=cases)
            reports.append(
                check_one(
                    backend,
                    clauses=clauses,
                    dtypes=dtypes,
                    seed=seed,
                    advance=lambda task=task: progress.advance(task),  # type: ignore[misc]  # a lambda's default has no type
                )
            )
    return reports


def _code(report: Report, *, strict: bool) -> Exit:
    if strict and report.verdict is Verdict.DEVIATES:
        return Exit.NOT_CONFORMANT
    return _CODES[report.verdict]


class Listed(StrEnum):
    """What `list` can show."""

    BACKENDS = "backends"
    CLAUSES = "clauses"
    CASES = "cases"
    FEATURES = "features"


@app.command("list")
def list_(
    what: Annotated[Listed, typer.Argument(help="What to list.")] = Listed.BACKENDS,
) -> None:
    """List the installed backends, the clauses, the cases, or the features of a backend."""
    rows: dict[Listed, list[tuple[str, str]]] = {
        Listed.BACKENDS: [(name, "") for name in available()],
        Listed.CLAUSES: [
            (c.id, c.title + ("" if c.required else " (where it is offered)")) for c in CLAUSES
        ],
        Listed.CASES: [(case.id, case.note) for case in CASES],
        Listed.FEATURES: list(FEATURES.items()),
    }
    width = max(len(name) for name, _ in rows[what])
    if not sys.stdout.isatty():
        # A line each, for grep.
        sys.stdout.writelines(
            f"{name:<{width}}  {text}".rstrip() + "\n" for name, text in rows[what]
        )
        return
    table = Table.grid(padding=(0, 2))
    for row in rows[what]:
        table.add_row(*map(Text, row))
    Console().print(table)


def main() -> None:
    """Run the command."""
    app()
