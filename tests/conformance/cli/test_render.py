"""``render``: reports of several runs become one scoreboard."""

import json
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


def test_reports_of_several_runs_become_one_page(tmp_path: Path) -> None:
    files = [judged(tmp_path, name) for name in ("numpy", "torch.optim")]
    page = json.loads(RUNNER.invoke(app, ["render", *files, "--format", "json"]).output)
    assert [each["name"] for each in page["implementations"]] == ["numpy", "torch.optim"]
    (tmp_path / "old.json").write_text(json.dumps(page), encoding="utf-8")
    text = RUNNER.invoke(app, ["render", str(tmp_path / "old.json"), files[0]]).output
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## numpy", "## torch.optim",
    ]  # fmt: skip


def test_a_file_that_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]", encoding="utf-8")
    for name, message in (("other.json", "is no report of version"), ("none.json", "No such file")):
        ran = RUNNER.invoke(app, ["render", str(tmp_path / name)])
        assert ran.exit_code == 2
        assert message in " ".join(ran.output.split())
