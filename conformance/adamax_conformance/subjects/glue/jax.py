"""The precision of JAX, for the subjects that run on it."""

from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np

from adamax_conformance.subject.backend import Arrays


def precision(params: Arrays) -> AbstractContextManager[Any]:
    """Return a context in which JAX computes in 64 bits if a parameter has them."""
    wide = any(np.asarray(p).dtype in (np.float64, np.complex128) for p in params.values())
    context: AbstractContextManager[Any] = jax.enable_x64(wide)
    return context
