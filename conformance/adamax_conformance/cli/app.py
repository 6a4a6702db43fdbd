"""Shared parts of the commands: the application, exit codes, errors, names, the progress bar."""

import io
import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import adamax_conformance_supervisor as supervisor
from adamax_conformance.cases import CASES
from adamax_conformance.protocol import TIMEOUT
from adamax_conformance.registry import (
    BackendBrokenError,
    BackendNotFoundError,
    available,
    find,
)
from adamax_conformance.spec.clauses import CLAUSES
from adamax_conformance.spec.formats import DTYPES
from adamax_conformance.subject.backend import Backend
from adamax_conformance.subject.blame import PLEASE_REPORT
from adamax_conformance.subject.printable import printable
from adamax_core import __version__


class Exit(IntEnum):
    """Exit codes of all commands."""

    CONFORMANT = 0
    NOT_CONFORMANT = 1
    USAGE = 2
    BROKEN = 3
    INCOMPLETE = 4
    UNJUDGED = 5


app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
errors = Console(stderr=True)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"adamax-conformance {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    _asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Check whether an implementation of Adamax computes the specification, and where it differs.

    `list` shows the names of backends, clauses and cases; `explain A-5` explains a clause.
    """
    # Python sets a closed stream to None, and every write to it would raise.
    if sys.stdout is None:
        raise stop("standard output is closed", Exit.USAGE)


def main() -> None:
    """Run the command line; an error of standard output gives a message, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    end = SystemExit(Exit.USAGE)
    try:
        try:
            app()
        except SystemExit as asked:
            end = asked
        # Flush here, so that a write error is handled below and not at interpreter exit.
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe; keep the exit code.
        discard_output(sys.stdout)
    except OSError as error:
        discard_output(sys.stdout)
        end = SystemExit(stop(f"cannot write the output: {error}", Exit.USAGE).exit_code)
    except Exception:  # noqa: BLE001 - the traceback is for its author
        traceback.print_exc()
        end = SystemExit(stop(f"the judge failed: {PLEASE_REPORT}", Exit.UNJUDGED).exit_code)
    raise end


def discard_output(stream: TextIO) -> None:
    """Redirect the stream to the null device, so that a later flush cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def stop(message: str, code: Exit) -> typer.Exit:
    """Print an error message; return the exit to raise."""
    errors.print(message, style="red", markup=False, highlight=False, emoji=False, soft_wrap=True)
    return typer.Exit(code)


def require_new(path: Path) -> None:
    """Stop before the work if the file exists or cannot be created."""
    if path.exists():
        raise stop(
            f"{path} already exists and is not overwritten: remove it, or choose another name",
            Exit.USAGE,
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise stop(f"{path}: cannot write to folder {path.parent}", Exit.USAGE)


def completing(choices: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Return a shell completion: it offers the choices that start with the incomplete word."""
    return lambda incomplete: [each for each in choices() if each.startswith(incomplete)]


complete_name = completing(available)
complete_clause = completing(lambda: (clause.id for clause in CLAUSES))
complete_dtype = completing(lambda: DTYPES)
complete_case = completing(lambda: (case.id for case in CASES))


_HELP = (
    "An installed backend, with options as in 'torch?foreach=true'; or your own: "
    "py:module:attribute, or 'cmd:./program arguments' in any language."
)
Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help=_HELP, autocompletion=complete_name)
]
Name = Annotated[str, typer.Argument(metavar="NAME", help=_HELP, autocompletion=complete_name)]


CALL_TIMEOUT = 60.0
"""Default time for one call of a backend in Python, in seconds: frameworks compile in it."""

Timeout = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        help="Seconds that a cmd: program has for each answer, and a backend in Python for each "
        f"call.  [default: {TIMEOUT:g} and {CALL_TIMEOUT:g}]",
    ),
]


def limit_calls(name: str, timeout: float | None) -> None:
    """Limit the time of each call of this backend; a program has its own limit."""
    seconds = CALL_TIMEOUT if timeout is None else timeout
    supervisor.limit(math.inf if name.startswith("cmd:") else seconds)


def found(name: str, timeout: float | None = None) -> Backend:
    """Return the backend of this name, with the limits of the option ``--timeout``.

    Raises:
        typer.Exit: no backend has this name (2), or creating it failed (3).
    """
    # As with `python -m`, modules of the current folder can be imported.
    if "" not in sys.path:
        sys.path.insert(0, "")
    # Turn SIGTERM into an exception, so that the program is stopped then too.
    if name.startswith("cmd:") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        supervisor.note(f"the import of {printable(name)}")
        limit_calls(name, timeout)
        with stdout_to_stderr():
            return find(name, timeout=TIMEOUT if timeout is None else timeout)
    except BackendNotFoundError as error:
        raise stop(str(error), Exit.USAGE) from None
    except BackendBrokenError as error:
        raise stop(str(error), Exit.BROKEN) from None


def stdout_to_stderr() -> AbstractContextManager[Any]:
    """Redirect what a backend prints to standard error; standard output is for the report."""
    return redirect_stdout(sys.stderr)


@contextmanager
def progress() -> Iterator[Callable[[str, int], Callable[[], None]]]:
    """Yield ``task(name, total)``, which adds a progress bar and returns its advance by one.

    Do the work inside the context, which redirects standard output to standard error. The bars are
    drawn only if standard error is a terminal.
    """
    columns = (
        TextColumn("{task.description:<32}", markup=False), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(),
    )  # fmt: skip
    bars = Progress(*columns, console=errors, disable=not errors.is_terminal)
    with stdout_to_stderr(), bars:

        def task(name: str, total: int) -> Callable[[], None]:
            task_id = bars.add_task(name, total=total)
            return lambda: bars.advance(task_id)

        yield task
