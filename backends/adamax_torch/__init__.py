"""The Adamax specification for PyTorch: `Adamax`, a drop-in optimizer, and pure `functional`.

The rule is in `adamax_torch.rule` for one tensor and in `adamax_torch.foreach` for many.
"""

from adamax_core import __version__
from adamax_torch import functional
from adamax_torch.optimizer import Adamax

__all__ = ["Adamax", "__version__", "functional"]
