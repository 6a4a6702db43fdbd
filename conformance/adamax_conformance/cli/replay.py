"""``adamax-conformance replay``: judge again a run that failed on a backend."""

from pathlib import Path
from typing import Annotated

import typer

import adamax_conformance_supervisor as supervisor
from adamax_conformance.cli.app import Exit, Timeout, app, complete_name, found, stop
from adamax_conformance.subject.printable import printable


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A file that `fuzz` wrote.")],
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="The backend; by default that of the file.",
            autocompletion=complete_name,
        ),
    ] = None,
    timeout: Timeout = None,
) -> None:
    """Judge again a run that failed, from the file that `fuzz` wrote.

    Exit codes:

    - 0 the run passes
    - 1 the run still fails
    - 2 usage: the file cannot be read, an unknown name
    - 3 adapter broken: it cannot be imported

    Example: adamax-conformance replay repro.json torch
    """
    # Heavy imports stay out of --help.
    from adamax_conformance.fuzz.repro import explained, failure_of, load  # noqa: PLC0415 - as above
    from adamax_conformance.subject.watched import Watched  # noqa: PLC0415 - as above

    try:
        repro = load(file)
    except (ValueError, OSError) as error:
        raise stop(f"cannot read this run: {error}", Exit.USAGE) from None
    backend = found(name or repro.backend, timeout)
    supervisor.note(f"the run of {printable(file)}")
    failure = failure_of(Watched(backend), repro.trial)
    if failure is None:
        typer.echo(f"{backend.name}: right; it was: {repro.failure.message}")
        return
    typer.echo(f"{backend.name}: wrong")
    for line in explained(repro.trial, failure):
        typer.echo(line)
    raise typer.Exit(Exit.NOT_CONFORMANT)
