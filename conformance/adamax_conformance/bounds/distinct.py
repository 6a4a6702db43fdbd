"""Bounds of one step, computed once for each distinct element.

The rule is elementwise, so elements with the same bits before and after a step have the same bound.
Exact rationals are slow; a long array with few distinct numbers needs few of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from adamax_conformance.bounds.oracle import Allowed, allowed, pairs
from adamax_conformance.bounds.remembered import remembered
from adamax_conformance.spec.alteration import UNALTERED, Alteration
from adamax_conformance.subject.backend import Moments
from adamax_core import Hyperparameters

_MANY = 64
"""Up to so many elements, to find those that are equal takes longer than to compare them all."""


class Bound(Protocol):
    """The allowed values of one quantity of one parameter: `Allowed` or `Spread`."""

    def excess(self, got: Any) -> Any:
        """Return the error of each element over its bound: up to 1 is right, infinity never is."""
        ...

    def interval(self, index: tuple[int, ...]) -> str:
        """Return the allowed values of one element as text."""
        ...

    def exactly(self, index: tuple[int, ...]) -> str:
        """Return the exact value of one element as text; empty if it is not finite."""
        ...

    @property
    def bounded(self) -> Any:
        """Mask of bounded elements: a divisor that may be zero makes the error unbounded."""
        ...


@dataclass(frozen=True)
class Spread:
    """Bounds of the distinct elements, looked up by every element.

    Attributes:
        allowed: bounds of the distinct elements, on one axis.
        which: index into `allowed` of each element, shape of the parameter as pairs of reals.
    """

    allowed: Allowed
    which: Any

    def excess(self, got: Any) -> Any:
        """See `Bound`."""
        got = np.asarray(got).astype(np.float64)
        if got.size <= _MANY:
            return self.allowed[self.which].excess(got)
        first, back = distinct(self.which, got)
        return self.allowed[self.which.flat[first]].excess(got.flat[first])[back].reshape(got.shape)

    def interval(self, index: tuple[int, ...]) -> str:
        """See `Bound`."""
        return self.allowed.interval((self.which[index],))

    def exactly(self, index: tuple[int, ...]) -> str:
        """See `Bound`."""
        return self.allowed.exactly((self.which[index],))

    @property
    def bounded(self) -> Any:
        """See `Bound`."""
        return self.allowed.bounded[self.which]


_allowed = remembered()(allowed)


@remembered(6 * _MANY)  # of parameter, gradient, and moments before and after
def bounds(
    param: Any,
    grad: Any,
    before: Moments,
    hp: Hyperparameters,
    *,
    reported: Moments | None,
    accurate_correction: bool,
    alteration: Alteration = UNALTERED,
) -> Mapping[str, Bound]:
    """Return the bounds of `oracle.allowed`, computed once for each distinct element.

    Where the moments before the step are themselves bounds, as in the second step of a backend that
    reports no state, each element is computed by itself; so is a complex parameter under an
    alteration, which may couple its two parts.
    """
    exactly = partial(_allowed, accurate_correction=accurate_correction, alteration=alteration)
    held = (param, grad, *before[1:])
    coupled = alteration != UNALTERED and np.asarray(param).dtype.kind == "c"
    if coupled or any(isinstance(each, Allowed) for each in held):
        return exactly(param, grad, before, hp, reported=reported)
    arrays = [pairs(each) for each in (*held, *(reported[1:] if reported else ()))]
    first, back = distinct(*arrays)
    p, g, m, u, *after = (array.flat[first] for array in arrays)
    seen = Moments(reported.step, *after) if reported else None
    found = exactly(p, g, Moments(before.step, m, u), hp, reported=seen)
    which = back.reshape(arrays[0].shape)
    if reported is None:
        # The next step starts from these bounds.
        return {quantity: each[which] for quantity, each in found.items()}
    return {quantity: Spread(each, which) for quantity, each in found.items()}


def distinct(*arrays: Any) -> tuple[Any, Any]:
    """Return the first index of each bit pattern, and the number of the pattern of each element.

    >>> first, which = distinct(np.array([2.0, 2.0, 3.0, 2.0]), np.array([5, 5, 5, 6]))
    >>> len(first), bool(which[0] == which[1]), bool(which[0] == which[3])
    (3, True, False)
    """
    columns = [np.ravel(array) for array in arrays]
    words = [column.view(f"u{column.itemsize}") for column in columns]
    # Sorting a hash is ten times as fast as sorting the rows.
    hashed = np.zeros(columns[0].size, np.uint64)
    for word in words:
        hashed = (hashed ^ (hashed >> np.uint64(_SHIFT)) ^ word) * np.uint64(_ODD)
    found = _first_and_back(hashed)
    if all(np.array_equal(word, word[found[0]][found[1]]) for word in words):
        return found
    rows = np.empty(hashed.size, [(str(n), f"V{word.itemsize}") for n, word in enumerate(words)])
    for n, word in enumerate(words):
        rows[str(n)] = word.view(f"V{word.itemsize}")
    return _first_and_back(rows.view(f"V{rows.itemsize}"))


_ODD, _SHIFT = 0x9E3779B97F4A7C15, 32
"""Multiplier and shift of the hash; a collision costs time only."""


def _first_and_back(values: Any) -> tuple[Any, Any]:
    _, first, back = np.unique(values, return_index=True, return_inverse=True)
    return first, back
