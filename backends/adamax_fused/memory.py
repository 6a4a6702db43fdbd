"""Is an array dense in memory?"""

from collections.abc import Sequence


def is_dense(shape: Sequence[int], strides: Sequence[float]) -> bool:
    """Do these strides, in elements, fill a block of memory without gaps or overlap?

    >>> is_dense((2, 3), (1, 2)), is_dense((2, 3), (4, 1)), is_dense((2, 3), (0, 1))
    (True, False, False)
    """
    if 0 in shape:
        return True
    expected = 1
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size > 1:
            if stride != expected:
                return False
            expected *= size
    return True
