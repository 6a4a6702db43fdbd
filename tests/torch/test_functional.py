"""`adamax_torch.functional`: pure, the bits of the optimizer, and at home in ``torch.func``."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import optree
import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, jacfwd, jvp, vjp, vmap

import adamax_core
from adamax_torch import Adamax, functional
from adamax_torch.functional import Hyperparameters, State

MakeParameters = Callable[..., list[torch.nn.Parameter]]
Bits = Callable[[Tensor], bytes]

DTYPES = [
    torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64, torch.complex128,
]  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {},
    {"lr": 0.5, "betas": (0.0, 0.25), "eps": 0.0},
    {"weight_decay": 0.1, "maximize": True},
    {"weight_decay": 0.1, "decoupled_weight_decay": True},
]


def leaves(*trees: Any) -> list[Tensor]:
    return [leaf for tree in trees for leaf in optree.tree_leaves(tree)]


def random_tree(seed: int, *batch: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn((*batch, *shape), generator=generator, dtype=torch.float64)
        for name, shape in {"w": (3, 2), "b": ()}.items()
    }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("state_dtype", [None, torch.float32], ids=str)
def test_steps_have_the_bits_of_the_optimizer(
    dtype: torch.dtype,
    options: dict[str, Any],
    state_dtype: torch.dtype | None,
    make_parameters: MakeParameters,
    set_gradients: Callable[..., None],
    bits: Bits,
) -> None:
    tensors = make_parameters(dtype)
    # Capturable: it too has its count in a tensor, and powers of a tensor round otherwise.
    optimizer = Adamax(tensors, state_dtype=state_dtype, capturable=True, **options)
    params: Any = [tensor.detach().clone() for tensor in tensors]
    state = functional.init(params, state_dtype)
    for seed in range(1, 5):
        set_gradients(tensors, seed)
        grads = [tensor.grad for tensor in tensors]
        optimizer.step()
        params, state = functional.step(params, grads, state, Hyperparameters(**options))
        for index, tensor in enumerate(tensors):
            slot = optimizer.state.get(tensor) or {"step": torch.zeros((), dtype=torch.float64)}
            assert bits(params[index]) == bits(tensor)
            for name, value in slot.items():
                assert bits(getattr(state, name)[index]) == bits(value)


def test_nothing_that_is_given_is_changed(bits: Bits) -> None:
    params, grads = random_tree(0), random_tree(1)
    state = functional.init(params)
    before = [bits(leaf) for leaf in leaves(params, grads, state)]
    functional.step(params, grads, state, Hyperparameters(weight_decay=0.1))
    functional.update(grads, state, params, Hyperparameters(maximize=True))
    assert [bits(leaf) for leaf in leaves(params, grads, state)] == before


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_an_update_is_what_a_step_adds(dtype: torch.dtype, bits: Bits) -> None:
    params = {"w": torch.tensor([1.0, -2.0], dtype=dtype), "b": torch.tensor(3.0, dtype=dtype)}
    grads = {"w": torch.tensor([0.5, 1.0], dtype=dtype), "b": None}
    hp = Hyperparameters(lr=0.25, weight_decay=0.125, decoupled_weight_decay=True)
    updates, after = functional.update(grads, functional.init(params), params, hp)
    stepped, state = functional.step(params, grads, functional.init(params), hp)
    assert {update.dtype for update in updates.values()} == {dtype}
    assert bits(updates["b"]) == bits(torch.zeros((), dtype=dtype))
    assert [bits(leaf) for leaf in leaves(after)] == [bits(leaf) for leaf in leaves(state)]
    # In these numbers the update is exact in either dtype, and so is the sum.
    assert [bits(params[k] + updates[k]) for k in params] == [bits(stepped[k]) for k in params]


def test_a_single_tensor_and_an_empty_tree_are_trees() -> None:
    param, state = functional.step(
        torch.ones(2), torch.ones(2), functional.init(torch.ones(2)), Hyperparameters(lr=0.5, eps=0)
    )
    assert (param.tolist(), state.step.item()) == ([0.5, 0.5], 1)
    assert functional.step({}, {}, functional.init({}), Hyperparameters()) == (
        {},
        State({}, {}, {}),
    )


def test_hyperparameters_of_the_core_are_taken() -> None:
    param = torch.ones(1)
    after, _ = functional.step(
        param, param, functional.init(param), adamax_core.Hyperparameters(lr=0.5, eps=0.0)
    )
    assert after.item() == 0.5


# Under torch.func


def test_vmap_gives_the_bits_of_one_model_after_the_other(bits: Bits) -> None:
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
    transform: Callable[..., Any],
    name: str,
    decoupled: bool,
    three_steps: dict[str, float],
    derivative: Callable[[str, bool], tuple[Fraction, Fraction]],
    assert_within: Callable[..., None],
) -> None:
    at = {key: torch.tensor(x, dtype=torch.float64) for key, x in three_steps.items()}

    def final(value: Tensor) -> Any:
        return after_three_steps(at | {name: value}, decoupled=decoupled)

    exact, bound = derivative(name, decoupled)
    assert_within([transform(final, at[name]).item()], [exact], [bound])


def test_a_module_trains_through_functional_call_and_autograd_reaches_the_start(
    bits: Bits,
) -> None:
    """Module parameters, which the optimizer's own differentiable mode has to refuse."""
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


def test_one_graph_is_compiled_for_all_steps_and_learning_rates(bits: Bits) -> None:
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
def test_hyperparameters_that_are_made_in_a_graph_do_not_break_it(tensor: bool, bits: Bits) -> None:
    """Their domains are checked there where they are numbers, and a tensor is not read."""

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


def test_meta_and_fake_tensors_step() -> None:
    params = {"w": torch.ones(2, 3, device="meta")}
    after, state = functional.step(params, params, functional.init(params), Hyperparameters())
    assert {leaf.device.type for leaf in leaves(after, state)} == {"meta"}
    with torch._subclasses.FakeTensorMode():
        params = {"w": torch.ones(2, 3)}
        lr = torch.ones(())
        after, state = functional.step(params, params, functional.init(params), Hyperparameters(lr))
        assert after["w"].shape == (2, 3)


# Errors

ONES = {"w": torch.ones(2)}
COUNT = torch.zeros((), dtype=torch.float64)


def taken(**changes: Any) -> Any:
    given = {"params": ONES, "grads": ONES, "state": functional.init(ONES)} | changes
    return functional.step(
        given["params"],
        given["grads"],
        given["state"],
        given.get("hp", Hyperparameters()),
    )


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"state": None},
            TypeError,
            r"^state is NoneType, not State: call step\(params, grads, state, hyperparameters\)$",
        ),
        (
            {"params": {"w": 1.0}},
            TypeError,
            r"^params\['w'\]: only tensors can take steps, not float",
        ),
        (
            {"state": State({"w": torch.zeros(1)}, ONES, ONES)},
            TypeError,
            r"^the state of params\['w'\] has step = tensor\(\[0\.\]\), not a torch.float64 te",
        ),
        (
            {"state": State({"w": torch.zeros(1, dtype=torch.float64)}, ONES, ONES)},
            ValueError,
            r"^the state of params\['w'\] has step of shape \(1,\), not \(\): use the state that",
        ),
        ({"hp": 0.5}, TypeError, "^hyperparameters is float, not Hyperparameters: call step"),
        ({"grads": {}}, ValueError, "^grads does not have the structure of params: "),
        (
            {"state": State({"w": COUNT}, {"w": torch.zeros(3)}, ONES)},
            ValueError,
            r"^the state of params\['w'\] has exp_avg of shape \(3,\), the parameter has .*\(2,\)$",
        ),
        (
            {"grads": {"w": torch.ones(3)}},
            ValueError,
            r"^params\['w'\]: the gradient has shape \(3,\), the parameter \(2,\)$",
        ),
        (
            {"grads": {"w": torch.ones(2, dtype=torch.int32)}},
            TypeError,
            r"^params\['w'\]: the gradient has dtype torch.int32, the parameter torch.float32$",
        ),
        (
            {"grads": {"w": torch.ones(2).to_sparse()}},
            TypeError,
            r"^Adamax does not support sparse gradients \(params\['w'\]\)$",
        ),
        (
            {"grads": {"w": [1.0, 1.0]}},
            TypeError,
            r"^params\['w'\]: the gradient is list, not a tensor$",
        ),
    ],
    ids=[
        "state", "leaf", "count", "shape of a count", "hyperparameters", "structure", "moment",
        "shape", "kind", "sparse", "list",
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        taken(**changes)


def test_init_refuses_what_can_take_no_steps() -> None:
    with pytest.raises(TypeError, match=r"^params\['n'\]: only floating-point and complex"):
        functional.init({"n": torch.ones(1, dtype=torch.int64)})
    with pytest.raises(TypeError, match=r"^state_dtype = torch\.int8 is not a real"):
        functional.init(ONES, torch.int8)
