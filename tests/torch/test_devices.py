"""No path depends on a device: nothing is read back from one, where that would wait for it.

There is no accelerator where these tests run. A mode raises when a tensor's value is read;
tensors on ``meta`` and fake ones have none to read.
"""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch.nn import Parameter
from torch.utils._python_dispatch import TorchDispatchMode

from adamax_torch import Adamax, functional
from torch_steps import snapshot

READS = {
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.equal.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.is_nonzero.default,
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"foreach": True},
    {"weight_decay": 0.1, "maximize": True},
    {"weight_decay": 0.1, "decoupled_weight_decay": True, "foreach": True},
]


class Unread(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own hook
    """Fails when the value of a tensor is read."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        del types
        if func in READS:
            raise AssertionError(f"{func} reads a value")
        return func(*args, **(kwargs or {}))


@pytest.fixture
def unread() -> Unread:
    return Unread()  # type: ignore[no-untyped-call]


def parameters(device: str = "cpu") -> list[Parameter]:
    dtypes = (torch.float32, torch.float16, torch.complex64)
    params = [Parameter(torch.ones(3, dtype=dtype, device=device)) for dtype in dtypes]
    for param in params:
        param.grad = torch.ones_like(param)
    return params


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_capturable_step_reads_nothing(options: dict[str, Any], unread: Unread) -> None:
    """Hyperparameters are numbers, or tensors on the device, which are not read either."""
    optimizer = Adamax(parameters(), capturable=True, **options)
    with unread:
        optimizer.step()
        optimizer.step()
    assert [slot["step"].item() for slot in optimizer.state.values()] == [2, 2, 2]


def test_the_mode_notices_a_read(unread: Unread) -> None:
    with unread, pytest.raises(AssertionError, match="reads a value"):
        Adamax(parameters(), foreach=True).step()


def test_the_pure_functions_read_nothing(unread: Unread) -> None:
    params = {str(i): param.detach() for i, param in enumerate(parameters())}
    with unread:
        functional.step(params, params, functional.init(params), functional.Hyperparameters())


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("tensors", [False, True], ids=["numbers", "tensors"])
def test_meta_tensors_step(options: dict[str, Any], tensors: bool) -> None:
    """State, count and hyperparameters are on the device of the parameter."""

    def number(value: float) -> Any:
        return torch.tensor(value, device="meta") if tensors else value

    optimizer = Adamax(
        parameters("meta"), number(0.5), (number(0.9), number(0.999)), capturable=True, **options
    )
    optimizer.step()
    optimizer.step()
    devices = {value.device for slot in optimizer.state.values() for value in slot.values()}
    assert devices == {torch.device("meta")}


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("capturable", [False, True])
def test_one_group_may_be_on_several_devices(foreach: bool, capturable: bool) -> None:
    """The state of each parameter is on its device (S-11)."""
    here, there = parameters(), parameters("meta")
    optimizer = Adamax([*here, *there], foreach=foreach, capturable=capturable)
    alone = parameters()
    for each in (optimizer, Adamax(alone, foreach=foreach, capturable=capturable)):
        each.step()
        each.step()
    assert all(torch.equal(param, same) for param, same in zip(here, alone, strict=True))
    assert {optimizer.state[param]["exp_inf"].device.type for param in there} == {"meta"}


@pytest.mark.parametrize("foreach", [False, True])
def test_the_default_device_is_not_used(foreach: bool) -> None:
    params = parameters()
    optimizer = Adamax(params, betas=(0.9, 0.5), capturable=True, foreach=foreach)
    with torch.device("meta"):
        optimizer.step()
    assert {param.device.type for param in params} == {"cpu"}
    assert all(param[0] != 1 for param in params)


def test_the_count_is_on_the_cpu_unless_capturable() -> None:
    optimizer = Adamax(parameters("meta"))
    optimizer.step()
    slot = optimizer.state[optimizer.param_groups[0]["params"][0]]
    assert (slot["step"].device.type, slot["exp_inf"].device.type) == ("cpu", "meta")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("capturable", [False, True])
def test_fake_tensors_step(options: dict[str, Any], capturable: bool) -> None:
    with torch._subclasses.FakeTensorMode():
        lr: Any = torch.ones(()) if capturable else 0.5
        optimizer = Adamax(parameters(), lr, capturable=capturable, **options)
        optimizer.step()
        optimizer.step()
        shapes = {slot["exp_avg"].shape for slot in optimizer.state.values()}
    assert shapes == {(3,)}


def test_a_loaded_count_moves_to_the_capturable_device() -> None:
    """A state saved from the CPU loads into a capturable optimizer, and back."""
    host, device = Adamax(parameters()), Adamax(parameters("meta"), capturable=True)
    host.step()
    saved = host.state_dict()
    saved["param_groups"][0]["capturable"] = True
    device.load_state_dict(saved)
    devices = {value.device for slot in device.state.values() for value in slot.values()}
    assert devices == {torch.device("meta")}
    assert len(snapshot(host)) == 12
