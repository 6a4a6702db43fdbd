"""Adamax in one pass over memory, in place, for NumPy arrays and CPU tensors (docs/spec.md)."""

from adamax_core import __version__
from adamax_fused.step import init, step_

__all__ = ["__version__", "init", "step_"]
