"""Judge every implementation of a tier, each in its own environment, and write docs/scoreboard.*.

`make scoreboard` runs this. The exit code is 1 if one behaves otherwise than its expected results
say; what could not be installed is listed with the reason. Lines of docs/scoreboard.json that this
run does not judge anew are kept, with their dates.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from adamax_conformance.reports import json_
from adamax_conformance.reports.report import Report

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


class Judged(NamedTuple):
    """A subject, the file of its report, and what the judge printed if it is not as expected."""

    subject: Subject
    file: Path
    wrong: str


def main(tier: str) -> int:
    """Judge, write the pages, and return the exit code."""
    if tier not in TIERS:
        raise SystemExit(f"TIER={tier} is no tier: choose from {', '.join(TIERS)}")
    subjects = TIERS["light"] + (TIERS["full"] if tier == "full" else [])
    OUT.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    judged: list[Judged] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=console) as bars, ThreadPoolExecutor(2) as pool:
        task = bars.add_task("installing", total=len(subjects))
        for each in pool.map(_judged, _installed(subjects)):
            judged.append(each)
            bars.update(task, advance=1, description=f"judged {each.subject.name}")
    for each in judged:
        if each.wrong:
            console.print(each.wrong, markup=False, highlight=False)
    known = [str(PAGE)] if PAGE.exists() else []
    files = [*known, *(str(each.file) for each in judged)]
    pages = {form: _rendered(form, files) for form in ("json", "markdown", "html")}
    for form, text in pages.items():
        PAGE.with_suffix(".md" if form == "markdown" else f".{form}").write_text(text, "utf-8")
    return int(any(each.wrong for each in judged))


def _installed(subjects: Sequence[Subject]) -> Iterator[tuple[Subject, str]]:
    """Yield each subject with the reason why its environment cannot be made, or with nothing."""
    for made, group in groupby(subjects, key=lambda subject: subject.made):
        ran = _run("env", "--unset=MAKELEVEL", "make", made)  # a make of make's says "make[1]:"
        lines = ran.stderr.strip().splitlines() or [""]
        told = next((line for line in lines if line.startswith("ERROR")), lines[-1])
        reason = f"not installed: {told}" if ran.returncode else ""
        yield from ((subject, reason) for subject in group)


def _judged(given: tuple[Subject, str]) -> Judged:
    subject, reason = given
    name = "".join(char if char.isalnum() else "-" for char in subject.name)
    file = OUT / f"{name}.json"
    file.unlink(missing_ok=True)
    wrong = ""
    if not reason:
        options = ("--dialect", "found", "--known", "--report", f"json={file}", *subject.more)
        named = subject.program or subject.name
        ran = _run(subject.python, "-m", "adamax_conformance", "check", named, *options)
        wrong = ran.stdout + ran.stderr if ran.returncode else ""
        reason = ran.stderr.strip().rpartition("\n")[2]
    if not file.exists():
        with file.open("w", encoding="utf-8") as stream:
            json_.write([Report(subject.name, (), (), broken=reason)], stream, verbose=False)
    return Judged(subject, file, wrong)


def _rendered(form: str, files: Sequence[str]) -> str:
    ran = _run(PYTHON, "-m", "adamax_conformance", "render", *files, "--format", form)
    if ran.returncode:
        raise SystemExit(ran.stderr)
    return ran.stdout


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own commands


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
