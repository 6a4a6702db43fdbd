"""Sixteen models are trained at once, each with a learning rate of its own.

That a step under vmap has the bits of a step alone is shown in tests/torch/test_functional.py.
"""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def ensemble(example: Callable[[str], ModuleType]) -> ModuleType:
    return example("ensemble")


def test_it_prints_and_draws(ensemble: ModuleType, tmp_path: Path) -> None:
    plot = tmp_path / "curve.svg"
    result = CliRunner().invoke(ensemble.app, ["--epochs", "1", "--plot", str(plot)])
    assert result.exit_code == 0, result.output
    assert result.stdout.count("%") == ensemble.MODELS
    assert result.stderr == "", "no progress bar where there is no terminal"
    assert "learning rate" in plot.read_text()


def test_a_plot_that_cannot_be_written_is_refused_first(ensemble: ModuleType) -> None:
    result = CliRunner().invoke(ensemble.app, ["--plot", "curve.txt"])
    assert result.exit_code == 2
    assert "curve.txt ends in none of .png, .pdf, .svg" in result.output


def test_each_has_its_own_learning_rate(ensemble: ModuleType) -> None:
    """The one that hardly moves knows no more than it did; the best has learned most digits."""
    train, test = ensemble.split(0)
    lrs = torch.logspace(-6, -1, 3, dtype=torch.float64)
    before, after = (
        ensemble.accuracies(ensemble.train_all(train, lrs, epochs, 0, quiet=True), test)
        for epochs in (0, 3)
    )
    assert after[2] > 0.8 > before[2]
    assert abs(after[0] - before[0]) < after[2] - before[2]
