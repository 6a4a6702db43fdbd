"""Adamax state in one file that every framework can read: `Checkpoint`, `save`, `load`.

A checkpoint is data: NumPy arrays by the names of parameters, and hyperparameters by group. It is
saved as a safetensors file (docs/checkpoint.md describes it), without pickle.
"""

from adamax_checkpoint.checkpoint import Checkpoint, CheckpointError, Group, NotVerifiedError
from adamax_checkpoint.file import load, save

__all__ = ["Checkpoint", "CheckpointError", "Group", "NotVerifiedError", "load", "save"]
