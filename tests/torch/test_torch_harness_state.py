"""PyTorch's own checks of every optimizer: printing, copies, state dicts; see `torch_infos`."""

import copy
import io
from typing import Any

import pytest
import torch
from torch.nn import Parameter

from torch_infos import Config, every, in_place, made, tensors, train, trained
from torch_steps import snapshot


@every
def test_optimizer_can_be_printed(config: Config) -> None:
    text = repr(trained(config))
    assert text.startswith("Adamax (\nParameter Group 0\n")
    assert all(f"{option}: " in text for option in (*config[1], "lr", "betas", "eps"))


@in_place
@pytest.mark.parametrize("contiguous", [True, False])
def test_state_dict_deterministic(config: Config, contiguous: bool) -> None:
    """A copy that loads the state continues as the original does."""
    optimizer = trained(config)
    params = optimizer.param_groups[0]["params"]
    if not contiguous:
        for param in params:
            param.data = torch.stack([param.data, param.data], -1)[..., 0]
    twin = made(config, [Parameter(param.detach().clone()) for param in params])
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert snapshot(train(optimizer, seed=2)) == snapshot(train(twin, seed=2))


@in_place
def test_can_load_older_state_dict(config: Config) -> None:
    """A state dict without newer flags loads."""
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
def test_can_load_from_to_named_state_dict(config: Config, named: tuple[bool, bool]) -> None:
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
def test_load_nontensor_step(config: Config) -> None:
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
