"""`adamax_torch.Adamax` as a subject of the judge; loaded by the entry point ``torch`` alone."""

from typing import Any

from adamax_conformance.glue.torch import TorchBackend
from adamax_torch import Adamax


def backend(**variant: Any) -> TorchBackend:
    """The adapter with these arguments of its constructor, such as ``foreach=True``."""
    return TorchBackend(
        "torch",
        Adamax,
        offers=[
            "maximize", "weight_decay", "decoupled_weight_decay", "undecayed", "state_dtype",
            "load", "sparse", "placement",
        ],
        variant=variant,
    )  # fmt: skip
