"""`adamax_torch.Adamax` as a subject of the judge; loaded through the entry point ``torch`` alone."""

from typing import Any

from adamax_conformance import FunctionalBackend
from adamax_conformance.glue.torch import torch_backend
from adamax_torch import Adamax


def backend(**variant: Any) -> FunctionalBackend:
    """The adapter with these arguments of its constructor, such as ``foreach=True``."""
    return torch_backend(
        "torch",
        Adamax,
        features=[
            "maximize", "weight_decay", "decoupled_weight_decay", "undecayed", "state_dtype",
            "load", "sparse", "placement",
        ],
        **variant,
    )  # fmt: skip
