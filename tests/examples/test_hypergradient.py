"""The slope that the example descends is that of the training, and it leads to a better one.

Forward and reverse mode go through the training on different ways, with different formulas, and
differ by rounding alone. That shrinks with the unit roundoff, 2^-24 in float32 and 2^-53 in
float64, and a slope that one of them gets wrong does not: half of the 29 powers of two is as far
from one as from the other.

Both modes are autograd's, and would miss alike what is cut from its graph. A difference quotient
would not: it is the mean of the slopes between its two ends, across the kinks of the rule's maximum
as well, so it lies between the least and the greatest of them. These are taken from the ends and
the middle. Fewer slopes leave less room, so that can make the test fail, but not pass; and nothing
is added for rounding, as the room is that of a million units in the last place of the loss.
"""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # sklearn brings it
from torch import Tensor
from typer.testing import CliRunner

from adamax_torch import functional
from example_scripts import example

SHRINKS = 2.0 ** -((53 - 24) // 2)

# How far from the start the ends of a difference are, in the logarithm of a hyperparameter. The
# room between their slopes shrinks with it, and the smallest cut below is several times as large.
REACH = 2.0**-12


@pytest.fixture(scope="module")
def hypergradient() -> Iterator[ModuleType]:
    with threadpool_limits(1):
        yield example("hypergradient")


def in_precision(task: Any, dtype: torch.dtype) -> Any:
    """The same task in another dtype; only the images are floating point."""
    parts = ((x.to(dtype), y) for x, y in task[1:])
    return type(task)(task.module.to(dtype), *parts)


def outer_loss(hypergradient: ModuleType, task: Any, steps: int) -> Callable[[Tensor], Any]:
    """The objective: a function of the two logarithms."""

    def validation(logs: Tensor) -> Any:
        lr, weight_decay = logs.exp()
        params = hypergradient.trained(task, lr, weight_decay, steps)
        return hypergradient.loss(task, params, task.validation)

    return validation


def difference(hypergradient: ModuleType, dtype: torch.dtype) -> tuple[float, float]:
    """The largest difference between the two derivatives, and the smallest derivative."""
    task = in_precision(hypergradient.make_task(0), dtype)
    validation = outer_loss(hypergradient, task, 5)
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


def is_among_the_slopes(hypergradient: ModuleType) -> tuple[bool, bool]:
    """Does the difference quotient agree, by learning rate and by weight decay?"""
    validation = outer_loss(hypergradient, hypergradient.make_task(0), 40)
    first = hypergradient.FIRST_LR, hypergradient.FIRST_WEIGHT_DECAY
    start = torch.tensor(first, dtype=torch.float64).log()

    def along(way: Tensor) -> bool:
        low, _, high = ends = start - REACH * way, start, start + REACH * way
        slopes = [torch.dot(torch.func.grad(validation)(at), way) for at in ends]
        quotient = (validation(high) - validation(low)) / (2 * REACH)
        return bool(min(slopes) < quotient < max(slopes))

    by_lr, by_weight_decay = map(along, torch.eye(2, dtype=torch.float64))
    return by_lr, by_weight_decay


def test_differences_agree_with_the_slopes(hypergradient: ModuleType) -> None:
    assert is_among_the_slopes(hypergradient) == (True, True)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["grads", "exp_avg", "exp_inf"])
def test_a_cut_in_the_graph_is_detected(
    what: str, hypergradient: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = functional.step

    def cut(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        given = {"grads": grads, **state._asdict()}
        given[what] = {name: leaf.detach() for name, leaf in given[what].items()}
        return whole(params, given.pop("grads"), functional.State(**given), hp)

    monkeypatch.setattr(functional, "step", cut)
    assert is_among_the_slopes(hypergradient) == (False, False)


def test_a_tuned_training_has_a_lower_test_loss(hypergradient: ModuleType, tmp_path: Path) -> None:
    plot = tmp_path / "made" / "for" / "it" / "path.svg"
    result = CliRunner().invoke(
        hypergradient.app, ["--outer-steps", "12", "--steps", "20", "--plot", str(plot)]
    )
    assert result.exit_code == 0, result.output
    assert result.stderr == "", "no progress bar without a terminal"
    first, *_, last = (line.split() for line in result.stdout.splitlines()[1:-1])
    for column in (3, 4):
        assert float(last[column]) < float(first[column])
    assert float(last[1]) != float(first[1])
    assert float(last[2]) != float(first[2])
    assert "weight decay" in plot.read_text()
