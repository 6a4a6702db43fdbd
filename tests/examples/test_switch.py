"""The training that changes its framework is the one that does not, within the derived bounds.

Fed the same gradients, a step differs by rounding alone. The judge sees the parameters alone, and
propagates what each step allows through the whole run: both runs must lie in the same intervals.
"""

import re
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

import adamax_core
from adamax_checkpoint import Checkpoint, Group
from adamax_checkpoint.optax import from_optax, to_optax, tree_of
from adamax_checkpoint.torch import from_state_dict, to_state_dict, to_torch
from adamax_conformance import FunctionalBackend
from adamax_conformance.judging.finding import Violation
from adamax_conformance.judging.judge import judge
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.subject.watched import Watched
from adamax_core import Hyperparameters
from adamax_jax import adamax_transform
from adamax_torch import Adamax
from example_scripts import example

HP = Hyperparameters(lr=1e-2)


@pytest.fixture(scope="module")
def switch() -> ModuleType:
    return example("switch")


def test_it_trains_moves_verifies_and_plots(switch: ModuleType, tmp_path: Path) -> None:
    plot = tmp_path / "made" / "switch.png"
    arguments = ["--steps", "5", "--dtype", "float64", "--plot", str(plot)]
    result = CliRunner().invoke(switch.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    moves = re.findall(
        r"^moved after step (\d+): same bits; torch and jax", result.output, re.MULTILINE
    )
    assert moves == ["5", "10"]
    one, other = re.findall(r"final loss (\d\.\d{8})$", result.output, re.MULTILINE)
    assert one == other
    assert re.search(
        r"^largest difference between the two loss curves: \S+$", result.output, re.MULTILINE
    )
    assert plot.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def torch_step(start: Checkpoint, grads: dict[str, Any]) -> Checkpoint:
    weights = {name: to_torch(array) for name, array in (start.params or {}).items()}
    optimizer = Adamax(weights.items())
    optimizer.load_state_dict(to_state_dict(start, optimizer.state_dict()))
    for name, weight in weights.items():
        weight.grad = to_torch(grads[name])
    optimizer.step()
    return from_state_dict(optimizer.state_dict(), params=weights)


def jax_step(start: Checkpoint, grads: dict[str, Any]) -> Checkpoint:
    optimizer = adamax_transform(HP.lr, *HP.betas, HP.eps)
    weights = tree_of(start.params or {}, like=start.params)
    state = to_optax(start, optimizer.init(weights))
    updates, state = optimizer.update(grads, state, weights)
    return from_optax(state, start.groups, jax.tree.map(lambda w, u: w + u, weights, updates))


def stepping(parts: list[Any], steps: int) -> FunctionalBackend:
    """A backend that hides its state, and is another framework in each part of so many steps."""
    counted = count()

    def init(params: Any, _hp: Any) -> Checkpoint:
        group = Group(tuple(params), HP)
        return Checkpoint(adamax_core.init(dict(params)), (group,), dict(params))

    def step(_params: Any, grads: Any, state: Checkpoint, _hp: Any) -> tuple[Any, Checkpoint]:
        part = parts[next(counted) * len(parts) // steps]
        state = part(state, grads)
        return state.params, state

    return FunctionalBackend("switch", init=init, step=step)


def recorded(digits: ModuleType, steps: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A few weights, and their gradients in a training of the reference."""
    task = digits.make_task(0, -(-steps // 22), "float32")
    rng = np.random.default_rng(0)
    few = {name: rng.permutation(weight.size)[:4] for name, weight in task.weights.items()}

    def chosen(arrays: dict[str, Any]) -> dict[str, Any]:
        return {name: array.reshape(-1)[few[name]] for name, array in arrays.items()}

    weights, state, series = task.weights, adamax_core.init(task.weights), []
    for batch in task.batches[:steps]:
        grads = digits.backpropagate(weights, batch)
        weights, state = adamax_core.step(weights, grads, state, HP)
        series.append(chosen(grads))
    return chosen(task.weights), series


def judged(parts: list[Any], steps: int) -> float:
    params, series = recorded(example("digits"), steps)
    run = Run(params, series, HP)
    return judge(Watched(stepping(parts, steps)), Trial(run, ("param",))).used


def both_runs_lie_in_the_same_intervals(steps: int) -> None:
    for parts in ([torch_step], [torch_step, jax_step, torch_step]):
        assert 0 < judged(parts, steps) <= 1


def test_with_the_same_gradients_both_runs_lie_in_the_derived_bounds() -> None:
    both_runs_lie_in_the_same_intervals(12)


@pytest.mark.slow
def test_with_the_same_gradients_all_600_steps_lie_in_the_derived_bounds() -> None:
    both_runs_lie_in_the_same_intervals(600)


def lost(start: Checkpoint, grads: dict[str, Any]) -> Checkpoint:
    """A step in JAX that has lost the counts."""
    counts = dict.fromkeys(start.names, 0)
    state = Checkpoint(start.state._replace(step=counts), start.groups, start.params)
    return jax_step(state, grads)


def test_counts_that_are_lost_on_the_way_are_seen() -> None:
    with pytest.raises(Violation, match=r"step 5, .*, param"):
        judged([torch_step, lost, torch_step], 12)
