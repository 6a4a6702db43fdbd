"""Lengths: indices and tables that end before the data do (S-9)."""

from typing import Any

from adamax_conformance.variants.tails import left_out
from adamax_conformance.variants.variant import BASE, Family

FAMILY = Family("lengths", "lengths of indices and tables", ("float32",))
"""An index knows nothing of the dtype of what it points to, so that one dtype shows it."""

_TABLE = 110
_CHUNK = 2**15


@FAMILY.wrong_one("beyond-sixteen-bits-forgotten", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """An index of sixteen bits: what is beyond 65,536 elements is not reached."""
    return left_out(p, g, s, hp, lambda i: i >= 2**16)


@FAMILY.wrong_one("tensors-after-the-first-launch-skipped", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """A kernel that is launched once, with a table of 110 tensors."""
    stepped, new = BASE.step(p, g, s, hp)
    return {k: v if i < _TABLE else p[k] for i, (k, v) in enumerate(stepped.items())}, new


@FAMILY.wrong_one("boundary-of-large-chunks-stepped-twice", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Chunks of 2^15 elements that overlap by one, whose element is stepped in both."""
    stepped, new = BASE.step(p, g, s, hp)
    again, _ = BASE.step(stepped, g, new, hp)
    for k, param in stepped.items():
        if param.ndim == 1 and param.size > _CHUNK:
            param[_CHUNK::_CHUNK] = again[k][_CHUNK::_CHUNK]
    return stepped, new
