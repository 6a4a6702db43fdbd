"""`Adamax` as a torch optimizer: drop-in, groups, state, saving, autograd."""

import copy
import pickle
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from adamax_core import Hyperparameters
from adamax_torch import Adamax

W = Fraction(1, 2**53)
MakeParameters = Callable[..., list[Parameter]]
SetGradients = Callable[[list[Parameter], int], None]
Snapshot = Callable[..., list[Any]]


def parameter(*values: complex, dtype: torch.dtype = torch.float64) -> Parameter:
    return Parameter(torch.tensor(values, dtype=dtype))


def stepped(optimizer: Adamax, *grads: Any) -> Parameter:
    """The one parameter of an optimizer, after a step for each of the gradients."""
    (param,) = optimizer.param_groups[0]["params"]
    for grad in grads:
        given = None if grad is None else torch.as_tensor(grad, dtype=param.dtype)
        param.grad = None if given is None else given.expand_as(param)
        optimizer.step()
    return param  # type: ignore[no-any-return]


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
def test_a_module_trains_as_with_torch(
    options: dict[str, Any],
    followed: Callable[..., Any],
    follow: Callable[..., Any],
    assert_within: Callable[..., None],
) -> None:
    """Both stay as near the exact trajectory of the gradients as their roundings allow."""
    ours, theirs = small_net(seed=0), small_net(seed=0)
    optimizers: tuple[Any, Any] = (
        Adamax(ours.parameters(), **options),
        torch.optim.Adamax(theirs.parameters(), **options),
    )
    hp = Hyperparameters(**{k: v for k, v in options.items() if k != "foreach"})
    inputs = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3)
    start = torch.nn.utils.parameters_to_vector(ours.parameters()).tolist()
    exact = [followed(Fraction(x), Fraction(0), Fraction(0), 0) for x in start]
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
def test_groups_have_hyperparameters_of_their_own(
    foreach: bool, make_parameters: MakeParameters, set_gradients: SetGradients, snapshot: Snapshot
) -> None:
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
def test_hyperparameters_may_be_tensors(
    foreach: bool, shape: tuple[int, ...], snapshot: Snapshot
) -> None:
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
    """The usual one does, and mypy, which reads this, accepts it."""
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
def test_complex_parameters_are_pairs_of_reals(
    dtype: str, parts: str, bits: Callable[[Tensor], bytes]
) -> None:
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
def test_a_conjugated_gradient_is_a_gradient(foreach: bool, snapshot: Snapshot) -> None:
    grad = torch.tensor([1 + 2j, -1j], dtype=torch.complex128)
    resolved, lazy = (Adamax([parameter(1j, 2, dtype=grad.dtype)], foreach=foreach) for _ in "12")
    stepped(resolved, grad.conj().resolve_conj())
    stepped(lazy, grad.conj())
    assert snapshot(resolved) == snapshot(lazy)


def test_a_missing_gradient_leaves_parameter_and_state(snapshot: Snapshot) -> None:
    optimizer = Adamax([parameter(1, 2)], weight_decay=0.1)
    before = snapshot(optimizer)
    stepped(optimizer, None)
    assert snapshot(optimizer) == before
    stepped(optimizer, [1, 1])
    before = snapshot(optimizer)
    stepped(optimizer, None)
    assert snapshot(optimizer) == before


def test_a_first_gradient_at_the_second_step_is_a_first_step(snapshot: Snapshot) -> None:
    late, alone = Adamax([parameter(1)]), Adamax([parameter(1)])
    stepped(late, None, 2.0)
    stepped(alone, 2.0)
    assert snapshot(late) == snapshot(alone)


@pytest.mark.parametrize("capturable", [False, True])
def test_the_count_goes_on_beyond_float32(capturable: bool) -> None:
    optimizer = Adamax([parameter(1)], capturable=capturable)
    param = stepped(optimizer, 1.0)
    optimizer.state[param]["step"].fill_(2**24)
    stepped(optimizer, 1.0, 1.0, 1.0)
    assert optimizer.state[param]["step"] == 2**24 + 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_the_float32_step_rounded_once(
    dtype: torch.dtype, bits: Callable[[Tensor], bytes]
) -> None:
    grad = torch.tensor([0.3, -1.7, 0.0, 2.5], dtype=dtype)
    half, single = parameter(1, 2, 0, -3, dtype=dtype), parameter(1, 2, 0, -3, dtype=torch.float32)
    optimizers = [Adamax([param], weight_decay=0.1, lr=0.1) for param in (half, single)]
    for optimizer in optimizers:
        stepped(optimizer, grad)
    assert bits(half) == bits(single.to(dtype))
    for moment in ("exp_avg", "exp_inf"):
        stored, unrounded = (
            o.state[p][moment] for o, p in zip(optimizers, (half, single), strict=True)
        )
        assert stored.dtype == dtype
        assert bits(stored) == bits(unrounded.to(dtype))


@pytest.mark.parametrize("foreach", [False, True])
def test_a_zero_first_gradient_in_float16_moves_nothing(foreach: bool) -> None:
    param = stepped(Adamax([parameter(1, dtype=torch.float16)], foreach=foreach), 0.0)
    assert param.item() == 1


@pytest.mark.parametrize(
    ("dtype", "state_dtype", "expected"),
    [
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float32, torch.float64, torch.float64),
        (torch.complex64, torch.float64, torch.complex128),
        (torch.float16, None, torch.float16),
        (torch.bfloat16, "float32", torch.float32),
        (torch.complex64, "float64", torch.complex128),
    ],
)
@pytest.mark.parametrize("via", ["state_dict", "pickle", "deepcopy"])
def test_the_state_dtype_survives_saving(
    dtype: torch.dtype,
    state_dtype: torch.dtype | str | None,
    expected: torch.dtype,
    via: str,
    snapshot: Snapshot,
) -> None:
    optimizer = Adamax([parameter(1, -2, dtype=dtype)], state_dtype=state_dtype)
    param = stepped(optimizer, [0.3, 1], [1, 0.7])
    if via == "state_dict":
        again = Adamax([Parameter(param.detach().clone())])
        again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    else:
        again = copy.deepcopy(optimizer)
        if via == "pickle":
            again = pickle.loads(pickle.dumps(optimizer))  # noqa: S301 - our own bytes
    assert snapshot(again) == snapshot(optimizer)
    (other,) = again.param_groups[0]["params"]
    assert other is not param
    for moment in ("exp_avg", "exp_inf"):
        assert again.state[other][moment].dtype == expected
    assert again.state[other]["step"].dtype == torch.float64
    for each in (optimizer, again):
        stepped(each, [-1, 2])
    assert snapshot(again) == snapshot(optimizer)


def test_a_float32_state_lets_the_norm_of_bfloat16_decay() -> None:
    """After 0.999^256 = 0.774; in bfloat16 0.999 u rounds back to u."""
    norms = {}
    for dtype in (torch.bfloat16, torch.float32):
        optimizer = Adamax([parameter(0, dtype=torch.bfloat16)], state_dtype=dtype)
        param = stepped(optimizer, 1.0, *[0.0] * 256)
        norms[dtype] = optimizer.state[param]["exp_inf"].item()
    assert norms[torch.bfloat16] == 1
    assert 0.774 < norms[torch.float32] < 0.775


def test_state_goes_to_torch_and_back(
    make_parameters: MakeParameters, set_gradients: SetGradients, snapshot: Snapshot
) -> None:
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


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("tensor_lr", [False, True])
def test_capturable_stays_within_the_bound_of_the_exact_trajectory(
    foreach: bool,
    tensor_lr: bool,
    followed: Callable[..., Any],
    follow: Callable[..., Any],
    assert_within: Callable[..., None],
) -> None:
    lr = torch.tensor(0.25, dtype=torch.float64) if tensor_lr else 0.25
    hp = Hyperparameters(0.25, weight_decay=0.1)
    starts = [1.0, -2.0, 0.0]
    plain = Adamax([parameter(*starts)], lr=0.25, weight_decay=0.1)
    capturable = Adamax(
        [parameter(*starts)], lr=lr, weight_decay=0.1, capturable=True, foreach=foreach
    )
    exact = [followed(Fraction(x), Fraction(0), Fraction(0), 0) for x in starts]
    for grads in ([0.5, -1.0, 2.0], [1.5, 0.0, -3.0], [0.25, 1.0, 0.125]):
        exact = [follow(at, g, hp, W) for at, g in zip(exact, grads, strict=True)]
        for optimizer in (plain, capturable):
            values = stepped(optimizer, grads).tolist()
            assert_within(values, [at.param for at in exact], [at.d_param for at in exact])


@pytest.mark.parametrize("foreach", [False, True])
def test_capturable_in_float16_does_not_overflow_on_the_way(foreach: bool) -> None:
    """u = 1000 and lr = 1e-3: ``u c / lr`` is 1e5 where float16 ends at 65504."""
    optimizer = Adamax(
        [parameter(0, dtype=torch.float16)], lr=1e-3, capturable=True, foreach=foreach
    )
    assert stepped(optimizer, 1000.0).item() == torch.tensor(-1e-3).half().item()


def through_three_steps(
    at: dict[str, Tensor], *, decoupled: bool, in_tensors: bool = True, capturable: bool = False
) -> Tensor:
    """The parameter after three differentiable steps."""
    param = at["p"].clone()

    def number(name: str) -> Any:
        return at[name] if in_tensors else at[name].item()

    optimizer = Adamax(
        [param],
        lr=number("lr"),
        betas=(number("b1"), number("b2")),
        eps=number("eps"),
        weight_decay=number("wd"),
        differentiable=True,
        capturable=capturable,
        decoupled_weight_decay=decoupled,
    )
    for name in ("g1", "g2", "g3"):
        param.grad = at[name]
        optimizer.step()
    return param


@pytest.mark.parametrize("capturable", [False, True])
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("name", ["p", "g1", "g2", "g3", "lr", "b1", "b2", "eps", "wd"])
def test_autograd_goes_through_three_steps(
    name: str,
    decoupled: bool,
    capturable: bool,
    three_steps: dict[str, float],
    derivative: Callable[[str, bool], tuple[Fraction, Fraction]],
    assert_within: Callable[..., None],
) -> None:
    at = {key: torch.tensor(x, dtype=torch.float64) for key, x in three_steps.items()}
    at[name].requires_grad_()
    (slope,) = torch.autograd.grad(
        through_three_steps(at, decoupled=decoupled, capturable=capturable), at[name]
    )
    exact, bound = derivative(name, decoupled)
    assert_within([slope.item()], [exact], [bound])


def test_forward_mode_reaches_the_learning_rate() -> None:
    """A dual number requires no gradient, and still must not be read."""

    def after_a_step(lr: Tensor) -> Tensor:
        param = torch.ones(2, dtype=torch.float64)
        optimizer = Adamax([param], lr, eps=0.0, differentiable=True)
        param.grad = torch.tensor([1.0, 2.0], dtype=torch.float64)
        optimizer.step()
        return param.sum()

    lr = torch.tensor(0.5, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, at the first forward derivative
        slope = torch.func.jvp(after_a_step, (lr,), (torch.ones_like(lr),))[1]
    assert slope == -2


@pytest.mark.parametrize("decoupled", [False, True])
def test_second_derivatives_pass_gradgradcheck(
    decoupled: bool, three_steps: dict[str, float]
) -> None:
    names = list(three_steps)
    inputs = [
        torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in three_steps.values()
    ]

    def final(*values: Tensor) -> Tensor:
        return through_three_steps(dict(zip(names, values, strict=True)), decoupled=decoupled)

    assert torch.autograd.gradgradcheck(final, inputs)


def loss_gradient_after_a_step(seen_by_the_loss: Callable[[Tensor], Tensor]) -> Tensor:
    """p = w - lr * 2w / (2w + eps), so dp/dw = 1 - lr * 2 eps / (2w + eps)^2, at w = 1, eps = 2."""
    start = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    param = start.clone()
    optimizer = Adamax([param], lr=0.5, betas=(0.0, 0.5), eps=2.0, differentiable=True)
    (param.grad,) = torch.autograd.grad(seen_by_the_loss(param).square(), param, create_graph=True)
    optimizer.step()
    (slope,) = torch.autograd.grad(param, start)
    return slope


def test_autograd_reaches_a_gradient_that_was_computed_with_create_graph() -> None:
    assert loss_gradient_after_a_step(torch.clone).item() == 1 - 0.5 * 4 / 16


def test_loss_whose_graph_is_needed_has_to_see_a_clone() -> None:
    """The parameter changes in place, as the docstring says, and autograd notices."""
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss_gradient_after_a_step(lambda param: param)


def test_differentiable_gives_the_bits_of_the_plain_step(
    three_steps: dict[str, float], bits: Callable[[Tensor], bytes]
) -> None:
    at = {key: torch.tensor([x], dtype=torch.float64) for key, x in three_steps.items()}
    plain = Adamax(
        [parameter(three_steps["p"])],
        three_steps["lr"],
        (three_steps["b1"], three_steps["b2"]),
        three_steps["eps"],
        three_steps["wd"],
    )
    after = stepped(plain, *(at[name] for name in ("g1", "g2", "g3")))
    assert bits(through_three_steps(at, decoupled=False, in_tensors=False)) == bits(after)


def test_a_differentiable_group_is_enough_for_autograd() -> None:
    lr = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    param = torch.tensor([1.0], dtype=torch.float64)
    optimizer = Adamax([{"params": [param], "differentiable": True, "lr": lr}], eps=0.0)
    stepped(optimizer, 1.0)
    (slope,) = torch.autograd.grad(param.sum(), lr)
    assert slope == -1


def test_named_parameters_are_accepted() -> None:
    net = small_net(seed=0)
    optimizer = Adamax(net.named_parameters())
    assert optimizer.param_groups[0]["param_names"] == [name for name, _ in net.named_parameters()]
