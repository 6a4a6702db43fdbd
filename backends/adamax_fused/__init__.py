"""Adamax in one pass over memory, in place, for NumPy arrays and CPU tensors (docs/spec.md)."""

from adamax_fused.step import init, step_

__all__ = ["init", "step_"]
