"""PyTorch's own checks of every optimizer: steps, groups, schedules; see `torch_infos`."""

import itertools
from typing import Any

import pytest
import torch
from torch.nn import Parameter
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.testing._internal.common_optimizers import OptimizerErrorEnum

from torch_infos import (
    OURS,
    Config,
    both,
    every,
    in_place,
    made,
    tensors,
    train,
    trained,
)
from torch_steps import bits, snapshot


def test_optim_infos_do_not_specify_global_cliquey_kwargs() -> None:
    exclusive = {"foreach", "fused", "differentiable"}
    assert all(not exclusive & config.kwargs.keys() for config in OURS.optim_inputs_func("cuda"))


@pytest.mark.parametrize(
    "wrong",
    OURS.optim_error_inputs_func("cpu", torch.float32),
    ids=lambda each: each.optimizer_error_input.desc,
)
def test_errors(wrong: Any) -> None:
    given = wrong.optimizer_error_input
    assert wrong.error_on == OptimizerErrorEnum.CONSTRUCTION_ERROR
    params = given.params if given.params is not None else [Parameter(torch.randn(1))]
    expects = pytest.warns if issubclass(wrong.error_type, Warning) else pytest.raises
    with expects(wrong.error_type, match=wrong.error_regex):
        OURS.optim_cls(params, **given.kwargs)


SCHEDULES: list[Any] = [None, *itertools.chain(*OURS.scheduler_inputs)]


@in_place
@pytest.mark.parametrize("schedule", SCHEDULES, ids=["constant", "StepLR", "ReduceLROnPlateau"])
@pytest.mark.parametrize("contiguous", [True, False])
def test_forloop_goes_right_direction(config: Config, schedule: Any, contiguous: bool) -> None:
    """The loss of a small linear model falls, or rises with maximize."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(10, 5, generator=generator)
    if not contiguous:
        weight = torch.randn(10, 5, 2, generator=generator)[..., 0]
    weight, bias = Parameter(weight), Parameter(torch.randn(10, generator=generator))
    x = torch.randn(5, generator=generator)
    optimizer = made(config, [weight, bias])
    scheduler = schedule(optimizer) if schedule else None
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (weight.mv(x) + bias).square().sum()
        losses.append(loss.item())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(loss.item())
        elif scheduler is not None:
            scheduler.step()
    rises = config[1].get("maximize", False)
    assert losses[-1] > losses[0] if rises else losses[-1] < losses[0]


@both
@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES[1:], ids=["StepLR", "ReduceLROnPlateau"])
def test_param_group_with_lrscheduler_goes_right_direction(
    info: Any, foreach: bool, schedule: Any
) -> None:
    params = [Parameter(torch.tensor([2.0, -3.0])) for _ in range(2)]
    optimizer = info.optim_cls(
        [{"params": params[:1]}, {"params": params[1:], "lr": 0.01}], lr=0.1, foreach=foreach
    )
    scheduler = schedule(optimizer)
    before = [param.square().sum().item() for param in params]
    for _ in range(20):
        optimizer.zero_grad()
        loss: Any = sum(param.square().sum() for param in params)
        loss.backward()
        optimizer.step()
        scheduler.step(*([loss.item()] if isinstance(scheduler, ReduceLROnPlateau) else []))
    moved = [b - param.square().sum().item() for b, param in zip(before, params, strict=True)]
    assert moved[0] > moved[1] > 0
    assert isinstance(scheduler, StepLR | ReduceLROnPlateau)


@in_place
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)], ids=str)
def test_tensor_lr(config: Config, shape: tuple[int, ...]) -> None:
    """A one-element tensor of any number of dimensions equals the number."""
    kwargs = {name: value for name, value in config[1].items() if name != "lr"}
    # A power of two is the same number in a tensor of float32.
    number = made((config[0], kwargs), tensors(config), lr=2.0**-6)
    tensor = made((config[0], kwargs), tensors(config), lr=torch.full(shape, 2.0**-6))
    lr = tensor.param_groups[0]["lr"]
    assert snapshot(train(number)) == snapshot(train(tensor))
    assert tensor.param_groups[0]["lr"] is lr
    assert lr.tolist() == torch.full(shape, 2.0**-6).tolist()


@every
@pytest.mark.parametrize("shape", [(4,), (3, 2)], ids=["complex", "complex_2d"])
def test_complex(config: Config, shape: tuple[int, ...]) -> None:
    """A complex parameter steps as the pair of its parts."""
    whole = tensors(config, shape, dtype=torch.complex64)
    parts = [torch.view_as_real(param.detach()).clone() for param in whole]
    if not config[1].get("differentiable"):
        parts = [Parameter(part) for part in parts]
    one, two = made(config, whole), made(config, parts)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        grad = torch.randn(shape, generator=generator, dtype=torch.complex64)
        whole[0].grad, parts[0].grad = grad, torch.view_as_real(grad).clone()
        one.step()
        two.step()
        assert bits(torch.view_as_real(whole[0])) == bits(parts[0])


@both
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("index", range(5))
def test_foreach_matches_forloop(info: Any, dtype: torch.dtype, index: int) -> None:
    config = (info, info.optim_inputs_func("cpu")[index].kwargs)
    shapes = [(3, 2), (4,), (0,), (), (2, 1, 2)]
    one, many = (
        train(made(config, tensors(config, *shapes, dtype=dtype), foreach=foreach))
        for foreach in (False, True)
    )
    assert snapshot(one) == snapshot(many)


@in_place
def test_set_default_dtype_works_with_foreach(config: Config) -> None:
    expected = snapshot(trained(config))
    torch.set_default_dtype(torch.float64)
    try:
        again = trained(config)
    finally:
        torch.set_default_dtype(torch.float32)
    # The count of torch.optim is of the default dtype.
    counted = [(name, value) for name, value in snapshot(again) if name != "step"]
    assert counted == [(name, value) for name, value in expected if name != "step"]


@in_place
def test_foreach_mixed_device_dtype(config: Config) -> None:
    """Several dtypes in one group step as in separate optimizers."""
    dtypes = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
    mixed = [tensors(config, (3,), dtype=dtype)[0] for dtype in dtypes]
    alone = [Parameter(param.detach().clone()) for param in mixed]
    together = made(config, mixed)
    apart = [made(config, [param]) for param in alone]
    for params in (mixed, alone):
        for param in params:
            param.grad = torch.ones_like(param)
    together.step()
    for each in apart:
        each.step()
    assert snapshot(together) == snapshot(*apart)


@both
@pytest.mark.parametrize("foreach", [False, True])
def test_param_groups_weight_decay(info: Any, foreach: bool) -> None:
    weight, bias = (Parameter(torch.full((3,), 2.0)) for _ in range(2))
    groups = [{"params": [weight]}, {"params": [bias], "weight_decay": 0.0}]
    optimizer = info.optim_cls(groups, weight_decay=0.9, foreach=foreach)
    for param in (weight, bias):
        param.grad = torch.zeros(3)
    optimizer.step()
    assert (weight < 2).all()
    assert (bias == 2).all()


@both
@pytest.mark.parametrize("foreach", [False, True])
def test_param_groups_lr(info: Any, foreach: bool) -> None:
    """Each group uses its own learning rate; zero changes nothing."""
    moving, still = (Parameter(torch.full((3,), 2.0)) for _ in range(2))
    groups = [{"params": [moving]}, {"params": [still], "lr": 0.0}]
    train(info.optim_cls(groups, lr=0.1, foreach=foreach))
    assert (moving != 2).all()
    assert (still == 2).all()


@every
def test_step_is_noop_when_params_have_no_grad(config: Config) -> None:
    optimizer = made(config, tensors(config))
    before = snapshot(optimizer)
    optimizer.step()
    assert snapshot(optimizer) == before


@every
def test_step_is_noop_for_zero_grads(config: Config) -> None:
    """Without weight decay, a gradient of zero changes nothing."""
    if config[1].get("weight_decay"):
        config = (config[0], config[1] | {"weight_decay": 0.0})
    params = tensors(config)
    before = [bits(param) for param in params]
    optimizer = made(config, params)
    for param in params:
        param.grad = torch.zeros_like(param)
    optimizer.step()
    assert [bits(param) for param in params] == before


@every
def test_grads_are_never_inplaced_into(config: Config) -> None:
    params = tensors(config)
    optimizer = train(made(config, params), steps=1)
    versions = [param.grad._version for param in params]
    optimizer.step()
    assert [param.grad._version for param in params] == versions
