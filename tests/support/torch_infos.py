"""PyTorch's own data base of optimizers drives these checks, with ours in the place of Adamax.

`torch.testing._internal.common_optimizers` says which configurations of which optimizer are valid,
which are errors and with which words, and which features there are. The checks are those that
PyTorch's suite makes of every entry, by its names, where the machine has what they need. The stock
entry runs through them too, so that a check is known to be theirs; configurations that stock takes
on accelerators alone, and its differentiable ones, are ours only.
"""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.testing._internal.common_optimizers import (
    OptimizerInfo,
    optim_db,
)

from adamax_torch import Adamax

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
