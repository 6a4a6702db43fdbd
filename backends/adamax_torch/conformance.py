"""`adamax_torch.Adamax` as a subject of the judge; loaded through the entry point ``torch`` alone."""

from typing import Any

from adamax_conformance import FunctionalBackend
from adamax_conformance.glue.torch import torch_backend
from adamax_torch import Adamax


def backend(**variant: Any) -> FunctionalBackend:
    """The adapter with these arguments of its constructor, such as ``foreach=True``."""
    features = [
        "maximize", "weight_decay", "decoupled_weight_decay", "undecayed", "state_dtype", "load",
        "sparse", "placement", *(["vjp"] if variant.get("differentiable") else []),
    ]  # fmt: skip
    options = "&".join(f"{key}={str(value).lower()}" for key, value in variant.items())
    return torch_backend(
        f"torch?{options}" if options else "torch", Adamax, features=features, **variant
    )
