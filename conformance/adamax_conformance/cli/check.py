"""``adamax-conformance check``: judge backends side by side, and print the report."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from adamax_conformance.cases.selection import selected
from adamax_conformance.check import check as judge_backend
from adamax_conformance.cli.app import (
    Exit,
    Names,
    Timeout,
    app,
    complete_case,
    complete_clause,
    complete_dtype,
    completing,
    discard_output,
    errors,
    found,
    limit_calls,
    progress,
    require_new,
    stop,
)
from adamax_conformance.dialects.dialect import FOUND_NAME, Dialect
from adamax_conformance.reports import FORMATS, write
from adamax_conformance.reports.environment import started
from adamax_conformance.reports.expectations import Expectation, Expectations, dump, load
from adamax_conformance.reports.report import PROFILES, Report, Verdict
from adamax_conformance.reports.result import Status
from adamax_conformance.spec.alteration import CANONICAL_NAME
from adamax_conformance.spec.formats import DTYPES

_CODES = {
    Verdict.CONFORMANT: Exit.CONFORMANT,
    Verdict.PARTIAL: Exit.CONFORMANT,
    Verdict.DEVIATES: Exit.CONFORMANT,
    Verdict.NOT_CONFORMANT: Exit.NOT_CONFORMANT,
    Verdict.INCOMPLETE: Exit.INCOMPLETE,
    Verdict.BROKEN: Exit.BROKEN,
    Verdict.UNJUDGED: Exit.UNJUDGED,
}
_WORST_FIRST = (
    Exit.BROKEN, Exit.NOT_CONFORMANT, Exit.UNJUDGED, Exit.INCOMPLETE, Exit.CONFORMANT
)  # fmt: skip

Format = StrEnum("Format", [*FORMATS])  # type: ignore[misc]  # the names are those of a mapping
_PRETTY = Format("pretty")
Profile = StrEnum("Profile", [*PROFILES])  # type: ignore[misc]  # as above
_OPTIMIZER = Profile("optimizer")
_complete_dialect = completing(lambda: (CANONICAL_NAME, FOUND_NAME))
_DIALECT = (
    "Judge by this dialect: canonical, the specification; found, the one that `diagnose` finds; or "
    "AXIS=NAME,... such as eps=outside,bias-correction=none, with the names of docs/dialects.md."
)
_EXPECT = (
    "A TOML file of known deviations: [[expect]] with id, status (fail, error or skip), reason and "
    "url. An expected failure that passes counts as a failure."
)


_Clauses = Annotated[
    list[str] | None,
    typer.Option(
        help="Only this clause, such as A-5; may be repeated.", autocompletion=complete_clause
    ),
]
_Dtypes = Annotated[
    list[str] | None,
    typer.Option(
        help=f"Only this dtype of {', '.join(DTYPES)}; may be repeated.",
        autocompletion=complete_dtype,
    ),
]
_Cases = Annotated[
    list[str] | None,
    typer.Option(
        help="Only this case, such as 'A-5/decays[float32]'; may be repeated.",
        autocompletion=complete_case,
    ),
]
_Seed = Annotated[int, typer.Option(min=0, help="Seed of the data.")]
_Output = Annotated[Format, typer.Option("--format", help="How to write the report.")]
_Reports = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FORMAT=FILE",
        help=f"Write this report too, as html=report.html: {', '.join(FORMATS)}; may be "
        "repeated. A file that exists is overwritten.",
    ),
]
_Expect = Annotated[Path | None, typer.Option(help=_EXPECT)]
_WriteExpect = Annotated[
    Path | None, typer.Option(help="Write such a file of all present failures.")
]
_Dialect = Annotated[str, typer.Option(help=_DIALECT, autocompletion=_complete_dialect)]
_Profile = Annotated[
    Profile,
    typer.Option(
        help="What must hold for exit code 0: all (optimizer), or the arithmetic (kernel)."
    ),
]
_ShrinkKnown = Annotated[
    bool,
    typer.Option("--known", help="Search for the smallest run of each known deviation too."),
]
_Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 for expected deviations too.")]
_Verbose = Annotated[
    bool,
    typer.Option("--verbose", help="Show each clause and failure, deviations and what is not run."),
]


@app.command()
def check(
    names: Names,
    clause: _Clauses = None,
    dtype: _Dtypes = None,
    case: _Cases = None,
    seed: _Seed = 0,
    output: _Output = _PRETTY,
    report: _Reports = None,
    expect: _Expect = None,
    write_expect: _WriteExpect = None,
    dialect: _Dialect = CANONICAL_NAME,
    profile: _Profile = _OPTIMIZER,
    shrink_known: _ShrinkKnown = False,
    timeout: Timeout = None,
    strict: _Strict = False,
    verbose: _Verbose = False,
) -> None:
    """Judge backends by every clause of the specification, side by side.

    Exit codes, by what `--profile` requires and `--dialect` judges by:

    - 0 conformant, or deviating exactly as documented; a partial run that passes
    - 1 not conformant
    - 2 usage: an unknown name, a framework that is not installed
    - 3 adapter broken: it cannot be imported, or cannot take one step
    - 4 incomplete: a required clause did not run
    - 5 the judge itself failed: please report it

    Example: adamax-conformance check numpy 'torch?foreach=true' optax --dtype float32
    """
    try:
        chosen = selected(clause, dtype, case)
        if dialect != FOUND_NAME:
            Dialect.of(dialect)
        known = Expectations() if expect is None else load(expect)
    except (ValueError, OSError) as error:
        raise stop(str(error), Exit.USAGE) from None
    if not chosen:
        raise stop("no case matches --clause, --dtype and --case together", Exit.USAGE)
    if (expect or write_expect) and len(set(names)) > 1:
        raise stop("a file of expectations is for one backend: give one NAME", Exit.USAGE)
    if write_expect is not None:
        require_new(write_expect)
    files = _report_files(report or [])
    options = [] if expect is None else ["--expect", str(expect)]
    options += [] if timeout is None else ["--timeout", f"{timeout:g}"]
    backends = {name: found(name, timeout) for name in names}
    reports = []
    with progress() as task:
        for name, backend in backends.items():
            limit_calls(name, timeout)
            judged = judge_backend(
                backend,
                clauses=clause,
                dtypes=dtype,
                cases=case,
                seed=seed,
                expect=known,
                dialect=dialect,
                profile=profile.value,
                known=shrink_known,
                advance=task(backend.name, len(chosen)),
            )
            judged = replace(judged, named=name, started=started(), options=tuple(options))
            reports.append(judged)
    try:
        if write_expect is not None:
            expectations = _expectations(reports[0])
            dump(expectations, write_expect)
            errors.print(f"{write_expect}: {len(expectations)} expectations", markup=False)
        _write_files(reports, files, verbose=verbose)
        write(reports, output.value, verbose=verbose)
    except BrokenPipeError:
        # The reader has closed the pipe; the flush at exit must not fail either.
        discard_output(sys.stdout)
    except OSError as error:
        raise stop(f"cannot write the report: {error}", Exit.USAGE) from None
    codes = {_code(report, strict=strict) for report in reports}
    raise typer.Exit(next(code for code in _WORST_FIRST if code in codes))


def _report_files(asked: Sequence[str]) -> dict[Path, str]:
    """Return the format of each file to write; stop before the work if one cannot be written."""
    files: dict[Path, str] = {}
    for each in asked:
        form, _, name = each.partition("=")
        if form not in FORMATS or not name:
            raise stop(
                f"--report {each}: write FORMAT=FILE with a format of {', '.join(FORMATS)}",
                Exit.USAGE,
            )
        path = Path(name)
        if path in files:
            raise stop(f"--report {each}: {name} is asked for twice", Exit.USAGE)
        if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            raise stop(f"--report {each}: cannot write to {name}", Exit.USAGE)
        files[path] = form
    return files


def _write_files(reports: Sequence[Report], files: Mapping[Path, str], *, verbose: bool) -> None:
    for path, form in files.items():
        with path.open("w", encoding="utf-8") as stream:
            write(reports, form, stream, verbose=verbose)


def _expectations(report: Report) -> list[Expectation]:
    """Return an expectation for each present failure."""
    return [
        Expectation(result.id, result.message, result.status.value)
        for result in report.results
        if result.status in (Status.FAIL, Status.REFUSED, Status.ERROR)
    ]


def _code(report: Report, *, strict: bool) -> Exit:
    if strict and report.outcome is Verdict.DEVIATES:
        return Exit.NOT_CONFORMANT
    return _CODES[report.outcome]
