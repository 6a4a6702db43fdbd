"""Bound a whole trajectory: each step starts from the intervals that the last one allowed.

An implementation that runs a vector continues from its own results, without corrections. So the
intervals follow the trajectory, as in the judge if a backend reports no state. Over the few steps
of a vector they stay narrow.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from gmpy2 import mpq

from adamax_conformance.bounds.carried import UNBOUNDED_FROM
from adamax_conformance.bounds.oracle import QUANTITIES, Allowed, allowed, pairs
from adamax_conformance.exchange.wire import decode_number, encode_number
from adamax_conformance.judging.run import Run, Trial, initial
from adamax_conformance.spec.formats import Format, computed_in, format_of
from adamax_conformance.subject.backend import Moments

LONGEST = 600
"""Largest length of a rational in characters; a longer one is left out, the interval suffices."""

_DIGITS_A_BIT = math.log10(2)

NOT_FINITE = "not finite"
SPECIAL = ("nan", "inf", "-inf", NOT_FINITE)
"""Values in place of an interval if the result of the rule is not finite."""


@dataclass(frozen=True)
class Element:
    """The allowed values of one real number.

    Attributes:
        low: the least allowed value.
        high: the greatest; infinity if it is above the largest number of the format.
        exact: exact result of the rule, as ``p/q``; None if that is too long.
        special: one of `SPECIAL` if the result is not finite; it then decides.
        free: True if any value is allowed, since a divisor may be zero.
    """

    low: float = -math.inf
    high: float = math.inf
    exact: str | None = None
    special: str | None = None
    free: bool = False

    def document(self) -> Any:
        """Return the element as JSON; null if any value is allowed."""
        if self.free:
            return None
        if self.special is not None:
            return {"special": self.special}
        return {
            "exact": self.exact,
            "low": encode_number(self.low),
            "high": encode_number(self.high),
        }

    @classmethod
    def of(cls, document: Any) -> "Element":
        """Return the element of a document that `document` returned."""
        if document is None:
            return cls(free=True)
        if "special" in document:
            return cls(special=document["special"])
        low, high = decode_number(document["low"]), decode_number(document["high"])
        return cls(low, high, document["exact"])


@dataclass(frozen=True)
class Elements:
    """The allowed values of each real of an array, row-major, the real part first."""

    all: tuple[Element, ...]

    @cached_property
    def _bounds(self) -> tuple[Any, Any, Mapping[str, Any], Any]:
        special = np.array([each.special or "" for each in self.all], dtype=object)
        return (
            np.array([each.low for each in self.all], dtype=np.float64),
            np.array([each.high for each in self.all], dtype=np.float64),
            {each: special == each for each in SPECIAL},
            np.array([each.free for each in self.all], dtype=bool),
        )

    def outside(self, array: Any) -> list[int]:
        """Return the indices of the reals of an array that are not allowed."""
        got = np.asarray(pairs(array)).astype(np.float64).reshape(-1)
        low, high, special, free = self._bounds
        right = (low <= got) & (got <= high)
        for text, what in {
            "nan": np.isnan(got),
            "inf": got == np.inf,
            "-inf": got == -np.inf,
            NOT_FINITE: ~np.isfinite(got),
        }.items():
            right = np.where(special[text], what, right)
        return [int(index) for index in np.flatnonzero(~(right | free))]


@dataclass(frozen=True)
class Expected:
    """The allowed values of one parameter and its state after a step.

    Attributes:
        step: number of steps that it has taken.
        kept: True if it had no gradient: every bit is as before the step.
        quantities: of ``exp_avg``, ``exp_inf`` and ``param``, those to compare.
    """

    step: int
    kept: bool
    quantities: Mapping[str, Elements]


def expected(trial: Trial) -> list[dict[str, Expected]]:
    """Return the allowed values of each parameter after each step of a run.

    They always include the parameters, for implementations that do not show their state.
    """
    run = trial.run
    wanted = [each for each in QUANTITIES if each == "param" or each in trial.judged]
    params: dict[str, Any] = dict(run.params)
    moments = initial(run)
    steps = []
    for index, grads in enumerate(run.grads):
        hp = run.at(index)
        for name, grad in grads.items():
            bounds = allowed(
                params[name],
                grad,
                moments[name],
                replace(hp, weight_decay=0.0) if name in run.undecayed else hp,
                accurate_correction=trial.accurate_correction,
            )
            params[name] = bounds["param"]
            moments[name] = Moments(moments[name].step + 1, bounds["exp_avg"], bounds["exp_inf"])
            if _moves_nothing(run, name, index):
                params[name] = run.params[name]
        steps.append(
            {
                name: Expected(slot.step, name not in grads, _shown(params[name], slot, wanted))
                for name, slot in moments.items()
            }
        )
    return steps


def _moves_nothing(run: Run, name: str, index: int) -> bool:
    """Were all gradients so far zero, so that N-1 keeps the parameter in place?

    The interval does not show that, since a norm stored in half precision may be zero.
    """
    normal = computed_in(format_of(run.params[name].dtype)).normal
    hps = [run.at(step) for step in range(index + 1)]
    return (
        run.saved is None
        and all(hp.eps >= normal and hp.weight_decay == 0 for hp in hps)
        and not any(np.any(grads[name]) for grads in run.grads[: index + 1] if name in grads)
    )


def _shown(param: Any, moments: Moments, wanted: Collection[str]) -> dict[str, Elements]:
    held = {"exp_avg": moments.exp_avg, "exp_inf": moments.exp_inf, "param": param}
    return {
        quantity: _bounded(held[quantity])
        if isinstance(held[quantity], Allowed)
        else _given(held[quantity])
        for quantity in wanted
    }


def _given(array: Any) -> Elements:
    """Return the given values as exact: a parameter has not taken a step yet."""
    return Elements(
        tuple(
            Element(x, x, str(mpq(x))) if math.isfinite(x) else Element(special=str(x))
            for x in map(float, pairs(array).reshape(-1))
        )
    )


def _bounded(bound: Allowed) -> Elements:
    shape = bound.carried.value.shape
    return Elements(tuple(_element(bound, index) for index in np.ndindex(shape)))


def _element(bound: Allowed, index: tuple[int, ...]) -> Element:
    words = bound.special.words(index)
    value, error = bound.carried.value[index], bound.carried.error[index]
    format_ = bound.carried.format
    if not bound.special.number[index]:
        return Element(special=words if words in SPECIAL else NOT_FINITE)
    if error >= UNBOUNDED_FROM or words:
        return Element(free=True)
    # Avoid negative zero, which equals zero but has other bits.
    low = 0.0 - _rounded_up(error - value, format_)
    return Element(low, _rounded_up(value + error, format_), _text(value))


def _rounded_up(value: mpq, format_: Format) -> float:
    """Return the least float64 that is not below the value; infinity beyond the format."""
    if value > format_.largest:
        return math.inf
    try:
        near = float(value)
    except OverflowError:
        return -float(np.finfo(np.float64).max)
    return near if near >= value else math.nextafter(near, math.inf)


def _text(value: mpq) -> str | None:
    bits = value.numerator.bit_length() + value.denominator.bit_length()
    return None if bits * _DIGITS_A_BIT > LONGEST else str(value)
