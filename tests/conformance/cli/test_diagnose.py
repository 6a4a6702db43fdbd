"""`diagnose` on the command line: exit codes, what it prints, and its plot."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adamax_conformance.cli import app

RUNNER = CliRunner()

GLUE = """
from dataclasses import replace
from adamax_conformance.dialects import Dialect
from adamax_conformance.subjects.reference import backend
mlx = backend(rule=Dialect("outside", "none"), name="mlx")
keras = replace(backend(rule=Dialect("outside"), name="keras"), default_eps=1e-7)
torchopt = replace(backend(), name="torchopt", default_eps=1e-6)
idle = replace(backend(), name="idle", step=lambda p, g, s, hp: (dict(p), s))
def no_step(*_args): raise RuntimeError("no device")
broken = replace(backend(), name="broken", step=no_step)
"""


@pytest.fixture
def glue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "diagnose_glue.py").write_text(GLUE)


@pytest.mark.usefixtures("glue")
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["numpy"], 0, "numpy: canonical Adamax"),
        (["numpy", "--scale", "1e-6"], 0, "its steps are those of the specification"),
        (["py:diagnose_glue:mlx"], 1, "eps outside the maximum, no bias correction (as MLX)"),
        (["py:diagnose_glue:mlx", "--scale", "1", "--steps", "1"], 1, "0.1"),
        (["py:diagnose_glue:keras", "--scale", "1e-6"], 1, "eps 1e-07 over 1e-08"),
        (["py:diagnose_glue:keras", "--scale", "1e-6"], 1, "0.93977 "),
        (["py:diagnose_glue:keras", "--scale", "1e-6", "--eps", "1e-8"], 1, "0.99993 "),
        (["py:diagnose_glue:torchopt", "--scale", "1e-6"], 0, "0.643441 "),
        (["py:diagnose_glue:idle", "--scale", "1"], 1, "its rule is unknown"),
        (["py:diagnose_glue:idle", "--plot", "x.png"], 2, "nothing to plot: idle: not Adamax"),
        (["py:diagnose_glue:broken"], 3, "step raised RuntimeError: no device"),
        (["nope"], 2, "unknown backend 'nope'"),
        (["numpy", "--dtype", "int8"], 2, "dtype = 'int8'"),
        (["py:diagnose_glue:mlx", "--scale", "-1"], 2, "scale = -1.0 is outside its domain"),
        (["numpy", "--steps", "0"], 2, "greater than or equal to 1"),
        (["numpy", "--beta1", "1"], 2, "beta1 = 1.0 is outside its domain"),
    ],
)
def test_command(arguments: list[str], code: int, text: str) -> None:
    result = RUNNER.invoke(app, ["diagnose", *arguments])
    assert result.exit_code == code, result.output
    assert text in " ".join(result.output.split())
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("glue")
def test_command_in_json() -> None:
    result = RUNNER.invoke(
        app, ["diagnose", "py:diagnose_glue:mlx", "--scale", "1", "--format", "json"]
    )
    document = json.loads(result.stdout)
    assert document["canonical"] is False
    assert document["cost"][0]["step"] == 1
    assert document["cost"][-1]["step"] == 100


@pytest.mark.usefixtures("glue")
@pytest.mark.parametrize("name", ["numpy", "py:diagnose_glue:mlx", "py:diagnose_glue:torchopt"])
def test_command_plots(tmp_path: Path, name: str) -> None:
    path = tmp_path / "cost.svg"
    RUNNER.invoke(app, ["diagnose", name, "--steps", "3", "--plot", str(path)])
    assert path.read_text().startswith("<?xml")


@pytest.mark.usefixtures("glue")
def test_plot_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    result = RUNNER.invoke(app, ["diagnose", "numpy", "--plot", "x.png"])
    assert result.exit_code == 2
    assert "pip install matplotlib" in result.output
