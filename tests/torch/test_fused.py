"""The fused kernel gives the bits of the loop, and never steps what is not there any more."""

import copy
import gc
import io
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils._python_dispatch import TorchDispatchMode

from adamax_torch import Adamax, fusable
from adamax_torch.plan import Plan

DTYPES = [
    torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64, torch.complex128,
]  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {},
    {"weight_decay": 0.1},
    {"weight_decay": 0.1, "decoupled_weight_decay": True},
    {"maximize": True, "weight_decay": 0.1, "betas": (0.3, 0.5), "eps": 1e-3},
    {"betas": (0.0, 0.0), "lr": torch.tensor(0.5)},
    {"state_dtype": torch.float32},
]

Pair = tuple[Adamax, Adamax]


def plans(optimizer: Adamax) -> list[Plan | None]:
    return list(optimizer._plans)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_gives_the_bits_of_the_loop(
    dtype: torch.dtype,
    options: dict[str, Any],
    make_parameters: Callable[..., list[Parameter]],
    set_gradients: Callable[..., None],
    snapshot: Callable[..., list[Any]],
) -> None:
    one, other = make_parameters(dtype), make_parameters(dtype)
    loop, fused = Adamax(one, fused=False, **options), Adamax(other, fused=True, **options)
    with patch.object(Plan, "step", autospec=True, side_effect=Plan.step) as taken:
        for seed in range(1, 5):
            for params in (one, other):
                set_gradients(params, seed)
            loop.step()
            fused.step()
            assert snapshot(loop) == snapshot(fused)
    assert taken.call_count == 4


@pytest.fixture
def pair() -> Pair:
    """The kernel, which was not asked for, and the loop, after a step each."""
    optimizers = []
    for fused in (None, False):
        generator = torch.Generator().manual_seed(0)
        params = [Parameter(torch.randn(n, n, generator=generator)) for n in (3, 1, 4)]
        params.append(Parameter(torch.randn((), generator=generator)))
        optimizers.append(Adamax(params, 0.1, fused=fused, weight_decay=0.1))
    both = optimizers[0], optimizers[1]
    advance(both, 0)
    assert plans(both[0])[0] is not None
    return both


def parameters(optimizer: Adamax) -> list[Tensor]:
    return [param for group in optimizer.param_groups for param in group["params"]]


def advance(both: Pair, seed: int, change: Callable[[Tensor], Tensor] = lambda grad: grad) -> None:
    """A step with gradients that are new objects, as after `zero_grad`."""
    for optimizer in both:
        generator = torch.Generator().manual_seed(seed)
        for param in parameters(optimizer):
            grad = torch.randn(param.shape, generator=generator, dtype=torch.float64)
            param.grad = change(grad.to(param.dtype))
        optimizer.step()


def same(both: Pair, snapshot: Callable[..., list[Any]]) -> bool:
    return snapshot(both[0]) == snapshot(both[1])


def test_a_plan_is_kept_while_tensors_stay(pair: Pair, snapshot: Callable[..., list[Any]]) -> None:
    kept = plans(pair[0])
    for seed in range(1, 4):
        for optimizer in pair:
            generator = torch.Generator().manual_seed(seed)
            for param in parameters(optimizer):
                assert param.grad is not None
                param.grad.copy_(torch.randn(param.shape, generator=generator))
            optimizer.param_groups[0]["lr"] = 0.1 / seed
            optimizer.step()
        assert plans(pair[0]) == kept
        assert same(pair, snapshot)


def shrink(optimizer: Adamax) -> None:
    for param in parameters(optimizer)[:3]:
        param.data = param.data[:1]
        param.grad = None
        del optimizer.state[param]


def swap_data(optimizer: Adamax) -> None:
    for param in parameters(optimizer):
        param.data = param.data.clone()


def transpose_data(optimizer: Adamax) -> None:
    for param in parameters(optimizer)[:3]:
        param.data = param.data.t()


def change_dtype(optimizer: Adamax) -> None:
    for param in parameters(optimizer):
        param.data = param.data.double()


def replace_state(optimizer: Adamax) -> None:
    for param in parameters(optimizer):
        optimizer.state[param] = {k: v.clone() * 2 for k, v in optimizer.state[param].items()}


def replace_moments(optimizer: Adamax) -> None:
    for param in parameters(optimizer):
        optimizer.state[param]["exp_inf"] = optimizer.state[param]["exp_inf"] * 2


def swap_data_of_state(optimizer: Adamax) -> None:
    for slot in optimizer.state.values():
        for value in slot.values():
            value.data = value.data.clone() * 2


def widen_moments(optimizer: Adamax) -> None:
    for slot in optimizer.state.values():
        slot["exp_avg"].data = slot["exp_avg"].data.double()


def set_steps(optimizer: Adamax) -> None:
    for slot in optimizer.state.values():
        slot["step"] = torch.tensor(7.0, dtype=torch.float64)


def start_anew(optimizer: Adamax) -> None:
    optimizer.state.clear()


def forget_one(optimizer: Adamax) -> None:
    del optimizer.state[parameters(optimizer)[1]]


def load_own(optimizer: Adamax) -> None:
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def add_a_group(optimizer: Adamax) -> None:
    optimizer.add_param_group({"params": [Parameter(torch.ones(2))], "lr": 0.5})


def drop_a_parameter(optimizer: Adamax) -> None:
    optimizer.param_groups[0]["params"].pop(1)


def exchange_parameters(optimizer: Adamax) -> None:
    params = optimizer.param_groups[0]["params"]
    params[0], params[2] = params[2], params[0]


def use_the_loop(optimizer: Adamax) -> None:
    optimizer.param_groups[0]["foreach"] = False


def make_capturable(optimizer: Adamax) -> None:
    optimizer.param_groups[0]["capturable"] = True


@pytest.mark.parametrize(
    "change",
    [
        shrink, swap_data, transpose_data, change_dtype, replace_state, replace_moments,
        swap_data_of_state, widen_moments, set_steps, start_anew, forget_one, load_own,
        add_a_group, drop_a_parameter, exchange_parameters, use_the_loop, make_capturable,
    ],
)  # fmt: skip
def test_what_changes_between_steps_is_noticed(
    change: Callable[[Adamax], None], pair: Pair, snapshot: Callable[..., list[Any]]
) -> None:
    for seed in (1, 2):
        for optimizer in pair:
            change(optimizer)
        advance(pair, seed)
        assert same(pair, snapshot)


@pytest.mark.parametrize(
    "change",
    [
        lambda grad: grad.clone().mT.contiguous().mT if grad.dim() else grad,
        lambda grad: torch.complex(grad, -grad).conj().imag,
        lambda grad: torch.stack([grad, grad])[1],
        lambda grad: grad.sum().expand(grad.shape),
        torch._neg_view,
    ],
    ids=["transposed", "imaginary", "offset", "expanded", "negated"],
)
def test_gradients_of_any_kind_are_read_rightly(
    change: Callable[[Tensor], Tensor], pair: Pair, snapshot: Callable[..., list[Any]]
) -> None:
    for seed in (1, 2):
        advance(pair, seed, change)
        assert same(pair, snapshot)
        advance(pair, seed + 2)
        assert same(pair, snapshot)


def test_a_gradient_at_the_same_address_of_another_kind_is_noticed(
    snapshot: Callable[..., list[Any]],
) -> None:
    """Memory that is given back is often given out again at once."""
    memory = torch.arange(18.0).sin()
    square = memory[:9].view(3, 3)
    kinds = [
        square,
        square.t(),
        torch._neg_view(square),
        square.bfloat16(),
        memory.view(torch.float64).view(3, 3),
    ]
    both = tuple(Adamax([Parameter(torch.ones(3, 3))], fused=fused) for fused in (True, False))
    for kind in kinds:
        for optimizer in both:
            param = optimizer.param_groups[0]["params"][0]
            param.grad, param.grad_dtype = None, kind.dtype
            param.grad = kind
            optimizer.step()
        assert snapshot(both[0]) == snapshot(both[1])


@pytest.mark.parametrize("view", [torch.t, torch._neg_view])
def test_a_view_of_the_same_memory_is_noticed_though_gradients_stay(
    view: Callable[[Tensor], Tensor], pair: Pair
) -> None:
    for seed in (1, 2):
        for optimizer in pair:
            for param in parameters(optimizer)[:3]:
                assert param.grad is not None
                param.data = view(param.data)
                param.grad.fill_(seed)
            optimizer.step()
        for one, other in zip(*map(parameters, pair), strict=True):
            assert torch.equal(one.resolve_neg(), other.resolve_neg())


def test_a_table_is_kept_though_every_gradient_is_elsewhere(
    pair: Pair, snapshot: Callable[..., list[Any]]
) -> None:
    """As in most trainings, where `zero_grad` lets go of gradients."""
    kept, held = plans(pair[0]), []
    for seed in range(1, 4):
        held.append([param.grad for param in parameters(pair[0])])
        advance(pair, seed)
        assert plans(pair[0]) == kept
        assert same(pair, snapshot)
    assert len({grad.data_ptr() for grads in held for grad in grads if grad is not None}) == 12


def test_gradients_with_a_graph_keep_the_table(
    pair: Pair, snapshot: Callable[..., list[Any]]
) -> None:
    advance(pair, 1, lambda grad: grad.requires_grad_() * 2)
    kept = plans(pair[0])
    advance(pair, 2, lambda grad: grad.requires_grad_() * 2)
    assert plans(pair[0]) == kept
    assert same(pair, snapshot)


def test_a_gradient_that_comes_to_lie_on_a_parameter_is_read_as_by_the_loop(
    snapshot: Callable[..., list[Any]],
) -> None:
    both = tuple(Adamax([Parameter(torch.ones(3, 3))], fused=fused) for fused in (None, False))
    for seed in range(3):
        for optimizer in both:
            (param,) = parameters(optimizer)
            param.grad = param.detach().view(3, 3) if seed else torch.ones(3, 3)
            optimizer.step()
        assert snapshot(both[0]) == snapshot(both[1])


def test_missing_gradients_come_and_go(pair: Pair, snapshot: Callable[..., list[Any]]) -> None:
    for absent in ([0], [0, 2], [], [1], [0, 1, 2, 3], [3]):
        for optimizer in pair:
            for index, param in enumerate(parameters(optimizer)):
                param.grad = None if index in absent else torch.ones_like(param)
            optimizer.step()
        assert same(pair, snapshot)


def test_parameters_that_share_memory_are_left_to_the_loop(
    snapshot: Callable[..., list[Any]],
) -> None:
    optimizers = []
    for fused in (None, False):
        memory = torch.arange(6.0)
        params = [Parameter(memory[:4]), Parameter(memory[2:])]
        for param in params:
            param.grad = torch.ones_like(param)
        optimizers.append(Adamax(params, fused=fused))
        optimizers[-1].step()
    assert snapshot(optimizers[0]) == snapshot(optimizers[1])
    optimizers[0].param_groups[0]["fused"] = True
    before = snapshot(optimizers[0])
    with pytest.raises(RuntimeError, match=r"fused=True, but it shares memory with another"):
        optimizers[0].step()
    assert snapshot(optimizers[0]) == before


def test_a_table_that_does_not_hold_is_forgotten_though_the_step_fails(
    pair: Pair, snapshot: Callable[..., list[Any]]
) -> None:
    for optimizer in pair:
        add_a_group(optimizer)
    advance(pair, 1)
    for optimizer in pair:
        swap_data(optimizer)
        optimizer.param_groups[1]["lr"] = -1.0
        with pytest.raises(ValueError, match="Invalid learning rate"):
            optimizer.step()
        optimizer.param_groups[1]["lr"] = 0.5
        optimizer.step()
    assert same(pair, snapshot)


@pytest.mark.parametrize("fused", [None, True])
def test_tensors_with_gaps_that_overlap_are_not_stepped_at_once(fused: bool | None) -> None:
    memory = torch.arange(16.0)
    params = [Parameter(memory[::2]), Parameter(memory[8:12])]
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer = Adamax(params, 0.1, fused=fused)
    if fused:
        with pytest.raises(RuntimeError, match="it shares memory with another tensor"):
            optimizer.step()
        return
    optimizer.step()
    assert memory[8] == 8 - 2 * torch.tensor(0.1)


def test_a_hyperparameter_that_cannot_be_read_changes_nothing(
    pair: Pair, snapshot: Callable[..., list[Any]]
) -> None:
    for optimizer in pair:
        before = snapshot(optimizer)
        optimizer.param_groups[0]["lr"] = torch.tensor(0.1, device="meta")
        with pytest.raises(ValueError, match="is on cpu, and lr on meta"):
            optimizer.step()
        assert snapshot(optimizer) == before


def test_numbers_of_numpy_are_those_of_python(snapshot: Callable[..., list[Any]]) -> None:
    lr = np.float32(0.1)
    optimizers = []
    for options in ({"fused": True}, {"fused": False}):
        param = Parameter(torch.ones(3, dtype=torch.float64))
        param.grad = torch.ones(3, dtype=torch.float64)
        optimizers.append(Adamax([param], lr, weight_decay=lr, **options))  # type: ignore[arg-type]
        optimizers[-1].step()
    assert snapshot(optimizers[0]) == snapshot(optimizers[1])


def test_large_numbers_are_infinite_without_a_word(snapshot: Callable[..., list[Any]]) -> None:
    optimizers = []
    for fused in (True, False):
        param = Parameter(torch.ones(3))
        param.grad = torch.ones(3)
        optimizers.append(Adamax([param], eps=1e300, fused=fused))
        optimizers[-1].step()
    assert snapshot(optimizers[0]) == snapshot(optimizers[1])


def test_a_count_of_another_dtype_is_refused_where_the_kernel_is_demanded(
    snapshot: Callable[..., list[Any]],
) -> None:
    param = Parameter(torch.ones(3))
    param.grad = torch.ones(3)
    optimizer = Adamax([param], fused=True)
    optimizer.step()
    optimizer.state[param]["step"] = torch.tensor(1.0)
    before = snapshot(optimizer)
    with pytest.raises(RuntimeError, match=r"fused=True, but it counts its steps in tensor\(1"):
        optimizer.step()
    assert snapshot(optimizer) == before


def test_torch_func_is_not_left_out(pair: Pair) -> None:
    def stepped(x: Tensor) -> Tensor:
        pair[0].param_groups[0]["fused"] = True
        pair[0].step()
        return x

    with pytest.raises(RuntimeError, match=r"torch.compile, torch.func or a mode is on"):
        torch.func.grad(stepped)(torch.tensor(1.0))


def test_autograd_notices_a_step() -> None:
    param = Parameter(torch.ones(3))
    optimizer = Adamax([param], fused=True)
    param.grad = torch.ones(3)
    loss = (param**2).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(loss, param)


class Deaf(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # not typed

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        return func(*args, **(kwargs or {}))


def test_who_watches_operations_sees_them(pair: Pair, snapshot: Callable[..., list[Any]]) -> None:
    with Deaf():
        advance(pair, 1)
    assert plans(pair[0]) == [None]
    assert same(pair, snapshot)
    pair[0].param_groups[0]["fused"] = True
    with Deaf(), pytest.raises(RuntimeError, match=r"torch.compile, torch.func or a mode is on"):
        pair[0].step()


class Odd(Tensor):
    """A subclass, of which the kernel knows nothing."""


REFUSED: list[tuple[Callable[[], Any], dict[str, Any], str]] = [
    (lambda: torch.ones(2, device="meta"), {}, "the kernel runs on processors, not on meta"),
    (lambda: torch.ones(2).as_subclass(Odd), {}, "the kernel takes no Odd that is more than"),
    (lambda: torch.ones(2, dtype=torch.float8_e5m2), {}, "not float8_e5m2"),
    (lambda: torch.ones(2), {"state_dtype": torch.float8_e5m2}, "no moments in float8_e5m2"),
    (lambda: torch.ones(3).expand(2, 3), {}, "its elements share memory"),
]


@pytest.mark.parametrize(("make", "options", "why"), REFUSED)
def test_what_the_kernel_cannot_step_is_refused_where_it_is_demanded(
    make: Callable[[], Any], options: dict[str, Any], why: str
) -> None:
    optimizer = Adamax([Parameter(torch.ones(2))], fused=True)
    with pytest.raises(RuntimeError, match=f"^parameter 0: fused=True, but .*{why}"):
        optimizer.add_param_group({"params": [make()], **options})
    assert len(optimizer.param_groups) == 1
    Adamax([make()], **options)


def test_a_gradient_that_cannot_be_is_refused_before_any_group_is_stepped(
    snapshot: Callable[..., list[Any]],
) -> None:
    params = [Parameter(torch.ones(2)), Parameter(torch.ones(2))]
    optimizer = Adamax([{"params": [param]} for param in params], fused=True)
    params[0].grad, params[1].grad = torch.ones(2), torch.ones(2).as_subclass(Odd)
    before = snapshot(optimizer)
    with pytest.raises(RuntimeError, match=r"^group 1, parameter 0: fused=True, but the kernel"):
        optimizer.step()
    assert snapshot(optimizer) == before


def test_no_memory_is_an_error_and_no_crash() -> None:
    param = Parameter(torch.ones(100))
    optimizer = Adamax([param], fused=True)
    param.grad = torch.ones(100)
    optimizer.step()
    param.untyped_storage().resize_(0)
    with pytest.raises(RuntimeError, match="its memory has been given back"):
        optimizer.step()


def test_state_is_saved_and_copied_alike_either_way(
    pair: Pair, snapshot: Callable[..., list[Any]]
) -> None:
    fused, loop = pair
    files = []
    for optimizer in pair:
        file = io.BytesIO()
        state = optimizer.state_dict()
        state["param_groups"][0]["fused"] = None
        torch.save(state, file)
        files.append(file.getvalue())
    assert files[0] == files[1]
    loop.load_state_dict(fused.state_dict() | {"param_groups": loop.state_dict()["param_groups"]})
    advance(pair, 1)
    assert same(pair, snapshot)
    other = copy.deepcopy(fused)
    assert plans(other) == []
    before = snapshot(fused)
    for param in parameters(other):
        param.grad = torch.ones_like(param)
    other.step()
    assert snapshot(fused) == before
    assert snapshot(other) != before


@pytest.mark.parametrize("transposed", [False, True])
def test_what_is_gone_is_not_held(transposed: bool, pair: Pair) -> None:
    fused, _ = pair
    advance(pair, 1, lambda grad: grad.t().clone().t() if transposed and grad.dim() else grad)
    grads = [weakref.ref(param.grad) for param in parameters(fused)]
    fused.zero_grad()
    gc.collect()
    assert [grad() for grad in grads] == [None] * 4


def test_an_iterator_of_parameters_and_no_parameters_at_all() -> None:
    optimizer = Adamax(iter([Parameter(torch.ones(2))]), fused=True)
    optimizer.step()
    assert plans(optimizer) == [None]


@pytest.mark.parametrize("fused", [None, False, True])
def test_without_numba_the_loop_steps_and_only_a_demand_fails(fused: bool | None) -> None:
    source = f"""
import sys
sys.modules["numba"] = None
import torch
from adamax_torch import Adamax
param = torch.nn.Parameter(torch.ones(2))
try:
    optimizer = Adamax([param], 0.5, fused={fused})
except RuntimeError as error:
    print(error)
else:
    param.grad = torch.ones(2)
    optimizer.step()
    print(param.tolist())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, check=True
    )
    expected = (
        "parameter 0: fused=True, but Numba is not installed: pip install 'adamax-spec[fused]'"
        if fused
        else "[0.5, 0.5]"
    )
    assert done.stdout.strip() == expected


def test_importing_the_adapter_and_using_the_loop_imports_no_numba() -> None:
    source = """
import sys, torch
from adamax_torch import Adamax
Adamax([torch.nn.Parameter(torch.ones(2))], fused=False)
assert "numba" not in sys.modules
Adamax([torch.nn.Parameter(torch.ones(2))])
assert "numba" in sys.modules
"""
    subprocess.run([sys.executable, "-c", source], check=True)


def test_chosen_is_what_nobody_chose_otherwise() -> None:
    group: dict[str, Any] = {
        "fused": None, "foreach": None, "differentiable": False, "capturable": False,
    }  # fmt: skip
    assert fusable.chosen(group)
    for other in ({"fused": False}, {"foreach": False}, {"foreach": True}, {"capturable": True}):
        assert not fusable.chosen(group | other)
