"""The run of a tier: what is red, what could not be installed, and what is kept."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import judge
import pytest

from adamax_conformance import Report
from adamax_conformance.reports import json_
from adamax_conformance.reports.environment import environment
from adamax_conformance.scoreboard import FORMATS
from adamax_conformance.scoreboard.entry import Entry

pytestmark = pytest.mark.slow

WHOLE = Report("mine", (), (), axes={"eps": "outside"}, date="2026-11-29")
NOWHERE = "scoreboard/nowhere/installed"


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(judge, "OUT", tmp_path / "out")
    monkeypatch.setattr(judge, "PAGE", tmp_path / "scoreboard.json")
    return tmp_path / "scoreboard.json"


def lines(page: Path) -> dict[str, Any]:
    return {each["name"]: each for each in json.loads(page.read_text())["implementations"]}


def judging(folder: Path, report: Report | None, *, code: int = 0, says: str = "") -> str:
    """Return a program that stands for a Python whose judge writes this report and says this."""
    file, program = folder / "its.json", folder / "python"
    if report:
        with file.open("w", encoding="utf-8") as stream:
            json_.write([report], stream, verbose=False)
    copy = f'case $each in json=*) cp {file} "${{each#json=}}";; esac' if report else "true"
    told = f"echo {shlex.quote(says)} >&2"
    program.write_text(f"#!/bin/sh\nfor each; do {copy}; done\n{told}\nexit {code}\n")
    program.chmod(0o755)
    return str(program)


def subject(name: str, python: str, made: str = "Makefile") -> judge.Subject:
    return judge.Subject(name, made, python)


def test_the_reference_is_judged_and_each_page_is_written(page: Path) -> None:
    assert judge.run([subject("numpy", sys.executable)]) == 0
    line = lines(page)["numpy"]
    assert (line["outcome"], line["environment"]) == ("conformant", environment())
    assert "## numpy" in page.with_suffix(".md").read_text()
    assert page.with_suffix(".html").read_text().startswith("<!doctype html>")
    assert not [*page.parent.glob("*.new")]


def test_what_behaves_otherwise_is_red_and_says_how(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = judging(page.parent, WHOLE, code=1, says="A-5/decays passed, but is known to deviate")
    assert judge.run([subject("mine", python)]) == 1
    assert "mine: A-5/decays passed, but is known to deviate" in capsys.readouterr().err
    assert lines(page)["mine"]["date"] == "2026-11-29"


def test_what_was_not_installed_keeps_its_line_and_its_date(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge.run([subject("mine", judging(page.parent, WHOLE))]) == 0
    before = page.read_text()
    assert judge.run([subject("mine", "", NOWHERE)]) == 1
    assert page.read_text() == before
    printed = capsys.readouterr().err
    assert "mine: not installed: make: *** No rule to make target" in printed
    assert "the line of 2026-11-29 is kept" in printed


def test_what_was_never_judged_is_listed_with_the_reason(page: Path) -> None:
    python = judging(page.parent, WHOLE)
    assert judge.run([subject("tfjs", "", NOWHERE), subject("mine", python)]) == 1
    assert lines(page)["tfjs"]["broken"].startswith("not installed: make: *** No rule")
    assert (lines(page)["tfjs"]["date"], lines(page)["tfjs"]["environment"]) == ("", None)
    assert not lines(page)["mine"]["broken"]


def test_the_reason_names_the_program_that_is_missing(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (page.parent / "Makefile").write_text("it:\n\tno-such-installer it\n")
    monkeypatch.setattr(judge, "ROOT", page.parent)
    assert judge.run([subject("mine", "", "it")]) == 1
    assert "no-such-installer" in lines(page)["mine"]["broken"]


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("make: npm: No such file or directory\nmake: *** [it] Error 127", "make: npm: No such"),
        ("npm error code E4\nnpm error errno E4\nnpm error request\nmake: *** [it]", "npm error r"),
        ("WARNING: Retrying\nERROR: No matching distribution\nmake: *** [it]", "ERROR: No"),
        ("make: *** No rule to make target 'it'.  Stop.", "make: *** No rule"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_telling_line_is_the_reason(stderr: str, reason: str) -> None:
    assert judge._failure(stderr).startswith(reason)


def test_a_program_that_fails_before_it_says_its_name_has_its_line(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge.run([subject("mine", judging(page.parent, WHOLE))]) == 0
    dead = replace(WHOLE, backend="cmd:./mine", axes={}, broken="ended before it said hello")
    python = judging(page.parent, dead, code=3, says="ended before it said hello")
    assert judge.run([subject("mine", python)]) == 1
    assert [*lines(page)] == ["mine"]
    assert lines(page)["mine"]["broken"] == "ended before it said hello"
    assert "mine: ended before it said hello" in capsys.readouterr().err


def test_a_package_that_is_not_there_keeps_the_line(page: Path) -> None:
    assert judge.run([subject("mine", judging(page.parent, WHOLE))]) == 0
    before = page.read_text()
    python = judging(page.parent, None, code=2, says="mine needs it, which is not installed")
    assert judge.run([subject("mine", python)]) == 1
    assert page.read_text() == before


def test_a_judge_without_a_report_is_a_failure_of_today(page: Path) -> None:
    assert judge.run([subject("mine", judging(page.parent, WHOLE))]) == 0
    python = judging(page.parent, None, code=3, says="first\ncannot be imported")
    assert judge.run([subject("mine", python)]) == 1
    assert lines(page)["mine"]["broken"] == "cannot be imported"
    assert lines(page)["mine"]["date"] > "2026"


def test_what_is_not_judged_anew_is_kept(page: Path) -> None:
    judge.run([subject("mine", judging(page.parent, WHOLE))])
    judge.run([subject("other", judging(page.parent, replace(WHOLE, date="2026-12-01")))])
    assert {name: each["date"] for name, each in lines(page).items()} == {
        "mine": "2026-11-29",
        "other": "2026-12-01",
    }


def test_a_scoreboard_that_cannot_be_read_stops_the_run_before_it_judges(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page.write_text('{"version": 1, "implementations": []}')
    assert judge.run([subject("mine", "no such python")]) == 2
    assert "is no scoreboard of version 2: its version is 1" in capsys.readouterr().err
    assert json.loads(page.read_text())["version"] == 1


def test_no_page_is_written_if_one_cannot_be_made(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Any) -> str:
        raise RuntimeError("no page")

    monkeypatch.setattr(judge, "FORMATS", {**FORMATS, "html": fails})
    with pytest.raises(RuntimeError, match="no page"):
        judge._write([Entry.of(WHOLE)])
    assert not [*page.parent.glob("scoreboard*")]


@pytest.mark.parametrize("tier", [["heavy"], ["light full"], [""], [], ["light", "full"]])
def test_another_tier_is_refused(tier: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, judge.__file__, *tier], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    told = " ".join(ran.stderr.replace("\N{BOX DRAWINGS LIGHT VERTICAL}", "").split())
    assert ("is not one of 'light', 'full'" in told) == (len(tier) == 1)


def test_the_commands_of_the_docs_are_those_of_the_run() -> None:
    text = (judge.ROOT / "docs" / "reports.md").read_text().replace("\\\n", "")
    told = [shlex.split(line) for line in text.splitlines() if line.startswith(".venv")]
    subjects = [subject for tier in judge.TIERS.values() for subject in tier]
    run = [
        [each.python, "-m", "adamax_conformance", "check", each.program or each.name, *each.more]
        for each in subjects
    ]
    assert len(told) == 3
    assert all(command in run for command in told)


def test_the_picture_is_drawn_from_the_page() -> None:
    command = ["make", "--dry-run", "--always-make", "CHROMIUM=browser", "docs"]
    ran = subprocess.run(command, cwd=judge.ROOT, capture_output=True, text=True, check=True)
    assert "--screenshot=docs/scoreboard.png file://" in ran.stdout
    assert "/docs/scoreboard.html" in ran.stdout


def test_make_gives_the_tier_as_one_argument() -> None:
    command = ["make", "--dry-run", "--always-make", "scoreboard", "TIER=light full"]
    ran = subprocess.run(command, cwd=judge.ROOT, capture_output=True, text=True, check=True)
    # Below another make, it tells its folder too.
    (line,) = (line for line in ran.stdout.splitlines() if "judge.py" in line)
    assert shlex.split(line)[-2:] == ["scoreboard/judge.py", "light full"]


RUN = """
import sys, judge
from pathlib import Path
folder = Path(sys.argv[1])
judge.OUT, judge.PAGE = folder / "out", folder / "scoreboard.json"
judge.TIERS = {"light": [judge.Subject("mine", "Makefile", sys.argv[2])] * 9, "full": []}
sys.argv[1:] = ["light"]
judge.app()
"""


@pytest.mark.parametrize("kill", [os.kill, os.killpg])
def test_an_interruption_writes_nothing_and_shows_no_traceback(page: Path, kill: Any) -> None:
    """The keys of a terminal interrupt the whole group of processes."""
    python, began = page.parent / "python", page.parent / "began"
    python.write_text(f"#!/bin/sh\ntouch {began}\nexec sleep 60\n")
    python.chmod(0o755)
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(page.parent), str(python)],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    while not began.exists():
        time.sleep(0.05)
    kill(run.pid, signal.SIGINT)
    _, printed = run.communicate(timeout=50)
    assert run.returncode == 130, printed
    assert "Traceback" not in printed
    assert not page.exists()


def test_there_are_many_implementations_and_each_once() -> None:
    names = [subject.name for tier in judge.TIERS.values() for subject in tier]
    assert len(set(names)) == len(names) >= 14
