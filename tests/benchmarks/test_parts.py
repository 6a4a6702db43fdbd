"""The modules of the benchmarks."""

from collections.abc import Callable
from typing import Any

Evaluated = Callable[[str], Any]


def test_every_goal_has_figures_in_the_cases(evaluated: Evaluated) -> None:
    reached = evaluated("""
from cases import CORES, cases
from goals import goals
from turns import Timing
timings = {case: Timing("", {name: [1.0] for name in case.candidates}) for case in cases([CORES])}
answer = [goal.text for goal in goals(timings, {"ours": 0.0})]
""")
    assert len(set(reached)) == len(reached) == 23
    assert sum(", busy: " in text for text in reached) == 5
    for odd in ("a gradient missing", "a gradient transposed", "DTensors"):
        assert sum(odd in text for text in reached) == 1
    for shapes, count in (("one of 20 million", 3), ("GPT-2 small", 5), ("500 of 256", 3)):
        assert sum(text.startswith(f"{shapes}:") for text in reached) == count


def test_a_gradient_is_missing_in_every_other_step(evaluated: Evaluated) -> None:
    assert evaluated("""
import torch
from problem import Problem
problem = Problem([(2,), (2,)], odd="missing")
params = problem.parameters()
optimizer, seen = torch.optim.SGD(params), []
optimizer.register_step_pre_hook(lambda *_: seen.append([p.grad is None for p in params]))
step = problem.stepper(optimizer)
for _ in range(4):
    step()
answer = seen
""") == 2 * [[False, False], [True, False]]


def test_a_gradient_is_transposed(evaluated: Evaluated) -> None:
    assert evaluated("""
from problem import Problem
params = Problem([(16, 16)] * 3, odd="transposed").parameters()
answer = [[p.is_contiguous(), p.grad.is_contiguous(), p.grad.stride()] for p in params]
""") == [[True, False, [1, 16]], *2 * [[True, True, [16, 1]]]]


def test_parameters_and_gradients_are_sharded(evaluated: Evaluated) -> None:
    assert evaluated("""
from problem import Problem
params = Problem([(4,)] * 2, odd="sharded").parameters()
answer = [[type(t).__name__, str(t.placements[0])] for p in params for t in (p.data, p.grad)]
""") == 4 * [["DTensor", "S(0)"]]


def test_the_limit_streams_each_element_once(evaluated: Evaluated) -> None:
    once = 3 * [[[1.0], [1.0], [3.0], [4.0]]]
    assert evaluated("""
import torch
from limit import limit
answer = []
for threads in (1, 2):
    torch.set_num_threads(threads)
    rows = [[torch.full((n,), float(i)) for i in range(4)] for n in (1, 0, 70_000, 1_500_000)]
    limit(rows, "float32")()
    answer.append([[t.unique().tolist() for t in row] for row in rows if row[0].numel()])
""") == [once, once]


def test_busy_processes_end(evaluated: Evaluated) -> None:
    assert evaluated("""
import os
from busy import busy
answer = []
try:
    with busy(2):
        answer.append(os.waitpid(-1, os.WNOHANG))
        raise KeyboardInterrupt
except KeyboardInterrupt:
    pass
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    answer.append("none")
""") == [[0, 0], "none"]


def test_a_turn_is_one_step_or_as_many_as_fill_it(evaluated: Evaluated) -> None:
    single, several = evaluated("""
from turns import WARM, timed
answer = []
for turn in (0, 0.01):
    count = [0]
    def step():
        count[0] += 1
    timed("", {"ours": lambda: step}, builds=1, rounds=2, tick=lambda: None, turn=turn)
    answer.append(count[0] - WARM)
""")
    assert single == 2
    assert several > 4


def test_doctests_pass(evaluated: Evaluated) -> None:
    assert evaluated("""
import doctest, importlib
modules = [importlib.import_module(name) for name in ("cases", "goals", "shapes", "turns")]
results = [doctest.testmod(module) for module in modules]
answer = [[result.failed, result.attempted > 0] for result in results]
""") == 4 * [[0, True]]
