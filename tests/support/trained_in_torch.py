"""A training in PyTorch of two groups, whose parameters have taken different numbers of steps."""

from collections.abc import Mapping
from typing import Any

import torch

from adamax_checkpoint.torch import to_numpy
from adamax_core import Hyperparameters
from adamax_torch import Adamax

SLOW, FAST = Hyperparameters(1e-4, (0.8, 0.99), 1e-6, 0.25), Hyperparameters(0.1, maximize=True)
SHAPES = {"encoder.0.w": (2, 3), "encoder.1.w": (3,), "scale": (), "none": (0, 2)}


def trained(dtype: str, make: Any = Adamax) -> tuple[dict[str, torch.Tensor], Any]:
    """Two groups; each parameter has had another number of gradients, the first is the most."""
    rng = torch.Generator().manual_seed(3)
    kind = getattr(torch, dtype)
    params = {
        name: torch.randn(shape, generator=rng, dtype=torch.complex128).to(kind)
        if kind.is_complex
        else torch.randn(shape, generator=rng).to(kind)
        for name, shape in SHAPES.items()
    }
    names = list(params)
    groups = [
        {"params": [params[name] for name in some], **options(hp)}
        for some, hp in ((names[:2], SLOW), (names[2:], FAST))
    ]
    optimizer = make(groups)
    for count in range(4):
        for index, (name, param) in enumerate(params.items()):
            param.grad = None if count and count < index else torch.ones_like(params[name]) * count
        optimizer.step()
    return params, optimizer


def options(hp: Hyperparameters) -> dict[str, Any]:
    return {name: getattr(hp, name) for name in ("lr", "betas", "eps", "weight_decay", "maximize")}


def raw(state_dict: Mapping[str, Any]) -> dict[Any, list[Any]]:
    """The slots, to the last bit."""
    return {
        key: [
            int(slot["step"]),
            *(
                (slot[part].dtype, to_numpy(slot[part]).tobytes())
                for part in ("exp_avg", "exp_inf")
            ),
        ]
        for key, slot in state_dict["state"].items()
    }
