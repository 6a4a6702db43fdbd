"""Lengths: indices and tables too short for the data (S-9)."""

from typing import Any

from adamax_conformance.variants.tails import first_alone, left_out, stepped_twice
from adamax_conformance.variants.variant import Family

FAMILY = Family("lengths", "lengths of indices and tables", ("float32",))
"""One dtype is enough, since an index does not depend on the dtype of the data."""


@FAMILY.wrong_one("beyond-sixteen-bits-forgotten", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """An index of sixteen bits: what is beyond 65,536 elements is not reached."""
    return left_out(p, g, s, hp, lambda i: i >= 2**16)


@FAMILY.wrong_one("tensors-after-the-first-launch-skipped", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """A kernel that is launched once, with a table of 110 tensors."""
    return first_alone(p, g, s, hp, 110)


@FAMILY.wrong_one("boundary-of-large-chunks-stepped-twice", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Chunks of 2^15 elements that overlap by one, whose element is stepped in both."""
    return stepped_twice(p, g, s, hp, lambda i: (i > 0) & (i % 2**15 == 0))
