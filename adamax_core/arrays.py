"""Conversion of arrays to the form that the rule computes in, and back.

Half precision is computed in float32 and stored once (N-1); a complex array is an array of pairs of
reals (A-9). Arrays are NumPy's, object arrays included, or real ones of the array API standard.
"""

from functools import reduce
from typing import Any

import numpy as np

Array = Any


def as_array(leaf: Any) -> Array:
    """The leaf itself if it is an array of any library, else a NumPy array of it."""
    return leaf if hasattr(leaf, "__array_namespace__") else np.asarray(leaf)


def kind(array: Array) -> str:
    """``"real"``, ``"complex"``, ``"rational"`` (any Python objects) or ``"other"``.

    >>> kind(np.zeros(2, np.float16)), kind(np.zeros(2, np.complex64)), kind(np.zeros(2, int))
    ('real', 'complex', 'other')
    """
    if isinstance(array, np.ndarray | np.generic):
        if array.dtype == object:
            return "rational"
        if array.dtype.kind == "c":
            return "complex"
        # The floats of ml_dtypes have NumPy's kind V; unlike other kind V they promote to float32.
        return "real" if array.dtype.kind in "fV" and _promotes_to_float(array.dtype) else "other"
    xp = array.__array_namespace__()
    if xp.isdtype(array.dtype, "complex floating"):
        return "complex"
    return "real" if xp.isdtype(array.dtype, "real floating") else "other"


def _promotes_to_float(dtype: np.dtype[Any]) -> bool:
    try:
        return bool(np.promote_types(dtype, np.float32).kind == "f")
    except TypeError:
        return False


def require_real_dtype(dtype: Any) -> None:
    """Raise unless this dtype, of NumPy or of the array API standard, can store moments.

    Raises:
        TypeError: it is neither a real floating-point dtype nor the name of one.

    >>> require_real_dtype(np.int64)
    Traceback (most recent call last):
    TypeError: state_dtype = int64 is not a real floating-point dtype, or the name of one
    """
    try:
        name = np.dtype(dtype).name
        real = kind(np.zeros(0, dtype)) == "real"
    except TypeError as error:
        name = str(dtype)
        if dtype == "bfloat16":
            raise TypeError(
                "state_dtype = bfloat16 is not known to NumPy: `import ml_dtypes` first"
            ) from error
        real = not isinstance(dtype, str) and "float" in name and "complex" not in name
    if not real:
        raise TypeError(
            f"state_dtype = {name} is not a real floating-point dtype, or the name of one"
        )


def widen(*arrays: Array) -> tuple[Array, ...]:
    """Real arrays in one dtype of at least float32; complex ones as pairs on a new last axis."""
    xp = arrays[0].__array_namespace__()
    # Promote pairwise, starting at float32: float16 and bfloat16 alone have no common dtype.
    dtype = reduce(xp.result_type, (array.dtype for array in arrays), xp.float32)
    widened = (xp.astype(xp.asarray(array), dtype, copy=False) for array in arrays)
    if kind(arrays[0]) != "complex":
        return tuple(widened)
    if xp is not np:
        raise TypeError(
            f"complex arrays of {xp.__name__} are not supported: pass NumPy arrays, or the real "
            "and imaginary parts as two leaves"
        )
    return tuple(np.stack([array.real, array.imag], axis=-1) for array in widened)


def narrow(array: Array, like: Array) -> Array:
    """The inverse of `widen`: round once to the dtype of `like`, and rejoin pairs."""
    xp = like.__array_namespace__()
    if kind(like) == "complex":
        # A view, since adding `imag * 1j` would turn infinities into NaN.
        joined = np.ascontiguousarray(array).view(np.result_type(array.dtype, np.complex64))
        array = joined[..., 0]
    return xp.astype(xp.asarray(array), like.dtype, copy=False)


def zeros(like: Array, dtype: Any = None) -> Array:
    """Zeros in the shape of `like`; for a complex array `dtype` is the real dtype of the parts."""
    xp = like.__array_namespace__()
    if isinstance(dtype, str) and xp is not np:
        dtype = getattr(xp, dtype)
    if dtype is not None and kind(like) == "complex":
        dtype = np.result_type(dtype, np.complex64)
    return xp.zeros_like(like, dtype=dtype)
