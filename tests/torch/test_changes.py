"""A step uses the current tensors, whatever changed since the step before."""

import copy
from collections import UserDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils.weak import WeakIdKeyDictionary

from adamax_torch import Adamax
from torch_steps import advance, same

Pair = tuple[Adamax, Adamax]


def square(fused: bool | None) -> Adamax:
    return Adamax([Parameter(torch.ones(3, 3))], fused=fused)


def parameters(optimizer: Adamax) -> list[Tensor]:
    return [param for group in optimizer.param_groups for param in group["params"]]


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


def replace_steps_by_equal_ones(optimizer: Adamax) -> None:
    for slot in optimizer.state.values():
        slot["step"] = slot["step"].clone()


def exchange_moments(optimizer: Adamax) -> None:
    """The same objects in the same order, under other names."""
    for slot in optimizer.state.values():
        slot["exp_inf"], slot["exp_avg"] = slot.pop("exp_avg").abs_().add_(1), slot.pop("exp_inf")


def keep_more(optimizer: Adamax) -> None:
    for slot in optimizer.state.values():
        slot["seen"] = torch.ones(2)


def keep_in_no_dict(optimizer: Adamax) -> None:
    for param in parameters(optimizer):
        optimizer.state[param] = UserDict(optimizer.state[param])


def move_to_the_end(optimizer: Adamax) -> None:
    first = parameters(optimizer)[0]
    optimizer.state[first] = optimizer.state.pop(first)


def reload_in_another_layout(optimizer: Adamax) -> None:
    """The allocator usually reuses freed memory at the same address."""
    for slot in optimizer.state.values():
        moment = slot["exp_avg"]
        saved = moment.clone()
        moment.untyped_storage().resize_(0)
        moment.data = saved.t().contiguous().t()


def reload_wider(optimizer: Adamax) -> None:
    for slot in optimizer.state.values():
        moment = slot["exp_inf"]
        saved = moment.clone()
        moment.untyped_storage().resize_(0)
        moment.data = saved.double()


def hold_weakly(optimizer: Adamax) -> None:
    state: Any = WeakIdKeyDictionary(optimizer.state)
    optimizer.state = state


def count_in_gradients(optimizer: Adamax) -> None:
    """The first gradient aliases the last count, which the loop changes later."""
    optimizer.param_groups[0]["params"] = [
        Parameter(torch.ones((), dtype=torch.float64)) for _ in range(2)
    ]
    first, last = parameters(optimizer)
    for param in (first, last):
        param.grad = torch.ones_like(param)
    optimizer.step()
    first.grad = optimizer.state[last]["step"]
    optimizer.step()


def transpose_moments_in_place(optimizer: Adamax) -> None:
    for slot in optimizer.state.values():
        if slot["exp_avg"].dim():
            slot["exp_avg"].t_()


def swap_moments(optimizer: Adamax) -> None:
    for slot in optimizer.state.values():
        swap: Any = torch.utils.swap_tensors
        swap(slot["exp_avg"], slot["exp_avg"].clone() * 2)


def count_in_numbers(optimizer: Adamax) -> None:
    for count, slot in enumerate(optimizer.state.values()):
        slot["step"] = [5, 5.0, torch.tensor(5.0), torch.tensor([5])][count]


def negate_moments_lazily(optimizer: Adamax) -> None:
    for slot in optimizer.state.values():
        slot["exp_avg"] = torch.complex(slot["exp_avg"], -slot["exp_avg"]).conj().imag


def share_a_count(optimizer: Adamax) -> None:
    slots = list(optimizer.state.values())
    for slot in slots:
        slot["step"] = slots[0]["step"]


def drop_all(optimizer: Adamax) -> None:
    optimizer.param_groups[0]["params"].clear()


def keep_parameters_in_a_dict(optimizer: Adamax) -> None:
    group = optimizer.param_groups[0]
    group["params"] = dict(enumerate(group["params"])).values()


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
        swap_data_of_state, widen_moments, set_steps, replace_steps_by_equal_ones,
        exchange_moments, reload_in_another_layout, reload_wider, hold_weakly,
        count_in_gradients, drop_all, keep_parameters_in_a_dict, keep_more, keep_in_no_dict,
        move_to_the_end, start_anew, forget_one, load_own, add_a_group, drop_a_parameter,
        exchange_parameters, use_the_loop, make_capturable, transpose_moments_in_place,
        swap_moments, count_in_numbers, negate_moments_lazily, share_a_count,
    ],
)  # fmt: skip
def test_changes_between_steps_are_noticed(change: Callable[[Adamax], None], pair: Pair) -> None:
    for seed in (1, 2):
        for optimizer in pair:
            change(optimizer)
        advance(pair, seed)
        assert same(pair)


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
def test_gradients_of_every_layout_are_read_correctly(
    change: Callable[[Tensor], Tensor], pair: Pair
) -> None:
    for seed in (1, 2):
        advance(pair, seed, change)
        assert same(pair)
        advance(pair, seed + 2)
        assert same(pair)


def test_a_gradient_at_the_same_address_of_another_kind_is_noticed() -> None:
    """The allocator often reuses freed memory at once."""
    memory = torch.arange(18.0).sin()
    first = memory[:9].view(3, 3)
    kinds = [
        first,
        first.t(),
        torch._neg_view(first),
        first.bfloat16(),
        memory.view(torch.float64).view(3, 3),
    ]
    both = square(fused=True), square(fused=False)
    for kind in kinds:
        for optimizer in both:
            param = optimizer.param_groups[0]["params"][0]
            param.grad, param.grad_dtype = None, kind.dtype
            param.grad = kind
            optimizer.step()
        assert same(both)


@pytest.mark.parametrize("view", [torch.t, torch._neg_view])
def test_a_new_view_of_the_same_memory_is_noticed(
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


def test_a_gradient_that_aliases_a_parameter_is_read_as_by_the_loop() -> None:
    both = square(fused=None), square(fused=False)
    for seed in range(3):
        for optimizer in both:
            (param,) = parameters(optimizer)
            param.grad = param.detach().view(3, 3) if seed else torch.ones(3, 3)
            optimizer.step()
        assert same(both)


def test_missing_gradients_come_and_go(pair: Pair) -> None:
    for absent in ([0], [0, 2], [], [1], [0, 1, 2, 3], [3]):
        for optimizer in pair:
            for index, param in enumerate(parameters(optimizer)):
                param.grad = None if index in absent else torch.ones_like(param)
            optimizer.step()
        assert same(pair)


def test_a_step_that_fails_leaves_no_stale_table(pair: Pair) -> None:
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
    assert same(pair)
