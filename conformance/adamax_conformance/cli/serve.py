"""``adamax-conformance serve``: speak the protocol of ``cmd:`` backends, from the other side."""

import sys
from contextlib import redirect_stdout
from typing import Annotated

import typer

from adamax_conformance.cli.app import app, complete_name, found


@app.command()
def serve(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]", help="The backend that answers.", autocompletion=complete_name
        ),
    ] = "numpy",
) -> None:
    """Answer the protocol of the judge with the reference, or with another backend.

    JSON Lines on the standard input and output, until `stop` or the end of the input. For those
    who write a judge, or the other half of a harness, of their own.

    Example: adamax-conformance check 'cmd:adamax-conformance serve'
    """
    from adamax_conformance.protocol.server import serve as answer  # noqa: PLC0415 - kept out of --help

    answers = sys.stdout.buffer
    # The standard output is for answers; what a framework prints goes where it does no harm.
    with redirect_stdout(sys.stderr):
        answer(found(name), sys.stdin.buffer, answers)
