"""How numbers lie in memory, and copies that lie the same way: a strided input stays strided."""

from collections.abc import Mapping
from typing import Any

import numpy as np

LAYOUTS = ("C", "F", "strided")
"""Row by row, column by column, or with a gap after every element."""


def layout_of(array: Any) -> str:
    """Which of `LAYOUTS` an array has.

    >>> layout_of(np.zeros((2, 3))), layout_of(np.zeros((2, 3)).T), layout_of(np.zeros(6)[::2])
    ('C', 'F', 'strided')
    """
    if array.flags.c_contiguous:
        return "C"
    return "F" if array.flags.f_contiguous else "strided"


def laid_out(array: Any, layout: str) -> Any:
    """The same numbers in memory of their own, laid out in this way.

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
    """The same arrays in memory of their own, laid out as they were, axes in any order.

    >>> turned = np.zeros((2, 3, 4)).transpose(1, 2, 0)
    >>> copies({"w": turned})["w"].strides == turned.strides
    True
    """
    found = {}
    for name, array in arrays.items():
        dense = array.copy(order="K")
        same = dense.strides == array.strides or layout_of(array) != "strided"
        found[name] = dense if same else laid_out(array, "strided")
    return found


def bits(number: Any) -> str:
    """The dtype and the bits of a float, in hexadecimal.

    >>> bits(np.float32(-2))
    'float32 c0000000'
    """
    number = np.asarray(number)
    word = number.view(f"u{number.itemsize}")
    return f"{number.dtype.name} {int(word):0{2 * number.itemsize}x}"
