"""``render``: reports of several runs become one scoreboard."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from adamax_conformance.cli import app

RUNNER = CliRunner()


def judged(folder: Path, name: str) -> str:
    file = folder / f"{name}.json"
    options = ("--case", "A-5/decays[float32]", "--dialect", "found", "--known")
    ran = RUNNER.invoke(app, ["check", name, *options, "--report", f"json={file}"])
    assert ran.exit_code == 0, ran.output
    return str(file)


def whole(file: str) -> str:
    """Let the report say that all cases were judged, since that takes half a minute."""
    path = Path(file)
    path.write_text(path.read_text().replace('"partial": true', '"partial": false'))
    return file


def test_reports_of_several_runs_become_one_page(tmp_path: Path) -> None:
    files = [whole(judged(tmp_path, name)) for name in ("numpy", "torch.optim")]
    page = json.loads(RUNNER.invoke(app, ["render", *files, "--format", "json"]).output)
    assert [each["name"] for each in page["implementations"]] == ["numpy", "torch.optim"]
    (tmp_path / "old.json").write_text(json.dumps(page), encoding="utf-8")
    text = RUNNER.invoke(app, ["render", str(tmp_path / "old.json"), files[0]]).output
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## numpy", "## torch.optim",
    ]  # fmt: skip


def test_a_file_that_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]", encoding="utf-8")
    for name, message in (("other.json", "is no report and no"), ("none.json", "No such file")):
        ran = RUNNER.invoke(app, ["render", str(tmp_path / name)])
        assert ran.exit_code == 2
        assert message in " ".join(ran.output.split())


def test_the_command_of_a_deviation_reproduces_it(tmp_path: Path) -> None:
    """It names the Python in which the subject is, and the expectations of a program."""
    expected, file = tmp_path / "expected.toml", tmp_path / "numpy.json"
    known = '[[expect]]\nid = "A-5/decays"\nstatus = "fail"\nreason = "known"\n'
    expected.write_text(known, encoding="utf-8")
    options = ["--expect", str(expected), "--timeout", "50", "--report", f"json={file}"]
    judge = [sys.executable, "-m", "adamax_conformance"]
    which = ["numpy", "--case", "A-5/decays[float32]", "--dialect", "found"]
    ran = subprocess.run([*judge, "check", *which, *options], capture_output=True, check=False)
    assert ran.returncode == 1
    page = json.loads(RUNNER.invoke(app, ["render", whole(str(file)), "--format", "json"]).output)
    (deviation,) = page["implementations"][0]["deviations"]
    facts = {fact["name"]: fact["lines"] for fact in deviation["facts"]}
    command = shlex.split(*facts["reproduce"])
    assert command[:4] == [*judge, "check"]
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "passed, but is known to deviate" in " ".join(again.stdout.split())


def test_a_part_of_the_cases_is_refused(tmp_path: Path) -> None:
    ran = RUNNER.invoke(app, ["render", judged(tmp_path, "numpy")])
    assert ran.exit_code == 2
    assert "numpy was judged by a part of the cases" in ran.output
