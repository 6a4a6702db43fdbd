"""`adamax_torch.functional` under ``torch.func`` and ``torch.compile``."""

from collections.abc import Callable
from typing import Any

import optree
import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, jacfwd, jvp, vjp, vmap

from adamax_torch import Adamax, functional
from adamax_torch.functional import Hyperparameters, State
from exact import THREE_STEPS, assert_within, derivative
from torch_steps import bits
from torch_trees import leaves, random_tree


def test_vmap_gives_the_bits_of_one_model_after_the_other() -> None:
    """Sixteen models, each with its own weights, gradients, learning rate and decay."""
    params = random_tree(0, 16)
    lrs, decays = torch.logspace(-3, 0, 16).double(), torch.linspace(0, 0.5, 16).double()
    state = vmap(functional.init)(params)
    one: Any = params
    alone: Any = state

    def step(params: Any, grads: Any, state: State, lr: Any, decay: Any) -> Any:
        hp = Hyperparameters(lr, weight_decay=decay)
        return functional.step(params, grads, state, hp)

    for seed in range(1, 4):
        grads = random_tree(seed, 16)
        params, state = vmap(step)(params, grads, state, lrs, decays)
        each = [
            step(pick(one, i), pick(grads, i), pick(alone, i), lrs[i], decays[i]) for i in range(16)
        ]
        one, alone = optree.tree_map(lambda *x: torch.stack(x), *each)
    assert [bits(leaf) for leaf in leaves(params, state)] == [
        bits(leaf) for leaf in leaves(one, alone)
    ]


def test_vmapped_hyperparameters_promote_nothing() -> None:
    params = {"w": torch.ones(4, 3), "b": torch.ones(4)}
    lrs = torch.logspace(-3, 0, 4).double()

    def step(params: Any, lr: Tensor) -> Any:
        hp = Hyperparameters(lr, (lr / 2, lr / 3), lr / 4, lr / 5)
        return functional.step(params, params, functional.init(params), hp)

    after, state = vmap(step)(params, lrs)
    assert {leaf.dtype for leaf in leaves(after, state.exp_avg, state.exp_inf)} == {torch.float32}


def pick(tree: Any, index: int) -> Any:
    return optree.tree_map(lambda leaf: leaf[index], tree)


def after_three_steps(at: dict[str, Any], *, decoupled: bool) -> Any:
    hp = Hyperparameters(
        at["lr"],
        (at["b1"], at["b2"]),
        at["eps"],
        at["wd"],
        decoupled_weight_decay=decoupled,
    )
    param = at["p"]
    state = functional.init(param)
    for name in ("g1", "g2", "g3"):
        param, state = functional.step(param, at[name], state, hp)
    return param


def by_grad(function: Callable[[Tensor], Tensor], at: Tensor) -> Any:
    return grad(function)(at)


def by_jvp(function: Callable[[Tensor], Tensor], at: Tensor) -> Any:
    return jvp(function, (at,), (torch.ones_like(at),))[1]


def by_vjp(function: Callable[[Tensor], Tensor], at: Tensor) -> Any:
    return vjp(function, at)[1](torch.ones_like(at))[0]


def by_jacfwd(function: Callable[[Tensor], Tensor], at: Tensor) -> Any:
    return jacfwd(function)(at)


def by_vmapped_grad(function: Callable[[Tensor], Tensor], at: Tensor) -> Any:
    return vmap(grad(function))(at.expand(2))[1]


# torch's own, at the first forward derivative.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("transform", [by_grad, by_jvp, by_vjp, by_jacfwd, by_vmapped_grad])
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("name", ["p", "g1", "g2", "g3", "lr", "b1", "b2", "eps", "wd"])
def test_derivatives_of_three_steps(
    transform: Callable[..., Any], name: str, decoupled: bool
) -> None:
    at = {key: torch.tensor(x, dtype=torch.float64) for key, x in THREE_STEPS.items()}

    def final(value: Tensor) -> Any:
        return after_three_steps(at | {name: value}, decoupled=decoupled)

    exact, bound = derivative(name, decoupled)
    assert_within([transform(final, at[name]).item()], [exact], [bound])


def test_a_module_trains_through_functional_call_and_autograd_reaches_the_start() -> None:
    """Module parameters are leaves, for which `Adamax(differentiable=True)` raises."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = torch.nn.Linear(3, 2).double()
    inputs = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3)
    lr = torch.tensor(0.125, dtype=torch.float64, requires_grad=True)

    def loss(params: dict[str, Tensor]) -> Any:
        return (functional_call(module, params, (inputs,)) - 1).square().sum()

    start = dict(module.named_parameters())
    params: Any = start
    state = functional.init(params)
    for _ in range(4):
        grads = grad(loss)(params)
        params, state = functional.step(params, grads, state, Hyperparameters(lr))
    slopes = torch.autograd.grad(loss(params), [lr, *start.values()])
    assert all(slope.isfinite().all() and slope.count_nonzero() for slope in slopes)

    optimizer = Adamax(module.parameters(), lr=0.125, capturable=True)
    for _ in range(4):
        optimizer.zero_grad()
        loss(dict(module.named_parameters())).backward()
        optimizer.step()
    for name, param in module.named_parameters():
        assert bits(params[name]) == bits(param)


def test_one_graph_is_compiled_for_all_steps_and_learning_rates() -> None:
    torch.compiler.reset()
    compiled = torch.compile(functional.step, fullgraph=True, backend="eager")
    params = plain = {"w": torch.ones(3), "b": torch.ones(())}
    state = alone = functional.init(params)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for step in range(1, 4):
            grads = {"w": torch.full((3,), float(step)), "b": None}
            hp = Hyperparameters(lr=torch.tensor(0.5 / step))
            params, state = compiled(params, grads, state, hp)
            plain, alone = functional.step(plain, grads, alone, hp)
    assert [bits(leaf) for leaf in leaves(params, state)] == [
        bits(leaf) for leaf in leaves(plain, alone)
    ]


@pytest.mark.parametrize("tensor", [False, True])
def test_hyperparameters_that_are_made_in_a_graph_do_not_break_it(tensor: bool) -> None:
    """In a graph, numbers are validated, and tensors are not read."""

    def advance(params: Any, state: State, numbers: list[Any]) -> Any:
        lr, beta1, beta2, eps, decay = numbers
        hp = Hyperparameters(lr, (beta1, beta2), eps, decay)
        return functional.step(params, params, state, hp)

    torch.compiler.reset()
    compiled = torch.compile(advance, fullgraph=True, backend="eager")
    params = {"w": torch.ones(3), "b": torch.ones(())}
    state = functional.init(params)
    for step in range(1, 5):
        numbers: list[Any] = [each / step for each in (0.5, 0.9, 0.75, 0.125, 0.25)]
        if tensor:
            numbers = [torch.tensor(each, dtype=torch.float64) for each in numbers]
        with torch._dynamo.config.patch(error_on_recompile=step > 2):
            graph = compiled(params, state, numbers)
        assert [bits(leaf) for leaf in leaves(graph)] == [
            bits(leaf) for leaf in leaves(advance(params, state, numbers))
        ]
