"""Where NumPy arrays lie, and whether they can be stepped there.

All is decided by numbers, not by the arrays: what was decided once holds for whatever array lies at
the same place later.
"""

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from adamax_fused.availability import DTYPES, Dtypes

FIELDS = ("params", "grads", "exp_avg", "exp_inf")
"""What a row of places is of."""


class RefusedError(Exception):
    """An array that cannot be stepped where it is; the text is a predicate, and a remedy.

    Attributes:
        row: which of the parameters.
        field: which of `FIELDS`.
        kind: the class of what is to be raised.
    """

    def __init__(self, row: int, field: str, kind: type[Exception], reason: str) -> None:
        super().__init__(reason)
        self.row, self.field, self.kind = row, field, kind


class Place(NamedTuple):
    """An array, without its elements."""

    address: int
    readonly: bool
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def span(self) -> tuple[int, int]:
        """From where to where it lies, where it has no gaps."""
        return self.address, self.address + self.size * self.dtype.itemsize

    @property
    def parts(self) -> int:
        """Two for complex numbers."""
        return 2 if self.dtype.kind == "c" else 1

    @property
    def part(self) -> str:
        """The dtype of a real number, or of the parts of a complex one."""
        if not self.dtype.isnative:
            return str(self.dtype)
        return {"complex64": "float32", "complex128": "float64"}.get(
            self.dtype.name, self.dtype.name
        )

    @property
    def layout(self) -> tuple[float, ...]:
        """How many elements it is to the next along each dimension; 0 where there is no next."""
        pairs = zip(self.strides, self.shape, strict=True)
        return tuple(
            stride / self.dtype.itemsize if size > 1 and self.size else 0 for stride, size in pairs
        )


def where(array: np.ndarray[Any, Any]) -> tuple[Any, ...]:
    """The fields of the `Place` of an array, which are what a table depends on.

    >>> array = np.zeros((3, 2), np.float32).T
    >>> Place(*where(array)).layout
    (1.0, 2.0)
    >>> where(array)[:2] == array.__array_interface__["data"]
    True
    """
    # The first field of a PyArrayObject. To make an __array_interface__ takes four times as long as
    # the step of 1000 elements.
    address = ctypes.c_size_t.from_address(id(array) + object.__basicsize__).value
    return address, not array.flags.writeable, array.dtype, array.shape, array.strides


def laid_out(grad: np.ndarray[Any, Any], like: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The gradient, or a copy that lies in memory as its parameter does.

    >>> grad = np.arange(4.0).reshape(2, 2).T
    >>> laid_out(grad, np.zeros((2, 2))).strides, laid_out(grad, np.zeros((2, 2)).T) is grad
    ((16, 8), True)
    """
    if grad.shape != like.shape:
        return grad  # refused later, by name
    flags = grad.flags
    if flags.aligned and grad.dtype.isnative:
        if flags.c_contiguous and like.flags.c_contiguous:
            return grad
        if Place(*where(grad)).layout == Place(*where(like)).layout:
            return grad
    copy = np.empty_like(like, dtype=grad.dtype.newbyteorder("="), subok=False)
    copy[...] = grad
    return copy


Rows = tuple[tuple[Place, Place, Place, Place], ...]

SHARED = "shares memory with another array of the step, of which one is written: copy one"


def dtypes_of(rows: Rows) -> tuple[Dtypes, ...]:
    """The dtypes of the parts of each row, once all can be stepped wherever the gradients are.

    Raises:
        RefusedError: names the row and what cannot.
    """
    spans = []
    for index, row in enumerate(rows):
        for which, (field, place) in enumerate(zip(FIELDS, row, strict=True)):
            _require_steppable(index, field, place, row[0])
            if field != "grads":
                spans.append((*place.span, True, len(FIELDS) * index + which))
    shared = sharing(spans)
    if shared is not None:
        index, which = divmod(shared, len(FIELDS))
        raise RefusedError(index, FIELDS[which], ValueError, SHARED)
    return tuple((p.part, g.part, m.part, u.part) for p, g, m, u in rows)


class Readable:
    """Where gradients may lie: aligned, and apart from what a step writes.

    Args:
        written: from where to where memory is written; apart from each other.
        sizes: of each gradient, in bytes.
        elements: the size of an element of each, in bytes.

    >>> readable = Readable([(64, 96)], [16, 16], [8, 8])
    >>> readable.at(np.array([48, 96])), readable.at(np.array([56, 100]))
    (array([ True,  True]), array([False, False]))
    """

    def __init__(
        self, written: Sequence[tuple[int, int]], sizes: Sequence[int], elements: Sequence[int]
    ) -> None:
        self._starts, self._ends = np.sort(np.array(written, np.int64).reshape(-1, 2), axis=0).T
        self._sizes, self._elements = np.array(sizes, np.int64), np.array(elements, np.int64)

    def at(self, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether each may begin at its address; one of no elements may anywhere."""
        # The first that ends after a gradient begins, unless there is none.
        after = np.searchsorted(self._ends, starts, side="right")
        begins = np.append(self._starts, np.iinfo(np.int64).max)[after]
        apart = (starts != 0) & (starts % self._elements == 0) & (begins >= starts + self._sizes)
        readable: npt.NDArray[np.bool_] = apart | (self._sizes == 0)
        return readable


def _require_steppable(row: int, field: str, place: Place, param: Place) -> None:
    def refuse(kind: type[Exception], reason: str) -> None:
        raise RefusedError(row, field, kind, reason)

    if place.part not in DTYPES:
        refuse(
            TypeError,
            f"has dtype {place.part}; the fused kernel takes {', '.join(DTYPES)}, complex64 and "
            "complex128",
        )
    if place.shape != param.shape or place.parts != param.parts:
        refuse(
            ValueError,
            f"does not fit its parameter: {place.shape} of {place.dtype}, not {param.shape} of "
            f"{'complex' if param.parts > 1 else 'real'} numbers",
        )
    if field == "grads":
        return
    if place.readonly:
        refuse(ValueError, "is read-only, and a step in place would write to it: pass a copy")
    if place.address % (place.dtype.itemsize // place.parts):
        refuse(ValueError, f"is not aligned for {place.dtype}: pass a copy")
    if not is_dense(place.shape, place.layout):
        refuse(
            ValueError,
            f"has gaps in memory, or is expanded (shape {place.shape}, strides {place.strides}): "
            "pass numpy.ascontiguousarray of it, or use adamax_core.step",
        )
    if place.layout != param.layout:
        refuse(
            ValueError,
            f"lies in another order than its parameter (strides {place.strides}, not "
            f"{param.strides}): copy it into numpy.empty_like of the parameter",
        )


def is_dense(shape: Sequence[int], strides: Sequence[float]) -> bool:
    """Whether elements with these strides, in elements, lie together without a gap, each once.

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


def is_apart(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether elements with these strides have each a place of its own.

    >>> is_apart((2, 3), (6, 2)), is_apart((2, 3), (1, 1))
    (True, False)
    """
    if 0 in shape:
        return True
    reach = 0
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size > 1:
            if stride <= reach:
                return False
            reach += stride * (size - 1)
    return True


Span = tuple[int, int, bool, int]
"""Memory from here to there, whether it is written, and whose it is."""


def sharing(spans: Iterable[Span]) -> int | None:
    """Whose memory overlaps with another's, where one of both is written; None where none does.

    >>> sharing([(0, 8, True, 0), (8, 16, False, 1), (8, 12, False, 2)])
    >>> sharing([(0, 8, True, 0), (4, 8, False, 1)])
    1
    """
    end = written = 0
    for first, last, writes, owner in sorted(spans):
        if first < last and first < (end if writes else written):
            return owner
        end = max(end, last)
        written = max(written, last) if writes else written
    return None
