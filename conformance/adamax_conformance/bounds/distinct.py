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
from adamax_conformance.subject.backend import Moments
from adamax_core import Hyperparameters


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
        first, back = _distinct(self.which, got)
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


@remembered
def bounds(
    param: Any,
    grad: Any,
    before: Moments,
    hp: Hyperparameters,
    *,
    reported: Moments | None,
    accurate_correction: bool,
) -> Mapping[str, Bound]:
    """Return the bounds of `oracle.allowed`, computed once for each distinct element.

    A backend that reports no state gets those of `oracle.allowed` itself.
    """
    exactly = partial(allowed, accurate_correction=accurate_correction)
    if reported is None:
        return exactly(param, grad, before, hp)
    arrays = [pairs(each) for each in (param, grad, *before[1:], *reported[1:])]
    first, back = _distinct(*arrays)
    p, g, m, u, *after = (array.flat[first] for array in arrays)
    before, reported = Moments(before.step, m, u), Moments(reported.step, *after)
    found = exactly(p, g, before, hp, reported=reported)
    which = back.reshape(arrays[0].shape)
    return {quantity: Spread(each, which) for quantity, each in found.items()}


def _distinct(*arrays: Any) -> tuple[Any, Any]:
    """Return the first index of each bit pattern, and the number of the pattern of each element."""
    columns = [np.ravel(array) for array in arrays]
    rows = np.empty(columns[0].size, [(str(n), f"V{c.itemsize}") for n, c in enumerate(columns)])
    for n, column in enumerate(columns):
        rows[str(n)] = column.view(f"V{column.itemsize}")
    _, first, back = np.unique(
        rows.view(f"V{rows.itemsize}"), return_index=True, return_inverse=True
    )
    return first, back
