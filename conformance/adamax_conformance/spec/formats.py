"""The floating-point formats that are judged: unit roundoff, range and underflow of each."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from gmpy2 import mpq


@dataclass(frozen=True)
class Format:
    """A binary floating-point format.

    Attributes:
        name: NumPy's name of the dtype of reals.
        dtype: that dtype.
        unit: unit roundoff, half the distance from 1 to the next number.
        normal: the smallest normal number; below it a result has fewer digits, or none.
        underflow: the largest error of a result below `normal`. It is `normal` itself, since
            hardware may flush to zero, except in float16: there it is the smallest subnormal,
            since float16 is computed in float32 and never flushed.
        largest: the largest finite number.
        reach: the largest finite number of the format used to compute, at least float32 (N-1).
    """

    name: str
    dtype: np.dtype[Any]
    unit: mpq
    normal: mpq
    underflow: mpq
    largest: mpq
    reach: mpq


def _format(name: str, scalar: type, *, flushed: bool) -> Format:
    info: Any = ml_dtypes.finfo(scalar)  # type: ignore[no-untyped-call]  # not typed
    smallest = info.smallest_normal if flushed else info.smallest_subnormal
    return Format(
        name=name,
        dtype=np.dtype(scalar),
        unit=mpq(float(info.eps)) / 2,
        normal=mpq(float(info.smallest_normal)),
        underflow=mpq(float(smallest)),
        largest=mpq(float(info.max)),
        reach=mpq(float(max(info.max, np.finfo(np.float32).max))),
    )


FLOAT16 = _format("float16", np.float16, flushed=False)
BFLOAT16 = _format("bfloat16", ml_dtypes.bfloat16, flushed=True)
FLOAT32 = _format("float32", np.float32, flushed=True)
FLOAT64 = _format("float64", np.float64, flushed=True)

FLOATS = ("float16", "bfloat16", "float32", "float64")
COMPLEX = ("complex64", "complex128")
DTYPES = FLOATS + COMPLEX
WITH_COMPLEX = (*FLOATS, "complex64")

_FORMATS = {format_.name: format_ for format_ in (FLOAT16, BFLOAT16, FLOAT32, FLOAT64)}
_FORMATS |= {"complex64": FLOAT32, "complex128": FLOAT64}


def format_of(dtype: Any) -> Format:
    """Return the format of a dtype or of its name; for a complex dtype, that of its parts.

    >>> format_of("complex64").name, format_of(np.dtype(np.float16)).unit
    ('float32', mpq(1,2048))
    """
    return _FORMATS[dtype if isinstance(dtype, str) else np.dtype(dtype).name]


def dtype_of(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype of a name, bfloat16 included."""
    return np.dtype(name) if name in COMPLEX else _FORMATS[name].dtype


def computed_in(format_: Format) -> Format:
    """Return the format of scalars and intermediate results: at least float32 (N-1)."""
    return min((format_, FLOAT32), key=lambda each: each.unit)


def coarser(formats: Iterable[Format]) -> Format:
    """Return the format with the largest unit roundoff."""
    return max(formats, key=lambda format_: format_.unit)
