"""What one step may give, for many elements at once: floats where they are sure, else the oracle.

`enclosed` is what makes this right; here it is the rule that is run on it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from gmpy2 import mpq

from adamax_conformance.bounds import enclosed
from adamax_conformance.bounds.enclosed import Enclosed, looser
from adamax_conformance.bounds.oracle import (
    BEYOND,
    QUANTITIES,
    Allowed,
    Observed,
    admitted,
    allowed,
    interpolated,
    pairs,
    shrunk,
    with_numbers,
)
from adamax_conformance.bounds.remembered import remembered
from adamax_conformance.bounds.special import Special, special_values
from adamax_conformance.spec.formats import coarser, computed_in, format_of
from adamax_conformance.subject.backend import Moments
from adamax_core import CANONICAL, Hyperparameters

FEW = 8
"""So many elements are as fast on exact numbers."""


_AT_ONCE = 64


class Bound(Protocol):
    """What one quantity may be: an `Allowed`, or the same filtered."""

    def excess(self, got: Any) -> Any:
        """How far each element is off, in bounds: up to 1 is right."""
        ...

    def interval(self, index: tuple[int, ...]) -> str:
        """The allowed values of one element, for people."""
        ...

    def exactly(self, index: tuple[int, ...]) -> str:
        """What the rule gives for one element, for people."""
        ...

    @property
    def says(self) -> Any:
        """Where the bound says anything."""
        ...


@dataclass(frozen=True)
class Filtered:
    """The values that one quantity may have, known by floats until they do not suffice.

    Attributes:
        known: the exact values and errors, enclosed.
        special: what the rule gives where that is no number.
        exact: what is allowed for the elements where a mask holds, as an array of one axis.
    """

    known: Enclosed
    special: Special
    exact: Callable[[Any], Allowed]

    def excess(self, got: Any) -> Any:
        """As that of `Allowed`; where an element is surely right, at least what it is there.

        What is not sure is asked of the exact numbers, the furthest off first, until one is wrong;
        the rest are not looked at then, and zero.
        """
        got = np.asarray(got).astype(np.float64)
        with np.errstate(all="ignore"):
            excess = np.broadcast_to(self.known.used(got), got.shape).copy()
            off = np.broadcast_to(self.known.about(got), got.shape)
        special = ~np.isfinite(self.special.value)
        excess[special] = self.special.excess(got)[special]
        unsure = np.flatnonzero(np.isnan(excess))
        excess[np.isnan(excess)] = 0
        furthest = unsure[np.argsort(-off.reshape(-1)[unsure], kind="stable")]
        for few in np.array_split(furthest, -(-len(furthest) // _AT_ONCE) or 1):
            flat = np.zeros(got.size, bool)
            flat[few] = True
            mask = flat.reshape(got.shape)
            excess[mask] = self.exact(mask).excess(got[mask])
            if np.any(excess[mask] > 1):
                break
        return excess

    def interval(self, index: tuple[int, ...]) -> str:
        """As that of `Allowed`."""
        return self.exact(self._only(index)).interval((0,))

    def exactly(self, index: tuple[int, ...]) -> str:
        """As that of `Allowed`."""
        return self.exact(self._only(index)).exactly((0,))

    def _only(self, index: tuple[int, ...]) -> Any:
        mask = np.zeros(self.special.value.shape, bool)
        mask[index] = True
        return mask

    @cached_property
    def says(self) -> Any:
        """As that of `Allowed`, up to elements of which hardly anything is said."""
        says = self.known.low < enclosed.NOTHING_SAID
        return np.broadcast_to(says, self.special.value.shape) | ~np.isfinite(self.special.value)


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
    """The same as `oracle.allowed`, faster where there are many elements."""
    options = {"accurate_correction": accurate_correction}
    if reported is None or not enclosed.AVAILABLE or np.size(param) <= FEW:
        return allowed(param, grad, before, hp, reported=reported, **options)
    given = [pairs(each) for each in (param, grad, before.exp_avg, before.exp_inf)]
    after = [pairs(each) for each in (reported.exp_avg, reported.exp_inf)]

    def exact(quantity: str, mask: Any) -> Allowed:
        p, g, m, u, *new = (each[mask] for each in (*given, *after))
        state = Moments(before.step, m, u)
        return allowed(p, g, state, hp, reported=Moments(reported.step, *new), **options)[quantity]

    known, special = _enclosed(given, before.step, hp, after, **options)
    return {
        quantity: Filtered(known[quantity], special[quantity], partial(exact, quantity))
        for quantity in QUANTITIES
    }


def _at_least(line: Callable[..., Enclosed]) -> Callable[..., Enclosed]:
    """A line without what other associations may lose, which the oracle adds to its error."""

    def at_least(*args: Any) -> Enclosed:
        result = line(*args)
        return replace(result, high=np.full_like(result.high, np.inf))

    return at_least


def _enclosed(
    given: list[Any],
    step: int,
    hp: Hyperparameters,
    after: list[Any],
    *,
    accurate_correction: bool,
) -> tuple[dict[str, Enclosed], dict[str, Special]]:
    """The rule on enclosed numbers, and on floats; as in `oracle.allowed`."""
    param_format = format_of(given[0].dtype)
    state_format = coarser(format_of(moment.dtype) for moment in given[2:])
    hp = with_numbers(hp, mpq)
    special = dict(
        zip(
            QUANTITIES,
            special_values(given, step, hp, computed_in(state_format), param_format),
            strict=True,
        )
    )
    correct = admitted(state_format, accurate_correction=accurate_correction).bias_correction
    first = Observed(_at_least(looser(CANONICAL.first_moment, interpolated)), after[0])
    norm = Observed(CANONICAL.infinity_norm, after[1])
    rule = CANONICAL._replace(
        first_moment=first,
        infinity_norm=norm,
        bias_correction=lambda beta1, count: Enclosed.of(correct(beta1, count)),
        displacement=_at_least(CANONICAL.displacement),
        decoupled_decay=_at_least(looser(CANONICAL.decoupled_decay, shrunk)),
    )
    with np.errstate(all="ignore"):
        p, g, m, u = (
            replace(Enclosed.read(each, format_of(each.dtype), BEYOND), format=state_format)
            for each in given
        )
        update = rule(p, g, m, u, step, hp).update.stored(param_format)
        moved = replace(p, format=param_format) + update
    return dict(zip(QUANTITIES, (first.gave, norm.gave, moved), strict=True)), special
