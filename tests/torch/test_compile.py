"""`torch.compile` sees one graph in a step, and compiles it once."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn import Parameter
from torch.optim import lr_scheduler

from adamax_core import Hyperparameters
from adamax_torch import Adamax
from adamax_torch.slices import SMALL
from exact import Followed, assert_within, follow
from marks import first_fast
from torch_steps import snapshot

# torch's own, where the compiler imports what it needs.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

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
@pytest.mark.parametrize("dtype", first_fast([torch.float32, torch.bfloat16]), ids=str)
def test_one_graph_without_breaks_and_without_recompiling(
    options: dict[str, Any], dtype: torch.dtype
) -> None:
    """Also if the learning rate is a tensor that changes between steps."""
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


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.complex128], ids=str)
@pytest.mark.parametrize("state_dtype", [None, torch.float64], ids=str)
def test_zero_dimensional_tensors_are_not_constants(
    backend: str, foreach: bool, dtype: torch.dtype, state_dtype: torch.dtype | None
) -> None:
    """The compiler treats a zero-dimensional float64 CPU tensor as a constant."""
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


@pytest.mark.slow
@pytest.mark.parametrize("foreach", [False, True])
def test_large_tensors_of_half_precision_are_one_graph(foreach: bool) -> None:
    """The compiled step does not slice tensors, and gives the same bits."""
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


def compilations(
    cls: Any, prepare: Callable[[Any], Callable[[int], None]], *, fullgraph: bool
) -> int:
    """Count the graphs of six steps, with a change before each."""
    torch.compiler.reset()
    counter: Any = CompileCounterWithBackend("eager")
    params = parameters()
    optimizer = cls(params, lr=0.1, weight_decay=0.1)
    # Before a schedule puts a function of its own in the place of `step`, which is not traced.
    step: Any = torch.compile(optimizer.step, fullgraph=fullgraph, backend=counter)
    change = prepare(optimizer)
    for seed in range(6):
        gradients(params, seed)
        change(seed)
        step()
    return int(counter.frame_count)


def set_in_turn(name: str, *, tensor: bool) -> Callable[[Any], Callable[[int], None]]:
    def prepare(optimizer: Any) -> Callable[[int], None]:
        def change(seed: int) -> None:
            values: list[Any] = [0.5 / (1 + seed), 0.75 / (1 + seed)]
            if tensor:
                values = [torch.tensor(value) for value in values]
            optimizer.param_groups[0][name] = tuple(values) if name == "betas" else values[0]

        return change

    return prepare


@pytest.mark.slow
@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("name", ["lr", "betas", "eps", "weight_decay"])
def test_six_values_are_compiled_no_more_often_than_in_stock(name: str, tensor: bool) -> None:
    """Our step is one graph without a break; stock breaks."""
    change = set_in_turn(name, tensor=tensor)
    ours = compilations(Adamax, change, fullgraph=True)
    assert ours <= compilations(torch.optim.Adamax, change, fullgraph=False)
    assert ours == (1 if tensor else 2)


def every_cosine(optimizer: Any) -> Any:
    return lr_scheduler.CosineAnnealingLR(optimizer, 10)


def every_exponential(optimizer: Any) -> Any:
    return lr_scheduler.ExponentialLR(optimizer, 0.75)


def every_cycle(optimizer: Any) -> Any:
    """Changes beta1 too."""
    return lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=10)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")  # as above
@pytest.mark.parametrize("make", [every_cosine, every_exponential, every_cycle])
def test_a_schedule_is_compiled_no_more_often_than_in_stock(make: Callable[[Any], Any]) -> None:
    def prepare(optimizer: Any) -> Callable[[int], None]:
        schedule = make(optimizer)
        return lambda seed: schedule.step() if seed else None

    ours = compilations(Adamax, prepare, fullgraph=True)
    assert ours <= compilations(torch.optim.Adamax, prepare, fullgraph=False)


@pytest.mark.parametrize("name", ["lr", "betas", "eps", "weight_decay"])
def test_numbers_that_change_have_the_bits_of_an_eager_step(name: str) -> None:
    torch.compiler.reset()
    one, two = parameters(), parameters()
    eager, graph = Adamax(one, weight_decay=0.1, capturable=True), Adamax(two, weight_decay=0.1)
    step = torch.compile(graph.step, fullgraph=True, backend="eager")
    for seed in range(4):
        for params, optimizer in ((one, eager), (two, graph)):
            gradients(params, seed)
            set_in_turn(name, tensor=False)(optimizer)(seed)
        eager.step()
        step()
        assert snapshot(eager) == snapshot(graph)


def test_a_number_outside_its_domain_raises_in_a_graph_too() -> None:
    torch.compiler.reset()
    params = parameters()
    optimizer = Adamax(params, 0.1)
    step = torch.compile(optimizer.step, backend="eager")
    for seed, lr in enumerate((0.1, 0.2, -0.3)):
        gradients(params, seed)
        optimizer.param_groups[0]["lr"] = lr
        if lr > 0:
            step()
            continue
        before = [param.tolist() for param in params]
        with pytest.raises(Exception, match=r"lr = .* is outside its domain 0 <= lr < inf"):
            step()
        assert [param.tolist() for param in params] == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("foreach", "dtype"),
    [(False, torch.float32), (True, torch.float32), (True, torch.float16)],
    ids=str,
)
def test_a_compiled_step_stays_within_the_bound(foreach: bool, dtype: torch.dtype) -> None:
    """Inductor fuses and contracts; every element stays within its rounding bound."""
    torch.compiler.reset()
    param = parameters(dtype)[0]
    hp = Hyperparameters(lr=0.5, weight_decay=0.25)
    optimizer = Adamax([param], lr=0.5, weight_decay=0.25, foreach=foreach)
    step = torch.compile(optimizer.step, fullgraph=True)
    w = Fraction(torch.finfo(dtype).eps) / 2
    exact = [Followed(Fraction(x), Fraction(0), Fraction(0), 0) for x in param.tolist()]
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
