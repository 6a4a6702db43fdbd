"""The example trains, plots, rejects invalid options, and would detect a wrong rule.

How far rounding drives two trainings apart depends on the network, so no number here says how far
is too far. How that distance changes with the precision does not depend on it: a first-order error
is proportional to the unit roundoff w, which is 2^-24 in float32 and 2^-53 in float64, so rounding
shrinks by 2^29 from one to the other, and a difference of rule does not shrink at all. Half of 29,
rounded down, is as far from one as from the other.
"""

import re
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

import adamax_core
from adamax_core.rule import maximum
from example_scripts import example

SHRINKS = 2.0 ** -((53 - 24) // 2)


@pytest.fixture(scope="module")
def digits() -> ModuleType:
    return example("digits")


def run(digits: ModuleType, plot: Path, dtype: str) -> str:
    arguments = ["--epochs", "2", "--weight-decay", "1e-3", "--dtype", dtype, "--plot", str(plot)]
    result = CliRunner().invoke(digits.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert result.stderr == "", "no progress bar without a terminal"
    return result.stdout


def largest_difference(printed: str) -> float:
    found = re.search(r"^largest difference between any two.*: (\S+)$", printed, re.MULTILINE)
    assert found, printed
    return float(found[1])


def differences(digits: ModuleType, folder: Path) -> tuple[float, float]:
    """Runs in float32 and in float64."""
    single, double = (
        largest_difference(run(digits, folder / "curves.png", dtype))
        for dtype in ("float32", "float64")
    )
    return single, double


def test_the_four_trainers_agree_and_are_plotted(digits: ModuleType, tmp_path: Path) -> None:
    plot = tmp_path / "made" / "for" / "it" / "curves.png"
    printed = run(digits, plot, "float64")
    ends = re.findall(r"^(\S.*?) +(\d\.\d{8}) +(\d+\.\d\d%)$", printed, re.MULTILINE)
    assert [name for name, _, _ in ends] == list(digits.TRAINERS)
    assert len({accuracy for _, _, accuracy in ends}) == 1, printed
    assert f"plot: {plot}" in printed
    assert plot.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.slow
def test_the_curves_differ_by_rounding_alone(digits: ModuleType, tmp_path: Path) -> None:
    single, double = differences(digits, tmp_path)
    assert double < single * SHRINKS


def eps_in_the_decay(exp_inf: Any, grad: Any, beta2: Any, eps: Any) -> Any:
    return maximum(beta2 * exp_inf + eps, abs(grad))


def test_a_dialect_among_the_four_is_detected(
    digits: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect = adamax_core.CANONICAL._replace(infinity_norm=eps_in_the_decay)
    monkeypatch.setattr(adamax_core, "step", partial(adamax_core.step, rule=dialect))
    single, double = differences(digits, tmp_path)
    assert double > single * SHRINKS


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--lr", "-1"], "lr = -1.0 is outside its domain 0 <= lr < 1"),
        (["--lr", "nan"], "lr = nan is outside its domain"),
        (["--weight-decay", "1"], "weight_decay = 1.0 is outside its domain 0 <= weight_decay < 1"),
        (["--epochs", "0"], "Invalid value for '--epochs'"),
        (["--seed", "-1"], "Invalid value for '--seed'"),
        (["--dtype", "float16"], "'float16' is not one of 'float32', 'float64'"),
    ],
)
def test_invalid_options_raise_before_any_training(
    arguments: list[str], said: str, digits: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(digits, "make_task")
    result = CliRunner().invoke(digits.app, arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stdout == ""


def test_a_folder_is_not_written_over(digits: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "curves.png"
    folder.mkdir()
    result = CliRunner().invoke(digits.app, ["--plot", str(folder)])
    assert result.exit_code == 2, result.output
    assert f"cannot write {folder}" in result.stderr
