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


@FAMILY.wrong_one("beyond-seventeen-bits-forgotten", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """A grid of 512 blocks of 256 threads: what is beyond 131,072 elements is not reached."""
    return left_out(p, g, s, hp, lambda i: i >= 2**17)


@FAMILY.wrong_one("tensors-beyond-a-byte-skipped", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Numbers the tensors in a byte."""
    return first_alone(p, g, s, hp, 256)


@FAMILY.wrong_one("last-of-several-blocks-forgotten", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """All blocks of 1024 but the last, where there are several and nothing is left over."""
    whole = 2**10
    return left_out(
        p, g, s, hp, lambda i: (i.size % whole == 0) & (i.size > whole) & (i >= i.size - whole)
    )
