"""The Adamax specification for PyTorch: a drop-in `Adamax`.

The rule is in `adamax_torch.rule` for one tensor and in `adamax_torch.foreach` for many.
"""

from adamax_torch.optimizer import Adamax

__all__ = ["Adamax"]
