"""The examples with JAX libraries learn; in the sharded one the optimizer does not communicate."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def ran(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flax_linen.py", "flax_nnx.py", "equinox_mlp.py"])
def test_it_learns(name: str) -> None:
    done = ran(name)
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"step 210: (\S+)% of the digits read\n", done.stdout)
    assert found, done.stdout
    assert float(found[1]) > 80


@pytest.mark.slow
@pytest.mark.parametrize("mesh", ["4x2", "2x4", "1x1"])
def test_a_sharded_step_does_not_communicate_and_learns(mesh: str) -> None:
    done = ran("sharded.py", "--devices", "8", "--mesh", mesh, "--steps", "210")
    assert done.returncode == 0, done.stderr
    columns = int(mesh[-1])
    assert f"w1: (64, 32), of which a device holds (64, {32 // columns})\n" in done.stdout
    assert "collectives in the update: 0\n" in done.stdout
    found = re.search(r"^after 210 steps (\S+)% of the digits read$", done.stdout, re.MULTILINE)
    assert found, done.stdout
    assert float(found[1]) > 80


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mesh", "4"], "--mesh 4 is not rows x columns, such as 4x2"),
        (["--mesh", "4x2"], "a mesh of 4x2 needs 8 devices; there are 1 (--devices 8 makes them)"),
        (
            ["--mesh", "1x3", "--devices", "3"],
            "32 hidden units cannot be split into 1 or 3 equal parts",
        ),
    ],
)
def test_an_impossible_mesh_raises(arguments: list[str], message: str) -> None:
    done = ran("sharded.py", *arguments)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
