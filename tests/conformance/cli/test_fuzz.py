"""`fuzz` on the command line: exit codes, what it prints, and the file that it writes."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from adamax_conformance.cli import app
from adamax_conformance.fuzz import repro

RUNNER = CliRunner()

GLUE = """
import numpy as np
from dataclasses import replace
from adamax_core import CANONICAL
from adamax_conformance.subjects.reference import backend
base = backend()
outside = backend(
    CANONICAL._replace(infinity_norm=lambda u, g, b2, _eps: np.maximum(b2 * u, abs(g))), "outside"
)
def no_step(*_args): raise RuntimeError("no device")
broken = replace(base, name="broken", step=no_step)
"""


@pytest.fixture
def glue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fuzz_glue.py").write_text(GLUE)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["numpy"], 0, "numpy: no failure (seed 0)"),
        (["numpy", "--stateful", "--seed", "5"], 0, "numpy: no failure (seed 5)"),
        (["py:fuzz_glue:outside"], 1, "adamax-conformance replay repro.json"),
        (["nope"], 2, "unknown backend 'nope'"),
        (["numpy", "--dtype", "int8"], 2, "dtype 'int8': numpy takes float16"),
        (["numpy", "--out", "gone/x.json"], 2, "cannot write to folder gone"),
        (["numpy", "--out", "fuzz_glue.py"], 2, "already exists and is not overwritten"),
        (["py:fuzz_glue:broken"], 3, "RuntimeError: no device"),
    ],
)
@pytest.mark.usefixtures("glue")
def test_command(arguments: list[str], code: int, text: str) -> None:
    dtype = [] if "--dtype" in arguments else ["--dtype", "float32"]
    result = RUNNER.invoke(app, ["fuzz", *arguments, *dtype, "--examples", "10"])
    assert result.exit_code == code, result.output
    assert text in result.output


@pytest.mark.usefixtures("glue")
def test_second_failure_is_written_beside_the_first() -> None:
    arguments = ["fuzz", "py:fuzz_glue:outside", "--dtype", "float32"]
    first, second = (RUNNER.invoke(app, [*arguments, "--seed", seed]).output for seed in "12")
    assert first.endswith("adamax-conformance replay repro.json\n")
    assert second.endswith("adamax-conformance replay repro-1.json\n")
    assert repro.load(Path("repro.json")).command.endswith("--seed 1")


@pytest.mark.usefixtures("glue")
def test_failure_is_printed_in_numbers_and_written() -> None:
    name = "py:fuzz_glue:outside"
    result = RUNNER.invoke(app, ["fuzz", name, "--dtype", "float32", "--out", "x.json"])
    assert "exp_inf\n  got " in result.output
    assert "times the bound" in result.output
    assert "eps          1.0 = 0x1.0000000000000p+0" in result.output
    written = repro.load(Path("x.json"))
    assert written.backend == name
    assert (
        written.command == f"adamax-conformance fuzz {name} --dtype float32 --examples 100 --seed 0"
    )
    assert written.failure.divergence is not None
    assert str(written.failure.divergence.where) in result.output
    again = RUNNER.invoke(app, ["replay", "x.json"])
    assert again.exit_code == 1
    assert written.failure.divergence.got in again.output
