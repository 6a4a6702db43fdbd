"""The benchmark measures what it says; how fast is its own business."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "jax_step.py"


def ran(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, BENCHMARK, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_it_writes_and_draws_what_it_measures(tmp_path: Path) -> None:
    figures, picture = tmp_path / "new" / "figures.json", tmp_path / "picture.png"
    done = ran("--only", "150 of 256", "--json", figures, "--plot", picture)
    assert done.returncode == 0, done.stderr
    (timing,) = json.loads(figures.read_text())["timings"]
    assert timing["case"] == "150 of 256, outside jit"
    assert timing["rounds"] == 100
    assert timing["low"] <= timing["ratio"] <= timing["high"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_case_that_is_not_there_is_refused() -> None:
    done = ran("--only", "nothing such")
    assert done.returncode == 2
    assert "no case has 'nothing such' in it" in " ".join(done.stderr.split())
