"""The benchmark runs and writes its figures; tests do not judge speed."""

import json
from pathlib import Path
from typing import Any

import cpu_step
import pytest
from cases import Case
from turns import Timing

from adamax_fused.threads import usable
from benchmark_scripts import called, ran


@pytest.mark.slow
def test_it_writes_and_plots_its_figures(tmp_path: Path) -> None:
    figures, picture = tmp_path / "new" / "figures.json", tmp_path / "picture.png"
    outputs = ("--json", figures, "--plot", picture)
    done = ran("cpu_step.py", "--only", "one of 1 thousand", "--quick", *outputs)
    assert done.returncode == 0, done.stderr
    written = json.loads(figures.read_text())
    busy, alone = written["timings"]
    stock = {"torch loop", "torch foreach", "torch Adam fused"}
    assert set(busy["candidates"]) == stock | {"ours"}
    assert set(alone["candidates"]) == stock | {"ours", "step_", "optax", "limit"}
    assert alone["candidates"]["limit"]["over_limit"] == 1
    for timing in busy, alone:
        assert timing["parameters"] == 1000
        assert timing["rounds"] == 2
        assert timing["busy"] == (timing is busy)
        assert timing["candidates"]["ours"]["ratio"] == 1
        for each in timing["candidates"].values():
            assert each["seconds"] > 0
            assert each["low"] <= each["ratio"] <= each["high"]
    (goal,) = written["goals"]
    assert (
        goal["text"] == "one of 1 thousand, busy: ours, over the better of torch loop and foreach"
    )
    assert goal["met"] is None
    assert "not judged" in done.stdout
    assert written["machine"]["numba"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "not drawn: one of 1 thousand, busy" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("only", "odd"), [("a gradient", 2), ("DTensors", 1)])
def test_it_runs_odd_cases_and_reports_that_it_does_not_plot_them(
    only: str, odd: int, tmp_path: Path
) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "picture.png"
    outputs = ("--json", figures, "--plot", picture)
    done = ran("cpu_step.py", "--only", only, "--quick", *outputs)
    assert done.returncode == 0, done.stderr
    written = json.loads(figures.read_text())
    assert len(written["timings"]) == len(written["goals"]) == odd
    assert all(timing["odd"] for timing in written["timings"])
    assert all("ours, over torch foreach" in goal["text"] for goal in written["goals"])
    assert "nothing to draw" in done.stderr
    assert not picture.exists()


@pytest.mark.slow
def test_memory_and_first_calls_are_measured_in_new_processes(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = ran("cpu_step.py", "--only", "first call", "--json", figures)
    assert done.returncode == 0, done.stderr
    written = json.loads(figures.read_text())
    assert written["timings"] == []
    assert {"import torch", "first step", "second step"} < set(written["first"])


def measured(ours: float, threads: int) -> Any:
    """Replace what is measured by figures of one case."""
    timing = Timing("", {"ours": [ours], "torch foreach": [2.0]})
    case = Case("500 of 256", (), 1, 1, odd="missing", threads=threads)
    return lambda *_args, **_more: ({case: timing}, {}, {})


@pytest.mark.parametrize(
    ("ours", "threads", "arguments", "status"),
    [
        (1.0, usable(), [], 0),
        (3.0, usable(), [], 1),
        (3.0, usable(), ["--quick"], 0),
        (3.0, 1, ["--threads", "1"], 1 if usable() == 1 else 0),
    ],
)
def test_the_exit_status_says_whether_goals_are_met(
    ours: float, threads: int, arguments: list[str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_step, "measured", measured(ours, threads))
    found, output = called(cpu_step, *arguments)
    assert "a gradient missing: ours, over torch foreach" in output
    assert found == status


def test_an_unknown_case_raises() -> None:
    status, output = called(cpu_step, "--only", "nothing such")
    assert status == 2
    assert "no case has 'nothing such' in it" in output


def test_help_explains_the_exit_status() -> None:
    status, output = called(cpu_step, "--help")
    assert status == 0
    assert "The exit status is 1" in output


@pytest.mark.parametrize("given", ["0", "two", "1,1000000"])
def test_wrong_numbers_of_threads_raise(given: str) -> None:
    status, output = called(cpu_step, "--threads", given)
    assert status == 2
    assert f"'{given}' is not numbers from 1 to" in output
