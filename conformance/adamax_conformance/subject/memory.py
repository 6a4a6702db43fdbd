"""Memory layout of arrays, and copies that keep it: a strided input stays strided."""

from collections.abc import Mapping
from typing import Any

import numpy as np

LAYOUTS = ("C", "F", "strided")
"""Row-major, column-major, or with a gap after each element."""


def layout_of(array: Any) -> str:
    """Return the layout of an array, one of `LAYOUTS`.

    >>> layout_of(np.zeros((2, 3))), layout_of(np.zeros((2, 3)).T), layout_of(np.zeros(6)[::2])
    ('C', 'F', 'strided')
    """
    if array.flags.c_contiguous:
        return "C"
    return "F" if array.flags.f_contiguous else "strided"


def laid_out(array: Any, layout: str) -> Any:
    """Return a copy of the array in this layout.

    >>> laid_out(np.arange(3), "strided").strides
    (16,)
    """
    if layout != "strided" or not array.ndim:
        return np.array(array, order="F" if layout == "F" else "C")
    room = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    view = room[..., ::2]
    view[...] = array
    return view


def copies(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return copies that keep the layout of each array, with its axes in any order and direction.

    >>> turned = np.zeros((2, 3, 4)).transpose(1, 2, 0)[::-1]
    >>> copies({"w": turned})["w"].strides == turned.strides
    True
    >>> copies({"w": np.broadcast_to(1.0, (2, 3))})["w"].strides
    (0, 0)
    """
    return {name: _copy(array) for name, array in arrays.items()}


def _copy(array: Any) -> Any:
    if not array.ndim:
        return array.copy()  # an index makes a scalar of it
    signs = [np.sign(stride) for stride in array.strides]
    turn = tuple(slice(None, None, -1 if sign < 0 else 1) for sign in signs)
    forward = array[turn]
    # One element stands for all along an axis whose stride is zero.
    once = forward[tuple(slice(None, None if sign else 1) for sign in signs)]
    dense = once.copy(order="K")
    same = dense.strides == once.strides or layout_of(once) != "strided"
    kept = dense if same else laid_out(once, "strided")
    if kept.shape != array.shape:
        strides = [stride * bool(sign) for stride, sign in zip(kept.strides, signs, strict=True)]
        kept = np.lib.stride_tricks.as_strided(kept, array.shape, strides)
    return kept[turn]


def bits(number: Any) -> str:
    """Return the dtype and the bits of a float, in hexadecimal.

    >>> bits(np.float32(-2))
    'float32 c0000000'
    """
    number = np.asarray(number)
    word = number.view(f"u{number.itemsize}")
    return f"{number.dtype.name} {int(word):0{2 * number.itemsize}x}"
