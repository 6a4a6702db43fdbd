"""The benchmark runs and writes its figures; tests do not judge speed."""

import json
from pathlib import Path

import jax_step
import pytest

from benchmark_scripts import called, ran


@pytest.mark.slow
def test_it_writes_and_plots_its_figures(tmp_path: Path) -> None:
    figures, picture = tmp_path / "new" / "figures.json", tmp_path / "picture.png"
    done = ran("jax_step.py", "--only", "150 of 256", "--json", figures, "--plot", picture)
    assert done.returncode == 0, done.stderr
    (timing,) = json.loads(figures.read_text())["timings"]
    assert timing["case"] == "150 of 256, outside jit"
    assert timing["rounds"] == 100
    assert timing["low"] <= timing["ratio"] <= timing["high"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_an_unknown_case_raises() -> None:
    status, output = called(jax_step, "--only", "nothing such")
    assert status == 2
    assert "no case has 'nothing such' in it" in output
