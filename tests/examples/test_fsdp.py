"""A sharded training is saved, and resumed on another number of processes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "fsdp.py"


def torchrun(processes: int, *arguments: object) -> tuple[float, float]:
    """The printed loss and accuracy."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    ran = subprocess.run(
        [sys.executable, *launcher, str(EXAMPLE), *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = re.search(r"test loss (\S+), accuracy (\S+)%$", ran.stdout, re.MULTILINE)
    assert found, ran.stdout
    assert "Traceback" not in ran.stderr
    assert "Warning" not in ran.stderr
    return float(found[1]), float(found[2])


@pytest.mark.slow
def test_resuming_gives_the_result_of_an_uninterrupted_training(tmp_path: Path) -> None:
    """To the last digit with as many processes; with more, gradients sum in another order."""
    torchrun(2, "--steps", 60, "--save", tmp_path / "half")
    whole = torchrun(2, "--steps", 120)
    assert torchrun(2, "--steps", 60, "--resume", tmp_path / "half") == whole
    _, accuracy = torchrun(4, "--steps", 60, "--resume", tmp_path / "half")
    assert whole[1] > 80
    assert accuracy > 80


@pytest.mark.slow
def test_without_torchrun_it_shows_the_command() -> None:
    ran = subprocess.run(
        [sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert "start it with: torchrun --nproc-per-node 2 examples/fsdp.py" in ran.stderr
