"""Judge every implementation of a tier, each in its own environment, and write docs/scoreboard.*.

`make scoreboard` runs this. Lines of docs/scoreboard.json that this run does not judge anew are
kept, with their dates: also that of an implementation which cannot be installed now. One that was
never judged is listed with the reason.

Exit codes:

- 0 each behaves as its expected results say
- 1 one does not, or cannot be installed; standard error says which and why
- 2 usage: an unknown tier, or docs/scoreboard.json cannot be read
- 130 interrupted: nothing is written
"""

import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from adamax_conformance.cli import Exit
from adamax_conformance.reports.json_ import ReadError
from adamax_conformance.reports.report import Report
from adamax_conformance.scoreboard import FORMATS
from adamax_conformance.scoreboard.entry import Entry
from adamax_conformance.scoreboard.json_ import merged, read

ROOT = Path(__file__).parents[1]
OUT = ROOT / "out" / "scoreboard"
PAGE = ROOT / "docs" / "scoreboard.json"
PYTHON = ".venv/bin/python"


class Subject(NamedTuple):
    """An implementation.

    Attributes:
        name: its name on the page.
        made: the file that make builds, and with it the environment of the implementation.
        python: the Python of this environment, which runs the judge.
        program: its name on the command line of the judge, where that is another.
        more: further arguments of `check`.
    """

    name: str
    made: str = ".venv/installed"
    python: str = PYTHON
    program: str = ""
    more: tuple[str, ...] = ()


def _in(environment: str, *names: str) -> list[Subject]:
    """Return subjects of an environment that `scoreboard/ENVIRONMENT.txt` describes."""
    folder = f".venv-{environment}"
    return [Subject(name, f"{folder}/installed", f"{folder}/bin/python") for name in names]


TIERS: dict[str, list[Subject]] = {
    "light": [
        Subject("torch.optim"),
        Subject("torch.optim?foreach=true"),
        Subject("torch.optim?differentiable=true"),
        Subject("optax"),
        Subject("jax.example_libraries"),
        Subject("torchopt"),
        Subject("keras.jax"),
        Subject("keras.torch"),
        *_in("light", "pytorch_optimizer", "mlx", "pyensmallen", "npdl"),
        Subject(
            "tfjs",
            "scoreboard/tfjs/node_modules/.package-lock.json",
            program="cmd:node scoreboard/tfjs/tfjs.mjs",
            more=("--expect", "scoreboard/tfjs/expected.toml"),
        ),
    ],
    "full": [
        *_in("tensorflow", "tf.raw_ops", "keras.tensorflow", "tf_keras", "tf_keras?legacy=true"),
        *_in("paddle", "paddle"),
        *_in("pymc", "pymc"),
        *_in("mindspore", "mindspore.ops", "mindspore.experimental"),
        Subject(
            "mxnet",
            ".venv-mxnet/installed",
            program="cmd:.venv-mxnet/bin/python scoreboard/mxnet_program.py",
            more=("--expect", "scoreboard/mxnet_expected.toml", "--timeout", "60"),
        ),
    ],
}
"""The subjects of each tier; `full` means both."""


_LESS_TELLING = (
    *("WARNING", "make: ***", "npm warn"),
    *(
        f"npm {error} {what}"
        for error in ("error", "ERR!")
        for what in ("code", "syscall", "errno")
    ),
)
"""How lines begin that do not say what failed, if others do."""

Tier = StrEnum("Tier", [*TIERS])  # type: ignore[misc]  # the names are those of a mapping
console = Console(stderr=True)
_running: set[subprocess.Popen[str]] = set()
_stopped = threading.Event()
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


class Judged(NamedTuple):
    """The line of a subject, and what the judge printed, or make, if it is not as expected."""

    line: Entry
    wrong: str


@app.command()
def main(tier: Annotated[Tier, typer.Argument(metavar="TIER", help="full means all.")]) -> None:
    """Judge the implementations of a tier, and write the pages."""
    raise typer.Exit(run(TIERS["light"] + (TIERS["full"] if tier == "full" else [])))


def run(subjects: Sequence[Subject]) -> int:
    """Judge, write the pages, and return the exit code."""
    try:
        known = read(PAGE) if PAGE.exists() else []
    except ReadError as error:
        _print(str(error))
        return 2
    before = {line.name: line for line in known if line.date}
    lines, judged = known, _all_judged(subjects)
    for line, wrong in judged:
        kept = None if line.date else before.get(line.name)
        lines = [*lines, kept or line]
        if wrong:
            _print(f"{line.name}: {wrong}" + (f"; the line of {kept.date} is kept" if kept else ""))
    _write(merged(lines))
    return int(any(wrong for _, wrong in judged))


def _all_judged(subjects: Sequence[Subject]) -> list[Judged]:
    OUT.mkdir(parents=True, exist_ok=True)
    judged: list[Judged] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    pool = ThreadPoolExecutor(2)
    with Progress(*columns, console=console) as bars:
        task = bars.add_task("installing", total=len(subjects))
        try:
            for each in pool.map(_judged, _installed(subjects)):
                judged.append(each)
                bars.update(task, advance=1, description=f"judged {each.line.name}")
        except KeyboardInterrupt:
            _stopped.set()
            for process in list(_running):
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    return judged


def _installed(subjects: Sequence[Subject]) -> Iterator[tuple[Subject, str]]:
    """Yield each subject with the reason why its environment cannot be made, or with nothing."""
    for made, group in groupby(subjects, key=lambda subject: subject.made):
        ran = _run("env", "--unset=MAKELEVEL", "make", made)  # a make of make's says "make[1]:"
        reason = f"not installed: {_failure(ran.stderr)}" if ran.returncode else ""
        yield from ((subject, reason) for subject in group)


def _failure(stderr: str) -> str:
    r"""Return the line of pip, npm or make that says what failed.

    >>> _failure("npm error code E404\nnpm error 404 Not Found - GET https://example.org/tfjs")
    'npm error 404 Not Found - GET https://example.org/tfjs'
    """
    lines = stderr.strip().splitlines() or [""]
    telling = [line for line in lines if not line.startswith(_LESS_TELLING)]
    errors = [line for line in telling if line.startswith(("ERROR", "npm error", "npm ERR!"))]
    return next(iter(errors or telling or lines))


def _judged(given: tuple[Subject, str]) -> Judged:
    subject, reason = given
    if reason:
        return Judged(Entry.of(Report(subject.name, (), (), broken=reason)), reason)
    name = "".join(char if char.isalnum() else "-" for char in subject.name)
    file = OUT / f"{name}.json"
    file.unlink(missing_ok=True)
    options = ("--dialect", "found", "--known", "--report", f"json={file}", *subject.more)
    named = subject.program or subject.name
    ran = _run(subject.python, "-m", "adamax_conformance", "check", named, *options)
    wrong = (ran.stdout + ran.stderr).strip() if ran.returncode else ""
    if file.exists():
        [line] = read(file)
        # A program that fails before it has said its name has that of its command.
        return Judged(replace(line, name=subject.name), wrong)
    reason = ran.stderr.strip().rpartition("\n")[2]
    # A package that is not there after all is as one that cannot be installed: it was not judged.
    date = "" if ran.returncode == Exit.USAGE else datetime.now(UTC).date().isoformat()
    return Judged(Entry.of(Report(subject.name, (), (), broken=reason, date=date)), wrong)


def _write(lines: Sequence[Entry]) -> None:
    """Write all pages, or, if one cannot be made, none; each by a rename."""
    texts = {form: write(lines) for form, write in FORMATS.items()}
    for form, text in texts.items():
        page = PAGE.with_suffix(".md" if form == "markdown" else f".{form}")
        new = page.with_name(f"{page.name}.new")
        new.write_text(text, encoding="utf-8")
        new.replace(page)


def _print(message: str) -> None:
    console.print(message, markup=False, highlight=False, soft_wrap=True)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:  # noqa: S603 - our own commands
        _running.add(process)
        if _stopped.is_set():  # the interruption came before it was among those that run
            process.terminate()
        stdout, stderr = process.communicate()
        _running.discard(process)
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


if __name__ == "__main__":
    app()
