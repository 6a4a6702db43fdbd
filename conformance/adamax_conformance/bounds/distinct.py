"""What one step may give, worked out once for each distinct element.

The rule is elementwise, so elements with the same bits before and after a step have the same bound.
Exact rationals are slow; long arrays in which few numbers recur are not.
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
    """What one quantity of one parameter may be: an `Allowed`, or a `Spread` one."""

    def excess(self, got: Any) -> Any:
        """How far each element is off, in bounds: up to 1 is right, infinity cannot be right."""
        ...

    def interval(self, index: tuple[int, ...]) -> str:
        """The allowed values of one element, for people."""
        ...

    def exactly(self, index: tuple[int, ...]) -> str:
        """What the rule gives for one element, for people; empty where it is no number."""
        ...

    @property
    def says(self) -> Any:
        """Where the bound says anything: a divisor that may be zero leaves nothing to say."""
        ...


@dataclass(frozen=True)
class Spread:
    """The bounds of a few distinct elements, each for all that are the same.

    Attributes:
        allowed: those of the distinct elements, on one axis.
        which: of which of them each element is, shape of the parameter as pairs of reals.
    """

    allowed: Allowed
    which: Any

    def excess(self, got: Any) -> Any:
        """As that of `Allowed`."""
        got = np.asarray(got).astype(np.float64)
        first, back = _distinct(self.which, got)
        return self.allowed[self.which.flat[first]].excess(got.flat[first])[back].reshape(got.shape)

    def interval(self, index: tuple[int, ...]) -> str:
        """As that of `Allowed`."""
        return self.allowed.interval((self.which[index],))

    def exactly(self, index: tuple[int, ...]) -> str:
        """As that of `Allowed`."""
        return self.allowed.exactly((self.which[index],))

    @property
    def says(self) -> Any:
        """As that of `Allowed`."""
        return self.allowed.says[self.which]


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
    """As `oracle.allowed`, distinct elements once, where the state is reported."""
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
    """Where each combination of bits is first, and which combination each element has."""
    columns = [np.ravel(array) for array in arrays]
    rows = np.empty(columns[0].size, [(str(n), f"V{c.itemsize}") for n, c in enumerate(columns)])
    for n, column in enumerate(columns):
        rows[str(n)] = column.view(f"V{column.itemsize}")
    _, first, back = np.unique(
        rows.view(f"V{rows.itemsize}"), return_index=True, return_inverse=True
    )
    return first, back
