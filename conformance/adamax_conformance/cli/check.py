"""``adamax-conformance check``: judge backends side by side, and print the report."""

import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from adamax_conformance.check import check as judge_backend
from adamax_conformance.check import selected
from adamax_conformance.cli.app import (
    Exit,
    Names,
    app,
    complete_case,
    complete_clause,
    complete_dtype,
    discard_output,
    errors,
    found,
    progress,
    require_new,
    stop,
)
from adamax_conformance.protocol import TIMEOUT
from adamax_conformance.reports import FORMATS, write
from adamax_conformance.reports.expectations import Expectation, Expectations, dump, load
from adamax_conformance.reports.report import Report, Verdict
from adamax_conformance.reports.result import Status
from adamax_conformance.spec.formats import DTYPES

_CODES = {
    Verdict.CONFORMANT: Exit.CONFORMANT,
    Verdict.PARTIAL: Exit.CONFORMANT,
    Verdict.DEVIATES: Exit.CONFORMANT,
    Verdict.NOT_CONFORMANT: Exit.NOT_CONFORMANT,
    Verdict.INCOMPLETE: Exit.INCOMPLETE,
    Verdict.BROKEN: Exit.BROKEN,
}
_WORST_FIRST = (Exit.BROKEN, Exit.NOT_CONFORMANT, Exit.INCOMPLETE, Exit.CONFORMANT)

Format = StrEnum("Format", [*FORMATS])  # type: ignore[misc]  # the names are those of a mapping
_PRETTY = Format("pretty")
_EXPECT = (
    "A TOML file of known deviations: [[expect]] with id, status (fail, error or skip), reason and "
    "url. An expected failure that passes counts as a failure."
)


@app.command()
def check(
    names: Names,
    clause: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this clause, such as A-5; may be repeated.", autocompletion=complete_clause
        ),
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Only this dtype of {', '.join(DTYPES)}; may be repeated.",
            autocompletion=complete_dtype,
        ),
    ] = None,
    case: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this case, such as 'A-5/decays[float32]'; may be repeated.",
            autocompletion=complete_case,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the data.")] = 0,
    output: Annotated[Format, typer.Option("--format", help="How to write the report.")] = _PRETTY,
    expect: Annotated[Path | None, typer.Option(help=_EXPECT)] = None,
    write_expect: Annotated[
        Path | None, typer.Option(help="Write such a file of all present failures.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Seconds that a cmd: program has for each answer.")
    ] = TIMEOUT,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 for expected deviations too.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Explain deviations and what is unsupported.")
    ] = False,
) -> None:
    """Judge backends by every clause of the specification, side by side.

    Exit codes:

    - 0 conformant, or deviating exactly as documented; a partial run that passes
    - 1 not conformant
    - 2 usage: an unknown name, a framework that is not installed
    - 3 adapter broken: it cannot be imported, or cannot take one step
    - 4 incomplete: a required clause did not run

    Example: adamax-conformance check numpy 'torch?foreach=true' optax --dtype float32
    """
    try:
        chosen = selected(clause, dtype, case)
        known = Expectations() if expect is None else load(expect)
    except (ValueError, OSError) as error:
        raise stop(str(error), Exit.USAGE) from None
    if not chosen:
        raise stop("no case matches --clause, --dtype and --case together", Exit.USAGE)
    if (expect or write_expect) and len(set(names)) > 1:
        raise stop("a file of expectations is for one backend: give one NAME", Exit.USAGE)
    if write_expect is not None:
        require_new(write_expect)
    backends = {name: found(name, timeout) for name in names}
    with progress() as task:
        reports = [
            replace(
                judge_backend(
                    backend,
                    clauses=clause,
                    dtypes=dtype,
                    cases=case,
                    seed=seed,
                    expect=known,
                    advance=task(backend.name, len(chosen)),
                ),
                named=name,
            )
            for name, backend in backends.items()
        ]
    try:
        if write_expect is not None:
            expectations = _expectations(reports[0])
            dump(expectations, write_expect)
            errors.print(f"{write_expect}: {len(expectations)} expectations", markup=False)
        write(reports, output.value, verbose=verbose)
    except BrokenPipeError:
        # The reader has closed the pipe; the flush at exit must not fail either.
        discard_output(sys.stdout)
    except OSError as error:
        raise stop(f"cannot write the report: {error}", Exit.USAGE) from None
    codes = {_code(report, strict=strict) for report in reports}
    raise typer.Exit(next(code for code in _WORST_FIRST if code in codes))


def _expectations(report: Report) -> list[Expectation]:
    """Return an expectation for each present failure."""
    return [
        Expectation(result.id, result.message, result.status.value)
        for result in report.results
        if result.status in (Status.FAIL, Status.ERROR)
    ]


def _code(report: Report, *, strict: bool) -> Exit:
    if strict and report.verdict is Verdict.DEVIATES:
        return Exit.NOT_CONFORMANT
    return _CODES[report.verdict]
