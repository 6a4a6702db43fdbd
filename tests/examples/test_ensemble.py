"""Sixteen models are trained at once, each as if it were alone.

The optimizer's step is the same arithmetic under vmap and alone, so its bits are compared. A
product of stacked matrices may add up in another order than one of single ones: trainings differ
by rounding, and how far that drives them apart depends on the network. How it changes with the
precision does not: to first order it is proportional to the unit roundoff, 2^-24 in float32 and
2^-53 in float64. So each model's distance from itself trained alone, in float64, is held against
what float32 does to that model, about 2^29 as much, and never nothing, as the same distance in
float32 may be. A difference of rule does not shrink. Half of the 29 powers of two is as far from
one as from the other.
"""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import optree
import pytest
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # sklearn brings it
from torch import Tensor
from torch.func import grad, vmap
from typer.testing import CliRunner

from adamax_torch import functional
from example_scripts import example

SHRINKS = 2.0 ** -((53 - 24) // 2)
LRS = torch.logspace(-5, 0, 16, dtype=torch.float64)


@pytest.fixture(scope="module")
def ensemble() -> Iterator[ModuleType]:
    with threadpool_limits(1):
        yield example("ensemble")


def images(ensemble: ModuleType, dtype: torch.dtype) -> Any:
    """Four batches, so that each model takes twelve steps in three epochs."""
    (x, y), _ = ensemble.split(0)
    return x[:256].to(dtype), y[:256]


def pick(tree: Any, index: int) -> Any:
    return optree.tree_map(lambda leaf: leaf[index], tree)


def one_by_one(ensemble: ModuleType, train: Any, lrs: Tensor) -> list[dict[str, Tensor]]:
    stacked, ends = ensemble.start(len(lrs), 0, train[0].dtype), []
    for index, lr in enumerate(lrs):
        params = pick(stacked, index)
        state = functional.init(params)
        for x, y in ensemble.batches(train, 3, 0):
            params, state = ensemble.step(params, state, lr, x, y)
        ends.append(params)
    return ends


def distances(stacked: dict[str, Tensor], ends: list[dict[str, Tensor]]) -> list[float]:
    """The largest difference of the weights of each model."""
    return [
        max((stacked[name][index] - end[name]).abs().max().item() for name in end)
        for index, end in enumerate(ends)
    ]


def rounding_and_apart(ensemble: ModuleType, lrs_alone: Tensor) -> list[tuple[float, float]]:
    """For each model: the effect of float32, and the distance from the model trained alone."""
    single, double = (
        ensemble.train_all(images(ensemble, dtype), LRS, 3, 0, quiet=True)
        for dtype in (torch.float32, torch.float64)
    )
    alone = one_by_one(ensemble, images(ensemble, torch.float64), lrs_alone)
    rounding = distances(single, [pick(double, index) for index in range(len(LRS))])
    return list(zip(rounding, distances(double, alone), strict=True))


def test_at_once_and_one_by_one_differ_by_rounding_alone(ensemble: ModuleType) -> None:
    for rounding, apart in rounding_and_apart(ensemble, LRS):
        assert apart < SHRINKS * rounding


def test_a_model_with_the_learning_rate_of_its_neighbour_is_detected(
    ensemble: ModuleType,
) -> None:
    for rounding, apart in rounding_and_apart(ensemble, LRS.roll(1)):
        assert apart > SHRINKS * rounding


def test_a_step_of_all_has_the_bits_of_a_step_of_each(ensemble: ModuleType) -> None:
    """With the gradients of the training, in the shapes and dtype of the network."""

    def step(params: Any, grads: Any, state: functional.State, lr: Tensor) -> Any:
        return functional.step(params, grads, state, functional.Hyperparameters(lr))

    params = ensemble.start(len(LRS), 0, torch.float32)
    state = vmap(functional.init)(params)
    for x, y in ensemble.batches(images(ensemble, torch.float32), 1, 0):
        grads = vmap(grad(ensemble.loss), in_dims=(0, None, None))(params, x, y)
        each = [
            step(*(pick(tree, i) for tree in (params, grads, state, LRS))) for i in range(len(LRS))
        ]
        params, state = vmap(step)(params, grads, state, LRS)
        together: Any = (params, state)
        alone = optree.tree_leaves(optree.tree_map(lambda *rows: torch.stack(rows), *each))
        for here, there in zip(optree.tree_leaves(together), alone, strict=True):
            # As bytes, since zeros of different sign compare equal.
            assert torch.equal(here.view(torch.uint8), there.view(torch.uint8))


def test_it_prints_and_plots(ensemble: ModuleType, tmp_path: Path) -> None:
    plot = tmp_path / "made" / "for" / "it" / "curve.svg"
    result = CliRunner().invoke(ensemble.app, ["--epochs", "1", "--plot", str(plot)])
    assert result.exit_code == 0, result.output
    assert result.stdout.count("%") == ensemble.MODELS
    assert result.stderr == "", "no progress bar without a terminal"
    assert "learning rate" in plot.read_text()


def test_each_has_its_own_learning_rate(ensemble: ModuleType) -> None:
    """The smallest rate hardly learns; the best learns most digits."""
    train, test = ensemble.split(0)
    lrs = torch.logspace(-6, -1, 3, dtype=torch.float64)
    before, after = (
        ensemble.accuracies(ensemble.train_all(train, lrs, epochs, 0, quiet=True), test)
        for epochs in (0, 3)
    )
    assert after[2] > 0.8 > before[2]
    assert abs(after[0] - before[0]) < after[2] - before[2]
