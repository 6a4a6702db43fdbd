"""The benchmark measures what it says; how fast is its own business."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Ran = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
def test_it_writes_and_draws_what_it_measures(tmp_path: Path, ran: Ran) -> None:
    figures, picture = tmp_path / "new" / "figures.json", tmp_path / "picture.png"
    done = ran("jax_step.py", "--only", "150 of 256", "--json", figures, "--plot", picture)
    assert done.returncode == 0, done.stderr
    (timing,) = json.loads(figures.read_text())["timings"]
    assert timing["case"] == "150 of 256, outside jit"
    assert timing["rounds"] == 100
    assert timing["low"] <= timing["ratio"] <= timing["high"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_case_that_is_not_there_is_refused(ran: Ran) -> None:
    done = ran("jax_step.py", "--only", "nothing such")
    assert done.returncode == 2
    assert "no case has 'nothing such' in it" in " ".join(done.stderr.split())
