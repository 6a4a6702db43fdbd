"""Hypothesis strategies for arrays: any shape, any layout, any magnitude of a format.

Arrays of up to `FEW` elements are drawn number by number, so that Hypothesis can shrink each.
Longer ones repeat `PERIOD` numbers from a drawn seed: their length matters, and repeated numbers
need one bound each.
"""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from adamax_conformance.spec.formats import dtype_of, format_of
from adamax_conformance.subject.memory import LAYOUTS, laid_out

FEW = 8
LONG = 70_000
"""Largest length that is drawn evenly."""
LARGEST = 2**20 + 2
"""Largest length of all: beside a power of two."""
PERIOD = 61
"""Not a power of two, so that the period does not match the block of a kernel."""

KINDS = ("plain", "plain", "plain", "wide", "wide", "tiny", "huge", "special")
"""Ordinary numbers; all exponents; near the smallest normal number; near the largest; with NaN."""

_NOT_NUMBERS = (float("nan"), float("inf"), float("-inf"))


def shapes(largest: int = LARGEST) -> st.SearchStrategy[tuple[int, ...]]:
    """Strategy for shapes: 0-d, empty, short, boxes, any length up to `LONG`, ends of blocks.

    None has more than `largest` elements.
    """
    most = max(2, largest.bit_length() - 1)
    exponents = st.one_of(st.integers(2, min(most, 11)), st.integers(2, most))
    blocks = st.builds(_beside, exponents, st.integers(-1, 2)).filter(lambda n: n <= largest)
    deep = st.lists(st.sampled_from((1, 1, 2)), min_size=4, max_size=8).map(tuple)
    fits = deep.filter(lambda shape: math.prod(shape) <= largest)
    largest = min(largest, LONG)
    side = int(largest**0.5)
    return st.one_of(
        st.integers(0, FEW).map(lambda n: (n,)),
        st.just(()),
        st.lists(st.integers(0, 3), min_size=2, max_size=3).map(tuple),
        st.integers(FEW + 1, max(FEW + 1, largest // 64)).map(lambda n: (n,)),
        st.integers(1, largest).map(lambda n: (n,)),
        st.tuples(st.integers(1, side), st.integers(1, side)),
        fits,
        blocks.map(lambda n: (n,)),
    )


def _beside(exponent: int, more: int) -> int:
    """Return a multiple of a block, or a number beside it: there loops and grids end."""
    return int(2**exponent) + more


def kinds() -> st.SearchStrategy[str]:
    """Strategy for the kind of numbers in an array, one of `KINDS`."""
    return st.sampled_from(KINDS)


@st.composite
def arrays(draw: st.DrawFn, dtype: str, shape: tuple[int, ...], kind: str | None = None) -> Any:
    """Draw an array of this dtype and shape.

    Args:
        draw: the function that Hypothesis passes.
        dtype: one of `adamax_conformance.DTYPES`.
        shape: shape of the array.
        kind: kind of its numbers, one of `KINDS`; drawn when None.
    """
    kind = draw(kinds()) if kind is None else kind
    target = dtype_of(dtype)
    size = int(np.prod(shape))
    # A complex number is two reals.
    parts = (*shape, 2) if target.kind == "c" else shape
    if size <= FEW:
        count = int(np.prod(parts))
        numbers = draw(st.lists(_numbers(dtype, kind), min_size=count, max_size=count))
        reals = np.array(numbers, np.float64)
    else:
        reals = _filled(draw, dtype, kind, int(np.prod(parts)))
    stored = _rounded(reals, dtype).reshape(parts)
    array = stored.view(target)[..., 0] if target.kind == "c" else stored
    return laid_out(array, draw(st.sampled_from(LAYOUTS)))


def _rounded(reals: Any, dtype: str) -> Any:
    """Round to the format; finite numbers stay finite."""
    format_ = format_of(dtype)
    largest = float(format_.largest)
    clipped = np.where(np.isfinite(reals), np.clip(reals, -largest, largest), reals)
    return clipped.astype(format_.dtype)


def _numbers(dtype: str, kind: str) -> st.SearchStrategy[float]:
    """Strategy for one number of this kind; for bfloat16, a float32 to round."""
    format_ = format_of(dtype)
    width: Any = 32 if format_.name == "bfloat16" else 8 * format_.dtype.itemsize
    normal, largest = float(format_.normal), float(format_.largest)
    plain = st.floats(-8, 8, width=width)
    match kind:
        case "plain":
            return plain
        case "wide":
            return st.floats(-largest, largest, width=width)
        case "tiny":
            return st.floats(-4 * normal, 4 * normal, width=width)
        case "huge":
            return st.floats(largest / 4, largest, width=width).flatmap(_either_sign)
        case _:
            return st.one_of(plain, st.sampled_from(_NOT_NUMBERS))


def _either_sign(number: float) -> st.SearchStrategy[float]:
    return st.sampled_from((number, -number))


def _filled(draw: st.DrawFn, dtype: str, kind: str, size: int) -> Any:
    """Draw a seed and make many numbers of this kind from it; an eighth are zero."""
    format_ = format_of(dtype)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lowest = math.frexp(float(format_.normal))[1] - 5
    highest = math.frexp(float(format_.largest))[1] - 1
    first, last = {
        "wide": (lowest, highest),
        "tiny": (lowest, lowest + 8),
        "huge": (highest - 2, highest),
    }.get(kind, (-4, 4))
    mantissas = rng.uniform(1, 2, PERIOD) * rng.choice([-1, 1], PERIOD)
    reals = np.ldexp(mantissas, rng.integers(first, last + 1, PERIOD).astype(np.int32))
    reals[rng.random(PERIOD) < 1 / 8] = 0
    reals = np.resize(reals, size)
    if kind == "special":
        for _ in range(draw(st.integers(1, 3))):
            reals[draw(st.integers(0, size - 1))] = draw(st.sampled_from(_NOT_NUMBERS))
    return reals
