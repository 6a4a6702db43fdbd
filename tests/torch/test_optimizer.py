"""`Adamax` as a torch optimizer: drop-in, groups, closures, complex numbers, state."""

from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from adamax_core import Hyperparameters
from adamax_torch import Adamax
from exact import Followed, assert_within, follow
from torch_steps import W, bits, make_parameters, parameter, set_gradients, snapshot, stepped


def small_net(seed: int) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = (torch.nn.Linear(3, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
        return torch.nn.Sequential(*layers).double()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 0.1, "betas": (0.5, 0.75), "eps": 1e-3},
        {"weight_decay": 0.01},
        {"maximize": True, "betas": (0.0, 0.9)},
        {"foreach": True},
    ],
    ids=str,
)
def test_a_module_trains_as_with_torch(options: dict[str, Any]) -> None:
    """Both stay within their rounding bounds of the exact trajectory."""
    ours, theirs = small_net(seed=0), small_net(seed=0)
    optimizers: tuple[Any, Any] = (
        Adamax(ours.parameters(), **options),
        torch.optim.Adamax(theirs.parameters(), **options),
    )
    hp = Hyperparameters(**{k: v for k, v in options.items() if k != "foreach"})
    inputs = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3)
    start = torch.nn.utils.parameters_to_vector(ours.parameters()).tolist()
    exact = [Followed(Fraction(x), Fraction(0), Fraction(0), 0) for x in start]
    for _ in range(5):
        ours.zero_grad()
        (ours(inputs) - 1).square().sum().backward()
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert p.grad is not None
            q.grad = p.grad.clone()
        grads = torch.cat([p.grad.reshape(-1) for p in ours.parameters() if p.grad is not None])
        for optimizer in optimizers:
            optimizer.step()
        exact = [follow(at, g, hp, W) for at, g in zip(exact, grads.tolist(), strict=True)]
        for module, optimizer in zip((ours, theirs), optimizers, strict=True):
            params = list(module.parameters())
            for name in ("param", "exp_avg", "exp_inf"):
                tensors = params if name == "param" else [optimizer.state[p][name] for p in params]
                values = torch.nn.utils.parameters_to_vector(tensors).tolist()
                right = [getattr(at, name) for at in exact]
                assert_within(values, right, [getattr(at, "d_" + name) for at in exact])


@pytest.mark.parametrize("foreach", [False, True])
def test_groups_have_hyperparameters_of_their_own(foreach: bool) -> None:
    options: list[dict[str, Any]] = [
        {"lr": 0.1},
        {"betas": (0.5, 0.75), "weight_decay": 0.1, "maximize": True},
        {"weight_decay": 0.1, "decoupled_weight_decay": True, "eps": 1e-3},
    ]
    together = [make_parameters(seed=seed) for seed in range(3)]
    apart = [make_parameters(seed=seed) for seed in range(3)]
    groups = [{"params": params, **each} for params, each in zip(together, options, strict=True)]
    optimizer = Adamax(groups[:2], foreach=foreach)
    optimizer.add_param_group(groups[2])
    singles = [
        Adamax(params, **each, foreach=foreach) for params, each in zip(apart, options, strict=True)
    ]
    for seed in range(1, 4):
        for params in together + apart:
            set_gradients(params, seed)
        for each in (optimizer, *singles):
            each.step()
    assert snapshot(optimizer) == snapshot(*singles)


@pytest.mark.parametrize(
    ("foreach", "shape"),
    [
        (False, ()),
        (False, (1,)),
        (True, ()),
        (True, (1,)),
    ],
)
def test_hyperparameters_may_be_tensors(foreach: bool, shape: tuple[int, ...]) -> None:
    values: dict[str, Any] = {"lr": 0.125, "eps": 0.25, "weight_decay": 0.0625}
    numbers = Adamax([parameter(1, -2)], betas=(0.75, 0.875), foreach=foreach, **values)
    wrapped: dict[str, Any] = {name: torch.full(shape, value) for name, value in values.items()}
    betas = (torch.full(shape, 0.75), torch.full(shape, 0.875))
    tensors = Adamax([parameter(1, -2)], betas=betas, foreach=foreach, **wrapped)
    for optimizer in (numbers, tensors):
        stepped(optimizer, [3.0, -4.0])
    assert snapshot(numbers) == snapshot(tensors)


def test_the_closure_is_called_with_gradients_on_and_its_loss_returned() -> None:
    param = parameter(3)
    optimizer = Adamax([param], lr=0.5, eps=0.0)

    def closure() -> float:
        optimizer.zero_grad()
        loss = param.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    assert optimizer.step(closure) == 9
    assert optimizer.step() is None
    assert param.item() < 3


def test_a_closure_may_return_its_loss_as_a_tensor() -> None:
    """The usual closure does; mypy checks this test and accepts it."""
    param = parameter(3)
    optimizer = Adamax([param], lr=0.5, eps=0.0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = param.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    loss: Tensor = optimizer.step(closure)
    assert loss.item() == 9


@pytest.mark.parametrize(("dtype", "parts"), [("complex64", "float32"), ("complex128", "float64")])
def test_complex_parameters_are_pairs_of_reals(dtype: str, parts: str) -> None:
    whole = parameter(1 + 2j, -3j, dtype=getattr(torch, dtype))
    pairs = Parameter(torch.view_as_real(whole.detach().clone()))
    one, two = Adamax([whole], weight_decay=0.1), Adamax([pairs], weight_decay=0.1)
    grad = torch.tensor([0.5 - 1j, 2], dtype=whole.dtype)
    for scale in (1, -0.5, 2):
        stepped(one, scale * grad)
        stepped(two, torch.view_as_real(scale * grad))
    assert pairs.dtype == getattr(torch, parts)
    assert bits(whole) == bits(pairs)
    for moment in ("exp_avg", "exp_inf"):
        assert one.state[whole][moment].dtype == whole.dtype
        assert bits(one.state[whole][moment]) == bits(two.state[pairs][moment])


@pytest.mark.parametrize("foreach", [False, True])
def test_a_conjugated_gradient_is_a_gradient(foreach: bool) -> None:
    grad = torch.tensor([1 + 2j, -1j], dtype=torch.complex128)
    resolved, lazy = (Adamax([parameter(1j, 2, dtype=grad.dtype)], foreach=foreach) for _ in "12")
    stepped(resolved, grad.conj().resolve_conj())
    stepped(lazy, grad.conj())
    assert snapshot(resolved) == snapshot(lazy)


def test_a_missing_gradient_leaves_parameter_and_state() -> None:
    optimizer = Adamax([parameter(1, 2)], weight_decay=0.1)
    before = snapshot(optimizer)
    stepped(optimizer, None)
    assert snapshot(optimizer) == before
    stepped(optimizer, [1, 1])
    before = snapshot(optimizer)
    stepped(optimizer, None)
    assert snapshot(optimizer) == before


def test_a_first_gradient_at_the_second_step_is_a_first_step() -> None:
    late, alone = Adamax([parameter(1)]), Adamax([parameter(1)])
    stepped(late, None, 2.0)
    stepped(alone, 2.0)
    assert snapshot(late) == snapshot(alone)


@pytest.mark.parametrize("capturable", [False, True])
def test_the_count_increases_beyond_float32(capturable: bool) -> None:
    optimizer = Adamax([parameter(1)], capturable=capturable)
    param = stepped(optimizer, 1.0)
    optimizer.state[param]["step"].fill_(2**24)
    stepped(optimizer, 1.0, 1.0, 1.0)
    assert optimizer.state[param]["step"] == 2**24 + 3


def test_state_moves_to_torch_and_back() -> None:
    params = make_parameters()
    ours, theirs, back = (Adamax(params), torch.optim.Adamax(params), Adamax(params))
    set_gradients(params, 2)
    ours.step()
    theirs.load_state_dict(ours.state_dict())
    back.load_state_dict(theirs.state_dict())
    assert snapshot(back) == snapshot(ours)
    theirs.step()
    back.load_state_dict(theirs.state_dict())
    assert {slot["step"].item() for slot in back.state.values()} == {2}
    assert {slot["step"].dtype for slot in back.state.values()} == {torch.float64}
    before = snapshot(back)
    back.step()
    assert snapshot(back) != before


def test_a_parameter_without_state_loads_without_state() -> None:
    params = [parameter(1), parameter(2)]
    source, target = Adamax(params), Adamax([parameter(1), parameter(2)])
    params[0].grad = torch.ones_like(params[0])
    source.step()
    target.load_state_dict(source.state_dict())
    assert [len(slot) for slot in target.state.values()] == [3]


def test_named_parameters_are_accepted() -> None:
    net = small_net(seed=0)
    optimizer = Adamax(net.named_parameters())
    assert optimizer.param_groups[0]["param_names"] == [name for name, _ in net.named_parameters()]
