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
Advance = Callable[..., None]
Same = Callable[[Pair], bool]


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


def test_counts_below_zero_are_those_of_the_loop(pair: Pair, advance: Advance, same: Same) -> None:
    for optimizer in pair:
        for slot in optimizer.state.values():
            slot["step"].fill_(-2)
    advance(pair, 1)
    assert same(pair)


def lazily_negated() -> Tensor:
    return torch._neg_view(torch.tensor(-1.0, dtype=torch.float64))


def of_inference_mode() -> Tensor:
    with torch.inference_mode():
        return torch.tensor(1.0, dtype=torch.float64)


@pytest.mark.parametrize("make", [lazily_negated, of_inference_mode])
def test_a_count_that_cannot_be_changed_is_left_to_the_loop(
    make: Callable[[], Tensor], pair: Pair
) -> None:
    for optimizer in pair:
        param = optimizer.param_groups[0]["params"][0]
        optimizer.state[param]["step"] = make()
        before = param.detach().clone()
        with pytest.raises(RuntimeError, match=r"inference tensor|unsupported operation|neg"):
            optimizer.step()
        assert torch.equal(param, before)
    assert list(pair[0]._plans) in ([], [None])


@pytest.mark.parametrize("fused", [None, True])
def test_a_gradient_without_memory_is_no_crash(fused: bool | None) -> None:
    param = Parameter(torch.ones(64))
    optimizer = Adamax([param], fused=fused)
    param.grad = torch._efficientzerotensor(64)
    if fused:
        with pytest.raises(RuntimeError, match="it has no memory"):
            optimizer.step()
        return
    optimizer.step()
    assert torch.equal(param, torch.ones(64))


def test_the_number_of_threads_of_torch_stays() -> None:
    source = """
import torch
from adamax_torch import Adamax
torch.set_num_threads(1)
torch.get_num_threads()
param = torch.nn.Parameter(torch.ones(200_000))
param.grad = torch.ones(200_000)
Adamax([param], fused=True).step()
assert torch.get_num_threads() == 1
"""
    subprocess.run([sys.executable, "-W", "error", "-c", source], check=True)


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


def test_who_watches_operations_sees_them(pair: Pair, advance: Advance, same: Same) -> None:
    with Deaf():
        advance(pair, 1)
    assert list(pair[0]._plans) == [None]
    assert same(pair)
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
    with pytest.raises(RuntimeError, match=f"^group 1, parameter 0: fused=True, but .*{why}"):
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
    with pytest.raises(RuntimeError, match="it has no memory, or has given it back"):
        optimizer.step()


def test_state_is_saved_and_copied_alike_either_way(
    pair: Pair, snapshot: Callable[..., list[Any]], advance: Advance, same: Same
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
    assert same(pair)
    other = copy.deepcopy(fused)
    assert list(other._plans) == []
    before = snapshot(fused)
    for param in other.param_groups[0]["params"]:
        param.grad = torch.ones_like(param)
    other.step()
    assert snapshot(fused) == before
    assert snapshot(other) != before


@pytest.mark.parametrize("transposed", [False, True])
def test_what_is_gone_is_not_held(transposed: bool, pair: Pair, advance: Advance) -> None:
    fused, _ = pair
    advance(pair, 1, lambda grad: grad.t().clone().t() if transposed and grad.dim() else grad)
    grads = [weakref.ref(param.grad) for param in fused.param_groups[0]["params"]]
    fused.zero_grad()
    gc.collect()
    assert [grad() for grad in grads] == [None] * 4


def test_what_is_dropped_is_not_held(pair: Pair) -> None:
    fused, _ = pair
    gone = [weakref.ref(value) for slot in fused.state.values() for value in slot.values()]
    gone += [weakref.ref(param) for param in fused.param_groups[0]["params"]]
    fused.state.clear()
    fused.param_groups.clear()
    gc.collect()
    assert all(ref() is None for ref in gone)


def test_memory_of_dropped_state_is_given_back() -> None:
    param = Parameter(torch.ones(1000))
    optimizer = Adamax([param], fused=True)
    param.grad = torch.ones(1000)
    optimizer.step()
    memory = weakref.ref(optimizer.state[param]["exp_avg"].untyped_storage())
    assert memory() is not None
    (plan,) = optimizer._plans
    assert plan is not None
    assert plan._watch._memory.held()
    del optimizer.state[param]["exp_avg"]
    assert plan._watch._memory.held() is None
    assert memory() is None


def test_an_iterator_of_parameters_and_no_parameters_at_all() -> None:
    optimizer = Adamax(iter([Parameter(torch.ones(2))]), fused=True)
    optimizer.step()
    assert list(optimizer._plans) == [None]


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
        "group 0, parameter 0: fused=True, but Numba is not installed: "
        "pip install 'adamax-spec[fused]'"
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
