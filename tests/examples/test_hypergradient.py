"""The slope that the example descends is that of the training, and it leads to a better one.

Forward and reverse mode go through the training on different ways, with different formulas, and
differ by rounding alone. That shrinks with the unit roundoff, 2^-24 in float32 and 2^-53 in
float64, and a slope that one of them gets wrong does not: half of the 29 powers of two is as far
from one as from the other.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

SHRINKS = 2.0 ** -((53 - 24) // 2)


@pytest.fixture(scope="module")
def hypergradient(example: Callable[[str], ModuleType]) -> ModuleType:
    return example("hypergradient")


def in_precision(task: Any, dtype: torch.dtype) -> Any:
    """The same task; only the images are floating point."""
    parts = ((x.to(dtype), y) for x, y in task[1:])
    return type(task)(task.module.to(dtype), *parts)


def difference(hypergradient: ModuleType, dtype: torch.dtype) -> tuple[float, float]:
    """How far the two slopes are apart at most, and how steep they are at least."""
    task = in_precision(hypergradient.make_task(0), dtype)

    def validation(logs: Tensor) -> Any:
        lr, weight_decay = logs.exp()
        params = hypergradient.trained(task, lr, weight_decay, 5)
        return hypergradient.loss(task, params, task.validation)

    at = torch.tensor([1e-2, 1e-1], dtype=dtype).log()
    reverse = torch.func.grad(validation)(at)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, at the first forward derivative
        forward = torch.func.jacfwd(validation)(at)
    return (forward - reverse).abs().max().item(), reverse.abs().min().item()


def test_forward_and_reverse_mode_differ_by_rounding_alone(hypergradient: ModuleType) -> None:
    single, steep = difference(hypergradient, torch.float32)
    double, _ = difference(hypergradient, torch.float64)
    assert 0 < single < steep
    assert double < SHRINKS * single


@pytest.mark.slow
def test_a_tuned_training_ends_lower_on_images_that_nothing_has_seen(
    hypergradient: ModuleType, tmp_path: Path
) -> None:
    plot = tmp_path / "path.svg"
    result = CliRunner().invoke(
        hypergradient.app, ["--outer-steps", "12", "--steps", "20", "--plot", str(plot)]
    )
    assert result.exit_code == 0, result.output
    assert result.stderr == "", "no progress bar where there is no terminal"
    first, *_, last = (line.split() for line in result.stdout.splitlines()[1:-1])
    for column in (3, 4):
        assert float(last[column]) < float(first[column])
    assert float(last[1]) != float(first[1])
    assert float(last[2]) != float(first[2])
    assert "weight decay" in plot.read_text()
