"""The run of a tier: what is red, what could not be installed, and what is kept."""

import json
from pathlib import Path
from typing import Any

import judge
import pytest

pytestmark = pytest.mark.slow

SHORT = ("--case", "A-5/decays[float32]")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(judge, "OUT", tmp_path / "out")
    monkeypatch.setattr(judge, "PAGE", tmp_path / "scoreboard.json")
    return tmp_path / "scoreboard.json"


def run(monkeypatch: pytest.MonkeyPatch, *subjects: judge.Subject) -> int:
    monkeypatch.setattr(judge, "TIERS", {"light": list(subjects), "full": []})
    return judge.main("light")


def lines(page: Path) -> dict[str, Any]:
    return {each["name"]: each for each in json.loads(page.read_text())["implementations"]}


def expecting(folder: Path, case: str) -> judge.Subject:
    """Return the reference, of which a case is expected to fail."""
    text = f'[[expect]]\nid = "{case}"\nstatus = "fail"\nreason = "it was wrong once"\n'
    (folder / "expected.toml").write_text(text, encoding="utf-8")
    more = (*SHORT, "--expect", str(folder / "expected.toml"))
    return judge.Subject("numpy", "Makefile", more=more)


def test_each_page_is_written(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, judge.Subject("numpy", "Makefile", more=SHORT)) == 0
    assert lines(page)["numpy"]["outcome"] == "passes in part"
    assert "## numpy" in page.with_suffix(".md").read_text()
    assert page.with_suffix(".html").read_text().startswith("<!doctype html>")


def test_what_behaves_otherwise_is_red_and_says_how(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subject = expecting(page.parent, "A-5/decays")
    assert run(monkeypatch, subject) == 1
    printed = " ".join(capsys.readouterr().err.split())
    assert "passed, but is known to deviate: it was wrong once" in printed
    assert not lines(page)["numpy"]["deviations"][0]["known"]


def test_what_was_not_installed_is_listed_with_the_reason(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = judge.Subject("tfjs", "scoreboard/nowhere/installed")
    assert run(monkeypatch, nowhere, judge.Subject("numpy", "Makefile", more=SHORT)) == 0
    assert lines(page)["tfjs"]["broken"].startswith("not installed: make: *** No rule")
    assert not lines(page)["numpy"]["broken"]


def test_what_is_not_judged_anew_is_kept(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, judge.Subject("numpy", "Makefile", more=SHORT))
    run(monkeypatch, judge.Subject("torch.optim", "Makefile", more=SHORT))
    assert sorted(lines(page)) == ["numpy", "torch.optim"]


def test_an_unknown_tier_is_refused() -> None:
    with pytest.raises(SystemExit, match="choose from light, full"):
        judge.main("heavy")


def test_there_are_many_implementations_and_each_once() -> None:
    names = [subject.name for tier in judge.TIERS.values() for subject in tier]
    assert len(set(names)) == len(names) >= 14
