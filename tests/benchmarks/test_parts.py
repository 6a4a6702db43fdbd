"""The modules of the benchmarks."""

import doctest
import importlib
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import busy
import problem
import pytest
import torch
from cases import CORES, cases
from goals import goals
from limit import limit
from problem import Problem
from turns import WARM, Timing, timed


def test_every_goal_has_figures_in_the_cases() -> None:
    timings = {
        case: Timing("", {name: [1.0] for name in case.candidates}) for case in cases([CORES])
    }
    reached = [goal.text for goal in goals(timings, {"ours": 0.0})]
    assert len(set(reached)) == len(reached) == 23
    assert sum(", busy: " in text for text in reached) == 5
    for odd in ("a gradient missing", "a gradient transposed", "DTensors"):
        assert sum(odd in text for text in reached) == 1
    for shapes, count in (("one of 20 million", 3), ("GPT-2 small", 5), ("500 of 256", 3)):
        assert sum(text.startswith(f"{shapes}:") for text in reached) == count


def test_a_gradient_is_missing_in_every_other_step() -> None:
    missing = Problem([(2,), (2,)], odd="missing")
    params, seen = missing.parameters(), list[list[bool]]()
    optimizer = torch.optim.SGD(params)
    optimizer.register_step_pre_hook(lambda *_: seen.append([p.grad is None for p in params]))
    step = missing.stepper(optimizer)
    for _ in range(4):
        step()
    assert seen == 2 * [[False, False], [True, False]]


def test_a_gradient_is_transposed() -> None:
    params: Any = Problem([(16, 16)] * 3, odd="transposed").parameters()
    found = [(p.is_contiguous(), p.grad.is_contiguous(), p.grad.stride()) for p in params]
    assert found == [(True, False, (1, 16)), *2 * [(True, True, (16, 1))]]


@pytest.fixture
def one_process() -> Iterator[None]:
    """End the process group that sharded parameters start."""
    yield
    problem._mesh.cache_clear()
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_process")
def test_parameters_and_gradients_are_sharded() -> None:
    params: Any = Problem([(4,)] * 2, odd="sharded").parameters()
    found = [(type(t).__name__, str(t.placements[0])) for p in params for t in (p.data, p.grad)]
    assert found == 4 * [("DTensor", "S(0)")]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_limit_streams_each_element_once(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rows = [[torch.full((n,), float(i)) for i in range(4)] for n in (1, 0, 70_000, 1_500_000)]
        limit(rows, "float32")()
    finally:
        torch.set_num_threads(before)
    for row in rows:
        if row[0].numel():
            assert [torch.unique(t).tolist() for t in row] == [[1.0], [1.0], [3.0], [4.0]]


def test_busy_processes_end(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(command: Any) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(command))
        return started[-1]

    def interrupted() -> None:
        with busy.busy(2):
            assert [each.poll() for each in started] == [None, None]
            raise KeyboardInterrupt

    monkeypatch.setattr(busy, "subprocess", type("Module", (), {"Popen": staticmethod(start)}))
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert None not in [each.poll() for each in started]


@pytest.mark.parametrize("turn", [0, 0.01])
def test_a_turn_is_one_step_or_as_many_as_fill_it(turn: float) -> None:
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    make: dict[str, Callable[[], Any]] = {"ours": lambda: step}
    timed("", make, builds=1, rounds=2, tick=lambda: None, turn=turn)
    assert count - WARM > 4 if turn else count - WARM == 2


@pytest.mark.parametrize("name", ["cases", "goals", "shapes", "turns"])
def test_doctests_pass(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed
