"""Numbers of `carried` enclosed in floats: a filter that makes the judge fast.

A `Carried` is an exact value and an exact error, at some hundred microseconds an element. An
`Enclosed` is an approximate value with a bound on how far the exact one is from it, and an interval
that the exact error is in, thousands at a time. What is surely within a bound by these floats is
within it; whatever is not sure is left to the exact numbers, so that nothing is decided by floats
that they cannot know, and nothing is ever rejected by them.

The floats are those of `numpy.longdouble` where that has 64 digits and the exponents of x87, or
more, so that no product of float64 numbers leaves its range; elsewhere there is no filter. Each
operation of theirs is right to 2^-64 of its result; what is added up of at most sixteen of them is
scaled by 1 + 2^-58 or 1 - 2^-58, which covers their roundings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gmpy2 import mpq

from adamax_conformance.bounds.carried import Carried, K
from adamax_conformance.spec.formats import Format, coarser

_FLOAT = np.longdouble
_INFO = np.finfo(_FLOAT)

AVAILABLE = bool(_INFO.eps <= 2.0**-63 and _INFO.maxexp >= 2**14)
"""Whether this platform has floats that are wide enough."""

_ROUNDING = _FLOAT(2) ** -63
_UP = 1 + _FLOAT(2) ** -58
_DOWN = 1 - _FLOAT(2) ** -58
# `carried` rounds its errors up to 32 digits.
_UP_TO_DIGITS = 1 + _FLOAT(2) ** -31
_QUOTIENT_DIGITS = 66

NOTHING_SAID = _FLOAT(2) ** 10_000
"""That of `adamax_conformance.bounds.carried`."""


@dataclass(frozen=True, eq=False)
class Enclosed:
    """An array of numbers about which this much is known.

    Attributes:
        value: about the exact value.
        slack: at least as much as the exact value is away from it.
        low: at most the exact error.
        high: at least the exact error.
        format: the format in which operations round.

    >>> from adamax_conformance.spec.formats import FLOAT32
    >>> third = Enclosed.of(Carried.of(1, FLOAT32) / Carried.of(3, FLOAT32))
    >>> float(third.value), bool(third.low <= third.high)
    (0.3333333333333333, True)
    """

    value: Any
    slack: Any
    low: Any
    high: Any
    format: Format

    __array_ufunc__ = None

    @classmethod
    def of(cls, number: Carried) -> "Enclosed":
        """A single exact number."""
        value, error = _float(number.value.item()), _float(number.error.item())
        return cls(value, abs(value) * _ROUNDING, error * _DOWN, error * _UP, number.format)

    @classmethod
    def read(cls, floats: Any, format_: Format, beyond: mpq) -> "Enclosed":
        """Floats as `Carried.read` reads them; `beyond` stands for those that are no numbers."""
        held = np.asarray(floats, _FLOAT)
        held = np.where(np.isfinite(held), held, _float(beyond))
        flushed = format_.underflow == format_.normal
        tiny = abs(held) < (_float(format_.normal) if flushed else 0)
        error = np.where(tiny, abs(held), _FLOAT(0))
        return cls(held, np.zeros_like(held), error, error, format_)

    def __array_namespace__(self, *, api_version: str | None = None) -> type["Enclosed"]:
        del api_version
        return Enclosed

    @staticmethod
    def maximum(x: "Enclosed", y: "Enclosed") -> "Enclosed":
        """The larger value; the larger error where they overlap, else that of the larger."""
        slack = (x.slack + y.slack) * _UP
        overlap = (abs(x.value - y.value) + slack) * _UP <= (x.low + y.low) * _DOWN
        chosen = np.where(
            x.value - y.value > slack,
            x.low,
            np.where(y.value - x.value > slack, y.low, np.minimum(x.low, y.low)),
        )
        return Enclosed(
            np.maximum(x.value, y.value),
            np.maximum(x.slack, y.slack),
            np.where(overlap, np.maximum(x.low, y.low), chosen),
            np.maximum(x.high, y.high),
            coarser((x.format, y.format)),
        )

    @property
    def least(self) -> Any:
        """At most the magnitude of the exact value."""
        return np.maximum(abs(self.value) - self.slack, 0) * _DOWN

    @property
    def most(self) -> Any:
        """At least the magnitude of the exact value."""
        return (abs(self.value) + self.slack) * _UP

    def rounded(self, roundings: int = 1) -> "Enclosed":
        """As `Carried.rounded`."""
        least, most = (self.least + self.low) * _DOWN, (self.most + self.high) * _UP
        limit, lost = _float(2 * self.format.normal), _float(self.format.underflow)
        unit = roundings * _float(self.format.unit)
        low = self.low + unit * least + np.where((most < limit) & (least > 0), lost, 0)
        high = self.high + unit * most + np.where((least < limit) & (most > 0), lost, 0)
        return Enclosed(
            self.value, self.slack, low * _DOWN, high * _UP * _UP_TO_DIGITS, self.format
        )

    def stored(self, format_: Format) -> "Enclosed":
        """As `Carried.stored`."""
        moved = Enclosed(self.value, self.slack, self.low, self.high, format_)
        moved = moved.rounded(K) if format_.unit > self.format.unit else moved
        return moved.beyond(moved, format_.largest)

    def around(self, reported: Any) -> "Enclosed":
        """As `Carried.around`."""
        known, held = np.isfinite(reported), np.asarray(reported, _FLOAT)
        return Enclosed(
            np.where(known, held, self.value),
            np.where(known, 0, self.slack),
            self.low,
            self.high,
            self.format,
        )

    def beyond(self, operand: "Enclosed", limit: mpq) -> "Enclosed":
        """The same, of which nothing is said where an operand is beyond a limit."""
        least = (operand.least + operand.low) * _DOWN
        most = (operand.most + operand.high) * _UP
        return Enclosed(
            self.value,
            self.slack,
            np.where(least > _float(limit), np.inf, self.low),
            np.where(most <= _float(limit), self.high, np.inf),
            self.format,
        )

    def _within(self, *operands: "Enclosed") -> "Enclosed":
        """The same, of which nothing is said where an operand overflows."""
        result = self
        for operand in operands:
            result = result.beyond(operand, operand.format.reach)
        return result

    def _operand(self, other: Any) -> "Enclosed":
        if isinstance(other, Enclosed):
            return other
        return Enclosed.of(Carried.summand(other, self.format))

    def _factor(self, other: Any) -> "Enclosed":
        if isinstance(other, Enclosed):
            return other
        return Enclosed.of(Carried.factor(other, self.format))

    def __neg__(self) -> "Enclosed":
        return Enclosed(-self.value, self.slack, self.low, self.high, self.format)

    def __abs__(self) -> "Enclosed":
        return Enclosed(abs(self.value), self.slack, self.low, self.high, self.format)

    def __add__(self, other: Any) -> "Enclosed":
        y = self._operand(other)
        value = self.value + y.value
        slack = (self.slack + y.slack + _ROUNDING * abs(value)) * _UP
        low, high = (self.low + y.low) * _DOWN, (self.high + y.high) * _UP
        total = Enclosed(value, slack, low, high, coarser((self.format, y.format)))
        return total.rounded()._within(self, y)

    def __sub__(self, other: Any) -> "Enclosed":
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> "Enclosed":
        return (-self).__add__(other)

    def __mul__(self, other: Any) -> "Enclosed":
        y = self._factor(other)
        value = self.value * y.value
        slack = abs(self.value) * y.slack + abs(y.value) * self.slack + self.slack * y.slack
        low = self.least * y.low + y.least * self.low + self.low * y.low
        high = self.most * y.high + y.most * self.high + self.high * y.high
        product = Enclosed(
            value,
            (slack + _ROUNDING * abs(value)) * _UP,
            low * _DOWN,
            high * _UP,
            coarser((self.format, y.format)),
        )
        return product.rounded(K)._within(self, y)

    def __truediv__(self, other: Any) -> "Enclosed":
        y = self._factor(other)
        zero = (y.value == 0) & (y.slack == 0)
        value = self.value / np.where(zero, 1, y.value)
        slack = (self.slack + abs(value) * y.slack) * _UP / np.where(zero, 1, y.least)
        slack = (slack + _ROUNDING * abs(value)) * _UP
        least, most = np.maximum(abs(value) - slack, 0) * _DOWN, (abs(value) + slack) * _UP
        # What is left of the divisor, at most and at least.
        room, sure_room = (y.most - y.low) * _UP, (y.least - y.high) * _DOWN
        low = (self.low + least * y.low) * _DOWN / room
        high = (self.high + most * y.high) * _UP / sure_room
        quotient = Enclosed(
            value,
            slack,
            np.where(room > 0, low * _DOWN, np.inf),
            np.where(sure_room > 0, high * _UP, np.inf),
            coarser((self.format, y.format)),
        )
        return quotient.rounded(K)._within(self, y)

    def __rtruediv__(self, other: Any) -> "Enclosed":
        return self._factor(other) / self

    __radd__ = __add__
    __rmul__ = __mul__

    def used(self, got: Any) -> Any:
        """At least the part of the error that each of these floats uses; NaN where it is not sure.

        It is never above one: what may be outside is not sure. Infinities are compared with the
        format's largest number.
        """
        got = np.asarray(got, _FLOAT)
        distance = (abs(got - self.value) + self.slack) * _UP
        part = np.where(distance == 0, 0, distance / self.low)
        overflows = (self.least + self.low) * _DOWN > _float(self.format.largest)
        signed = (np.sign(got) == np.sign(self.value)) & (self.least > 0)
        part = np.where(np.isinf(got), np.where(overflows & signed, 0, np.nan), part)
        part = np.where(self.low >= NOTHING_SAID, 0, part)
        return np.where(part <= _DOWN, part, np.nan).astype(np.float64)

    def about(self, got: Any) -> Any:
        """About how many errors off each of these floats is; infinity where that cannot be said."""
        off = abs(np.asarray(got, _FLOAT) - self.value) / self.low
        return np.where(np.isnan(off), np.inf, off)


def looser(one: Callable[..., Enclosed], other: Callable[..., Enclosed]) -> Callable[..., Enclosed]:
    """As `adamax_conformance.bounds.carried.loosest` of two formulations of a line."""

    def either(*args: Any) -> Enclosed:
        x, y = one(*args), other(*args)
        nearer = x.slack <= y.slack
        return Enclosed(
            np.where(nearer, x.value, y.value),
            np.where(nearer, x.slack, y.slack),
            np.maximum(x.low, y.low),
            np.maximum(x.high, y.high),
            coarser((x.format, y.format)),
        )

    return either


def _float(number: mpq) -> Any:
    """A rational to 2^-64 of it; exact for those that a format is made of."""
    numerator, denominator = number.numerator, number.denominator
    shift = _QUOTIENT_DIGITS - numerator.bit_length() + denominator.bit_length()
    if numerator == 0:
        return _FLOAT(0)
    scaled = mpq(numerator, denominator) * mpq(2) ** shift
    with np.errstate(all="ignore"):
        return np.ldexp(_FLOAT(round(scaled)), -shift)
