"""The benchmark measures what it says; how fast is its own business."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
Ran = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
def test_it_writes_and_draws_what_it_measures(tmp_path: Path, ran: Ran) -> None:
    figures, picture = tmp_path / "new" / "figures.json", tmp_path / "picture.png"
    outputs = ("--json", figures, "--plot", picture)
    done = ran("cpu_step.py", "--only", "one of 1 thousand", "--quick", *outputs)
    assert done.returncode == 0, done.stderr
    written = json.loads(figures.read_text())
    (timing,) = written["timings"]
    assert timing["parameters"] == 1000
    assert timing["rounds"] == 2
    stock = {"torch loop", "torch foreach", "torch Adam fused", "optax"}
    assert set(timing["candidates"]) == stock | {"ours", "step_", "limit"}
    for each in timing["candidates"].values():
        assert each["seconds"] > 0
        assert each["low"] <= each["ratio"] <= each["high"]
    assert timing["candidates"]["ours"]["ratio"] == 1
    assert timing["candidates"]["limit"]["over_limit"] == 1
    assert [goal["text"] for goal in written["goals"]] == ["one of 1 thousand: step_"]
    assert written["machine"]["numba"]
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_it_asks_new_processes(tmp_path: Path, ran: Ran) -> None:
    figures = tmp_path / "figures.json"
    done = ran("cpu_step.py", "--only", "first call", "--json", figures)
    assert done.returncode == 0, done.stderr
    written = json.loads(figures.read_text())
    assert written["timings"] == []
    assert {"import torch", "first step", "second step"} < set(written["first"])


def test_a_case_that_is_not_there_is_refused(ran: Ran) -> None:
    done = ran("cpu_step.py", "--only", "nothing such")
    assert done.returncode == 2
    assert "no case has 'nothing such' in it" in " ".join(done.stderr.split())


@pytest.mark.parametrize("threads", ["0", "two", "1,1000000"])
def test_threads_that_are_not_there_are_refused(threads: str, ran: Ran) -> None:
    done = ran("cpu_step.py", "--threads", threads)
    assert done.returncode == 2
    assert f"'{threads}' is not numbers from 1 to" in " ".join(done.stderr.split())


@pytest.mark.parametrize("module", ["shapes", "turns", "goals"])
def test_examples_hold(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "doctest", BENCHMARKS / f"{module}.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
