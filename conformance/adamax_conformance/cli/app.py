"""What the commands share: the application, exit codes, how they stop, names, the progress bar."""

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

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
from adamax_core import __version__


class Exit(IntEnum):
    """Exit codes, of every command."""

    CONFORMANT = 0
    NOT_CONFORMANT = 1
    USAGE = 2
    BROKEN = 3
    INCOMPLETE = 4


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
    """Says whether an implementation of Adamax computes the specification, and where not.

    `explain A-5` shows the words of a clause, `list` what there is to name.
    """
    # Where a stream is closed there is none, and much that is written to it would fail.
    if sys.stdout is None:
        raise stop("the standard output is closed", Exit.USAGE)


def main() -> None:
    """The command as a shell runs it: what its streams do not take is no traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    end = SystemExit(Exit.USAGE)
    try:
        try:
            app()
        except SystemExit as asked:
            end = asked
        # What cannot be written shows here, and not when Python has ended.
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it has seen enough; a verdict stands.
        deafen(sys.stdout)
    except OSError as error:
        deafen(sys.stdout)
        end = SystemExit(stop(f"nothing can be written: {error}", Exit.USAGE).exit_code)
    raise end


def deafen(stream: TextIO) -> None:
    """Let what is still to be flushed go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def stop(message: str, code: Exit) -> typer.Exit:
    """An exit with this code, after this message; to be raised."""
    errors.print(message, style="red", markup=False, highlight=False, emoji=False, soft_wrap=True)
    return typer.Exit(code)


def require_new(path: Path) -> None:
    """Stop, before the work, where a file cannot be made: none is written over."""
    if path.exists():
        raise stop(
            f"{path} is there already and is not written over: remove it, or name another",
            Exit.USAGE,
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise stop(f"{path}: nothing can be written into {path.parent}", Exit.USAGE)


def completing(choices: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What completes a word for the shell, by those of the choices that begin like it."""
    return lambda incomplete: [each for each in choices() if each.startswith(incomplete)]


complete_name = completing(available)
complete_clause = completing(lambda: (clause.id for clause in CLAUSES))
complete_dtype = completing(lambda: DTYPES)
complete_case = completing(lambda: (case.id for case in CASES))


_HELP = (
    "An installed backend, with options as in 'torch?foreach=true'; py:module:attribute for your "
    "own; or 'cmd:./program arguments' in any language."
)
Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help=_HELP, autocompletion=complete_name)
]
Name = Annotated[str, typer.Argument(metavar="NAME", help=_HELP, autocompletion=complete_name)]


def found(name: str, timeout: float = TIMEOUT) -> Backend:
    """The backend of this name; a program has so many seconds for each answer.

    Raises:
        typer.Exit: there is none (2), or it cannot be made (3).
    """
    # As for `python -m`: your own backend may be in the folder that you are in.
    if "" not in sys.path:
        sys.path.insert(0, "")
    # Programs that were started are stopped at the end, also where that is asked for by a signal.
    if name.startswith("cmd:") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with spoken_aside():
            return find(name, timeout=timeout)
    except BackendNotFoundError as error:
        raise stop(str(error), Exit.USAGE) from None
    except BackendBrokenError as error:
        raise stop(str(error), Exit.BROKEN) from None


def spoken_aside() -> AbstractContextManager[Any]:
    """What a backend prints goes to the standard error: the standard output is for the report."""
    return redirect_stdout(sys.stderr)


@contextmanager
def progress() -> Iterator[Callable[[str, int], Callable[[], None]]]:
    """A bar for each task, ``task(name, total)``, which gives what advances it by one.

    The work is done inside, and what is printed in it is spoken aside.

    It is drawn where somebody may be looking: when the standard error is a terminal.
    """
    columns = (
        TextColumn("{task.description:<32}", markup=False), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(),
    )  # fmt: skip
    bars = Progress(*columns, console=errors, disable=not errors.is_terminal)
    with spoken_aside(), bars:

        def task(name: str, total: int) -> Callable[[], None]:
            task_id = bars.add_task(name, total=total)
            return lambda: bars.advance(task_id)

        yield task
