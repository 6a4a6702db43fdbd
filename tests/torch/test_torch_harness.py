"""PyTorch's own data base of optimizers drives these checks, with ours in the place of Adamax.

`torch.testing._internal.common_optimizers` says which configurations of which optimizer are valid,
which are errors and with which words, and which features there are. The checks are those that
PyTorch's suite makes of every entry, by its names, where the machine has what they need. The stock
entry runs through them too, so that a check is known to be theirs; configurations that stock takes
on accelerators alone, and its differentiable ones, are ours only.
"""

import copy
import io
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.testing._internal.common_optimizers import (
    OptimizerErrorEnum,
    OptimizerInfo,
    optim_db,
)

from adamax_torch import Adamax

Bits = Callable[[Tensor], bytes]
Snapshot = Callable[..., list[Any]]

STOCK: Any
(STOCK,) = (info for info in optim_db if info.name == "Adamax")
OURS: Any = OptimizerInfo(
    Adamax,  # type: ignore[arg-type]  # the data base types the class as an instance
    optim_inputs_func=STOCK.optim_inputs_func,
    optim_error_inputs_func=STOCK.optim_error_inputs_func,
    scheduler_inputs=STOCK.scheduler_inputs,
    supported_impls=STOCK.supported_impls,
    not_og_supported_flags=STOCK.not_og_supported_flags,
    supports_complex=STOCK.supports_complex,
    supports_param_groups=STOCK.supports_param_groups,
    has_capturable_arg=STOCK.has_capturable_arg,
)
INFOS = {"ours": OURS, "stock": STOCK}

Config = tuple[Any, dict[str, Any]]
"""An `OptimizerInfo`, which is not typed, and arguments of its class."""


def configurations(*, differentiable: bool = True) -> Iterator[Any]:
    """Every valid configuration, with none of the exclusive implementations and with each."""
    for name, info in INFOS.items():
        # Those for an accelerator are valid for ours everywhere.
        device = "cuda" if info is OURS else "cpu"
        for config in info.optim_inputs_func(device):
            impls = [impl for impl in info.supported_impls if impl != "differentiable"]
            if differentiable and info is OURS:
                impls.append("differentiable")
            for impl in (None, *impls):
                kwargs = {**copy.deepcopy(config.kwargs), **({impl: True} if impl else {})}
                yield pytest.param((info, kwargs), id=f"{name}-{config.desc}-{impl or 'loop'}")


every = pytest.mark.parametrize("config", list(configurations()))
in_place = pytest.mark.parametrize("config", list(configurations(differentiable=False)))
both = pytest.mark.parametrize("info", INFOS.values(), ids=INFOS)


def tensors(config: Config, *shapes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Any:
    """Seeded parameters; no leaves where the optimizer is differentiable, which steps none."""
    generator = torch.Generator().manual_seed(0)
    values = [
        torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes or ((3, 2), (4,))
    ]
    params = [Parameter(value) for value in values]
    return [param.clone() for param in params] if config[1].get("differentiable") else params


def made(config: Config, params: Any, **more: Any) -> Optimizer:
    info, kwargs = config
    # An lr that is a tensor belongs to one optimizer.
    optimizer: Optimizer = info.optim_cls(params, **copy.deepcopy(kwargs) | more)
    return optimizer


def train(optimizer: Optimizer, steps: int = 3, seed: int = 1) -> Optimizer:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for group in optimizer.param_groups:
            for param in group["params"]:
                param.grad = torch.randn(param.shape, generator=generator, dtype=param.dtype)
        optimizer.step()
    return optimizer


def trained(config: Config, **more: Any) -> Optimizer:
    return train(made(config, tensors(config), **more))


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
    """The loss of a small linear model falls, or rises where it is to."""
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
def test_tensor_lr(config: Config, shape: tuple[int, ...], snapshot: Snapshot) -> None:
    """Of one element, of any number of dimensions: the same as the number."""
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
def test_complex(config: Config, shape: tuple[int, ...], bits: Bits) -> None:
    """A complex parameter goes where the pair of its parts goes."""
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
def test_foreach_matches_forloop(
    info: Any, dtype: torch.dtype, index: int, snapshot: Snapshot
) -> None:
    config = (info, info.optim_inputs_func("cpu")[index].kwargs)
    shapes = [(3, 2), (4,), (0,), (), (2, 1, 2)]
    one, many = (
        train(made(config, tensors(config, *shapes, dtype=dtype), foreach=foreach))
        for foreach in (False, True)
    )
    assert snapshot(one) == snapshot(many)


@in_place
def test_set_default_dtype_works_with_foreach(config: Config, snapshot: Snapshot) -> None:
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
def test_foreach_mixed_device_dtype(config: Config, snapshot: Snapshot) -> None:
    """Several dtypes in one group are as each in an optimizer of its own."""
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
    """A group's own learning rate is its own; zero moves nothing."""
    moving, still = (Parameter(torch.full((3,), 2.0)) for _ in range(2))
    groups = [{"params": [moving]}, {"params": [still], "lr": 0.0}]
    train(info.optim_cls(groups, lr=0.1, foreach=foreach))
    assert (moving != 2).all()
    assert (still == 2).all()


@every
def test_step_is_noop_when_params_have_no_grad(config: Config, snapshot: Snapshot) -> None:
    optimizer = made(config, tensors(config))
    before = snapshot(optimizer)
    optimizer.step()
    assert snapshot(optimizer) == before


@every
def test_step_is_noop_for_zero_grads(config: Config, bits: Bits) -> None:
    """But for weight decay, a gradient of zero moves nothing."""
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


@every
def test_optimizer_can_be_printed(config: Config) -> None:
    text = repr(trained(config))
    assert text.startswith("Adamax (\nParameter Group 0\n")
    assert all(f"{option}: " in text for option in (*config[1], "lr", "betas", "eps"))


@in_place
@pytest.mark.parametrize("contiguous", [True, False])
def test_state_dict_deterministic(config: Config, contiguous: bool, snapshot: Snapshot) -> None:
    """A copy that loads the state goes on as the original does."""
    optimizer = trained(config)
    params = optimizer.param_groups[0]["params"]
    if not contiguous:
        for param in params:
            param.data = torch.stack([param.data, param.data], -1)[..., 0]
    twin = made(config, [Parameter(param.detach().clone()) for param in params])
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert snapshot(train(optimizer, seed=2)) == snapshot(train(twin, seed=2))


@in_place
def test_can_load_older_state_dict(config: Config, snapshot: Snapshot) -> None:
    """One that was saved before the flags of today were known."""
    optimizer = trained(config)
    old = copy.deepcopy(optimizer.state_dict())
    for group in old["param_groups"]:
        for flag in config[0].not_og_supported_flags:
            del group[flag]
    twin = made(
        config, [Parameter(p.detach().clone()) for p in optimizer.param_groups[0]["params"]]
    )
    twin.load_state_dict(old)
    assert set(optimizer.state_dict()["param_groups"][0]) == set(
        twin.state_dict()["param_groups"][0]
    )
    twin.param_groups[0].update({flag: optimizer.param_groups[0][flag] for flag in config[1]})
    assert snapshot(train(optimizer, seed=2)) == snapshot(train(twin, seed=2))


@in_place
@pytest.mark.parametrize("named", [(True, False), (False, True), (True, True)], ids=str)
def test_can_load_from_to_named_state_dict(
    config: Config, named: tuple[bool, bool], snapshot: Snapshot
) -> None:
    def parameters(params: Any, with_names: bool) -> Any:
        return list(zip("ab", params, strict=True)) if with_names else params

    source = train(made(config, parameters(tensors(config), named[0])))
    params = [Parameter(p.detach().clone()) for p in source.param_groups[0]["params"]]
    target = made(config, parameters(params, named[1]))
    target.load_state_dict(source.state_dict())
    assert snapshot(source) == snapshot(target)
    assert ("param_names" in target.param_groups[0]) == any(named)


@in_place
def test_save_load_equality_with_weights_only(config: Config) -> None:
    file = io.BytesIO()
    saved = trained(config).state_dict()
    torch.save(saved, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert repr(loaded) == repr(saved)


@in_place
def test_load_nontensor_step(config: Config, snapshot: Snapshot) -> None:
    optimizer = trained(config)
    params = [Parameter(p.detach().clone()) for p in optimizer.param_groups[0]["params"]]
    saved = copy.deepcopy(optimizer.state_dict())
    for slot in saved["state"].values():
        slot["step"] = slot["step"].item()
    twin = made(config, params)
    twin.load_state_dict(saved)
    assert all(torch.is_tensor(slot["step"]) for slot in twin.state.values())
    assert snapshot(train(optimizer, seed=2)) == snapshot(train(twin, seed=2))


@in_place
def test_deepcopy_copies_all_public_attrs(config: Config) -> None:
    optimizer = trained(config)
    twin: Any = copy.deepcopy(optimizer)
    for name in (name for name in vars(optimizer) if not name.startswith("_")):
        assert repr(getattr(twin, name)) == repr(getattr(optimizer, name))
    with pytest.raises(AttributeError):
        twin.no_such_attribute  # noqa: B018 - asking is the test


@every
def test_non_empty_state(config: Config) -> None:
    optimizer = trained(config)
    assert all(
        torch.is_tensor(value) and value.numel()
        for slot in optimizer.state.values()
        for value in slot.values()
    )
    assert len(optimizer.state) == 2


# Hooks


@both
def test_step_pre_hook(info: Any) -> None:
    """It sees the arguments and may change them."""
    optimizer = info.optim_cls([Parameter(torch.ones(1))])
    seen = []

    def replaces(_: Optimizer, args: Any, kwargs: Any) -> Any:
        seen.append((args, kwargs))
        return (*args, lambda: torch.tensor(7.0)), kwargs

    handle = optimizer.register_step_pre_hook(replaces)
    assert optimizer.step() == 7
    handle.remove()
    assert optimizer.step() is None
    assert len(seen) == 1


@both
def test_step_post_hook(info: Any) -> None:
    param = Parameter(torch.ones(1))
    optimizer = info.optim_cls([param], lr=0.5)
    seen: list[float] = []
    handle = optimizer.register_step_post_hook(lambda *_: seen.append(param.item()))
    train(optimizer, steps=1)
    assert seen == [param.item()]
    assert seen != [1.0]
    handle.remove()
    train(optimizer, steps=1)
    assert len(seen) == 1


@both
def test_step_all_hooks(info: Any) -> None:
    """Those of all optimizers around those of this one."""
    optimizer = info.optim_cls([Parameter(torch.ones(1))])
    calls: list[str] = []

    def note(what: str) -> Callable[..., None]:
        return lambda *_: calls.append(what)

    handles = [
        register_optimizer_step_pre_hook(note("global before")),
        register_optimizer_step_post_hook(note("global after")),
        optimizer.register_step_pre_hook(note("before")),
        optimizer.register_step_post_hook(note("after")),
    ]
    optimizer.step()
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert calls == ["global before", "before", "after", "global after"]


@both
@pytest.mark.parametrize("prepend", [False, True])
def test_state_dict_hooks(info: Any, prepend: bool) -> None:
    """Before and after saving, in the order asked for; what one returns is what is saved."""
    optimizer = info.optim_cls([Parameter(torch.ones(1))], lr=0.5)
    calls: list[str] = []
    handles = [
        optimizer.register_state_dict_pre_hook(lambda _: calls.append("first")),
        optimizer.register_state_dict_pre_hook(lambda _: calls.append("second"), prepend=prepend),
        optimizer.register_state_dict_post_hook(lambda _, saved: saved | {"by": "first"}),
        optimizer.register_state_dict_post_hook(
            lambda _, saved: saved | {"by": "second"}, prepend=prepend
        ),
    ]
    assert optimizer.state_dict()["by"] == ("first" if prepend else "second")
    assert calls == (["second", "first"] if prepend else ["first", "second"])
    for handle in handles:
        handle.remove()
    assert "by" not in optimizer.state_dict()
    assert len(calls) == 2


@both
@pytest.mark.parametrize("prepend", [False, True])
def test_load_state_dict_pre_hooks(info: Any, prepend: bool) -> None:
    """What they return is what is loaded; the last one has the last word."""
    optimizer = info.optim_cls([Parameter(torch.ones(1))])

    def sets(lr: float) -> Callable[..., Any]:
        def hook(_: Optimizer, saved: Any) -> Any:
            saved = copy.deepcopy(saved)
            saved["param_groups"][0]["lr"] = lr
            return saved

        return hook

    handles = [
        optimizer.register_load_state_dict_pre_hook(sets(0.25)),
        optimizer.register_load_state_dict_pre_hook(sets(0.5), prepend=prepend),
    ]
    given = optimizer.state_dict()
    optimizer.load_state_dict(given)
    assert optimizer.param_groups[0]["lr"] == (0.25 if prepend else 0.5)
    assert given["param_groups"][0]["lr"] == 2e-3
    for handle in handles:
        handle.remove()
    optimizer.load_state_dict(given)
    assert optimizer.param_groups[0]["lr"] == 2e-3


@both
@pytest.mark.parametrize("prepend", [False, True])
def test_load_state_dict_post_hooks(info: Any, prepend: bool) -> None:
    source, target = (trained((info, {})) for _ in range(2))
    calls: list[str] = []

    def note(name: str) -> Callable[[Optimizer], None]:
        # The state is there already.
        return lambda optimizer: calls.append(f"{name} {len(optimizer.state)}")

    handles = [
        target.register_load_state_dict_post_hook(note("first")),
        target.register_load_state_dict_post_hook(note("second"), prepend=prepend),
    ]
    target.load_state_dict(source.state_dict())
    assert calls == (["second 2", "first 2"] if prepend else ["first 2", "second 2"])
    for handle in handles:
        handle.remove()
    target.load_state_dict(source.state_dict())
    assert len(calls) == 2
