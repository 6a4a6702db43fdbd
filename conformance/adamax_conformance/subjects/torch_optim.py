"""`torch.optim.Adamax`, the one that ships with PyTorch."""

from typing import Any

from torch.optim import Adamax

from adamax_conformance.backend import FunctionalBackend
from adamax_conformance.glue.torch import torch_backend


def backend(**variant: Any) -> FunctionalBackend:
    """The stock optimizer with these arguments of its constructor, such as ``foreach=True``."""
    features = [
        "maximize", "weight_decay", "undecayed", "load", "sparse", "placement",
        *(["vjp"] if variant.get("differentiable") else []),
    ]  # fmt: skip
    options = "&".join(f"{key}={str(value).lower()}" for key, value in variant.items())
    return torch_backend(
        f"torch.optim?{options}" if options else "torch.optim",
        Adamax,
        features=features,
        **variant,
    )
