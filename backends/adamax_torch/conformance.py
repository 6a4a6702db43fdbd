"""`adamax_torch.Adamax` as a subject of the judge; loaded by the entry point ``torch`` alone."""

from adamax_conformance.glue.torch import TorchBackend, chosen
from adamax_torch import Adamax


def backend(
    *, foreach: bool | None = None, differentiable: bool = False, capturable: bool = False
) -> TorchBackend:
    """The adapter with these arguments of its constructor."""
    return TorchBackend(
        "torch",
        Adamax,
        offers=[
            "maximize", "weight_decay", "decoupled_weight_decay", "undecayed", "state_dtype",
            "load", "sparse", "placement",
        ],
        variant=chosen(foreach=foreach, differentiable=differentiable, capturable=capturable),
    )  # fmt: skip
