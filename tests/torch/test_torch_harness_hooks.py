"""PyTorch's own checks of every optimizer: its hooks; see `torch_infos`."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from torch_infos import both, train, trained


@both
def test_step_pre_hook(info: Any) -> None:
    """The hook receives the arguments and may change them."""
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
    """Global hooks run before and after the hooks of this optimizer."""
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
    """Hooks run before and after saving, in the requested order; a returned dict is saved."""
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
    """The state that the last hook returns is loaded."""
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
