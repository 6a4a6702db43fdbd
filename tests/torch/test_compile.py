"""`torch.compile` sees one graph in a step, and compiles it once."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch.nn import Parameter

from adamax_core import Hyperparameters
from adamax_torch import Adamax
from adamax_torch.slices import SMALL

# torch's own, where the compiler imports what it needs.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

Snapshot = Callable[..., list[Any]]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"foreach": True},
    {"foreach": False},
    {"weight_decay": 0.1, "maximize": True, "foreach": True},
    {"weight_decay": 0.1, "decoupled_weight_decay": True},
    {"capturable": True},
    {"state_dtype": torch.float64, "foreach": True},
]


def parameters(dtype: torch.dtype = torch.float32) -> list[Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [
        Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in ((3,), (2, 2))
    ]


def gradients(params: list[Parameter], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for param in params:
        param.grad = torch.randn(param.shape, generator=generator).to(param.dtype)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_one_graph_without_breaks_and_without_recompiling(
    options: dict[str, Any], dtype: torch.dtype, snapshot: Snapshot
) -> None:
    """Also where the learning rate, in a tensor, changes between the steps."""
    torch.compiler.reset()
    one, two = parameters(dtype), parameters(dtype)
    # The count is a tensor in a graph, as it is in a capturable optimizer.
    eager = Adamax(one, torch.tensor(0.5), **options | {"capturable": True})
    graph = Adamax(two, torch.tensor(0.5), **options)
    step = torch.compile(graph.step, fullgraph=True, backend="eager")
    for seed in range(1, 5):
        for params in (one, two):
            gradients(params, seed)
        for optimizer in (eager, graph):
            optimizer.param_groups[0]["lr"].fill_(1 / seed)
        eager.step()
        with torch._dynamo.config.patch(error_on_recompile=seed > 1):
            step()
        assert snapshot(eager) == snapshot(graph)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.complex128], ids=str)
@pytest.mark.parametrize("state_dtype", [None, torch.float64], ids=str)
def test_tensors_of_no_dimension_are_no_constants(
    backend: str,
    foreach: bool,
    dtype: torch.dtype,
    state_dtype: torch.dtype | None,
    snapshot: Snapshot,
) -> None:
    """The compiler takes one of float64 on a processor for a number that nothing changes."""
    torch.compiler.reset()
    one, two = (Parameter(torch.tensor(1.0, dtype=dtype)) for _ in range(2))
    options: dict[str, Any] = {"lr": 0.1, "foreach": foreach, "state_dtype": state_dtype}
    eager, graph = Adamax([one], capturable=True, **options), Adamax([two], **options)
    step = torch.compile(graph.step, fullgraph=True, backend=backend)
    for value in (0.5, -2.0, 1.0):
        for param in (one, two):
            param.grad = torch.full_like(param, value)
        eager.step()
        step()
        assert snapshot(eager) == snapshot(graph)


@pytest.mark.parametrize("foreach", [False, True])
def test_large_tensors_of_half_precision_are_one_graph(foreach: bool) -> None:
    """Which takes them whole, and gives the same bits."""
    torch.compiler.reset()
    one, two = (Parameter(torch.ones(5 * SMALL, dtype=torch.float16)) for _ in range(2))
    eager, graph = (Adamax([p], foreach=foreach, capturable=True) for p in (one, two))
    step = torch.compile(graph.step, fullgraph=True, backend="eager")
    for _ in range(2):
        for param in (one, two):
            param.grad = torch.arange(5 * SMALL).remainder(7).half()
        eager.step()
        step()
    assert torch.equal(one, two)


def test_a_number_that_changes_is_seen() -> None:
    """A learning rate that is no tensor is a constant of the graph, and compiled anew."""
    torch.compiler.reset()
    param = Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = Adamax([param], lr=1.0, betas=(0.0, 0.0), eps=0.0)
    step = torch.compile(optimizer.step, backend="eager")
    for lr, where in ((1.0, -1.0), (0.5, -1.5)):
        optimizer.param_groups[0]["lr"] = lr
        param.grad = torch.ones_like(param)
        step()
        assert param.item() == where


@pytest.mark.slow
@pytest.mark.parametrize(
    ("foreach", "dtype"),
    [(False, torch.float32), (True, torch.float32), (True, torch.float16)],
    ids=str,
)
def test_what_the_compiler_makes_of_it_stays_within_the_bound(
    foreach: bool,
    dtype: torch.dtype,
    followed: Callable[..., Any],
    follow: Callable[..., Any],
    assert_within: Callable[..., None],
) -> None:
    """Inductor fuses and contracts; every element stays as near as its roundings allow."""
    torch.compiler.reset()
    param = parameters(dtype)[0]
    hp = Hyperparameters(lr=0.5, weight_decay=0.25)
    optimizer = Adamax([param], lr=0.5, weight_decay=0.25, foreach=foreach)
    step = torch.compile(optimizer.step, fullgraph=True)
    w = Fraction(torch.finfo(dtype).eps) / 2
    exact = [followed(Fraction(x), Fraction(0), Fraction(0), 0) for x in param.tolist()]
    for seed in range(1, 5):
        gradients([param], seed)
        assert param.grad is not None
        exact = [follow(at, g, hp, w) for at, g in zip(exact, param.grad.tolist(), strict=True)]
        step()
        slot = optimizer.state[param]
        values = {"param": param, "exp_avg": slot["exp_avg"], "exp_inf": slot["exp_inf"]}
        for name, tensor in values.items():
            right = [getattr(at, name) for at in exact]
            assert_within(tensor.tolist(), right, [getattr(at, "d_" + name) for at in exact])
