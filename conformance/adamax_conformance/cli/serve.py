"""``adamax-conformance serve``: run any backend as a program that speaks the protocol."""

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

    It reads and writes JSON Lines on standard input and output, until `stop` or the end of the
    input. Use it to test your own judge, or as an example for a harness.

    Example: adamax-conformance check 'cmd:adamax-conformance serve'
    """
    from adamax_conformance.protocol.server import serve as answer  # noqa: PLC0415 - kept out of --help

    answers = sys.stdout.buffer
    # Standard output is for answers; redirect what a framework prints.
    with redirect_stdout(sys.stderr):
        answer(found(name), sys.stdin.buffer, answers)
