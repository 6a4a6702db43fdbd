"""Numbers that carry their rounding error: an exact value and a bound on the error of a backend.

The reference rule runs on them as it runs on floats, and the result is the acceptance interval. No
tolerance is written anywhere else. The error of a result z of an operation in a format of unit
roundoff w:

- a sum is rounded once: ``w |z|``; an exact scalar in it is converted first: ``w |scalar|``;
- a product or a quotient can be computed in several right ways (a reciprocal, a folded step size,
  another association, a scalar converted first): ``K w |z|`` with K = 4;
- a result that is too small for the format may be flushed: the format's ``underflow``;
- a result that is too large for the format used to compute may be infinite, and anything computed
  from it is unbounded (N-8);
- negation, absolute value and maximum are exact;
- the errors of the operands propagate in full, not only to first order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from gmpy2 import mpq

from adamax_conformance.spec.formats import Format, coarser, computed_in

K = 4
"""Largest number of roundings in a product or a quotient."""

UNBOUNDED = mpq(2) ** 20_000
"""Error of a quotient whose divisor may be zero."""

UNBOUNDED_FROM = mpq(2) ** 10_000
"""An error from here on means unbounded: above any real error, below any scaled `UNBOUNDED`."""

_DIGITS = 32
_POWER_DIGITS = 256
_VANISHED = 20_000
_SCALARS = 1_000

Rationals = Any
"""NumPy object array of `gmpy2.mpq`: rationals about ten times as fast as those of `fractions`."""


def exact(array: Any) -> Rationals:
    """Return finite floats as rationals.

    >>> exact(np.array([0.5, -3.0]))
    array([mpq(1,2), mpq(-3,1)], dtype=object)
    """
    floats = np.asarray(array).astype(np.float64)
    return np.asarray(_each(mpq)(floats), dtype=object)


def _round_up(error: mpq) -> mpq:
    """Round the error up to few digits: a bound need not be exact, but must never be too small."""
    if not error:
        return error
    # gmpy2 2.3.2 never frees what `as_integer_ratio` returns.
    numerator, denominator = error.numerator, error.denominator
    excess = numerator.bit_length() - denominator.bit_length() - _DIGITS
    if excess >= 0:
        return mpq(-(-numerator // (denominator << excess)) << excess)
    return mpq(-(-(numerator << -excess) // denominator), 1 << -excess)


def _truncated(value: mpq, digits: int) -> mpq:
    """Return a value in [0, 1] truncated to so many binary digits, towards zero."""
    shift = digits + value.denominator.bit_length() - value.numerator.bit_length()
    if value == 0 or shift > _VANISHED:
        return mpq(0)
    return mpq((value.numerator << shift) // value.denominator, 1 << shift)


def power(base: mpq, exponent: int) -> mpq:
    """Return ``base**exponent`` for a base in [0, 1), with more digits than any format.

    It is exact up to an exponent of 64. Beyond, each of the at most 2 log2(exponent) products is
    truncated to 256 binary digits, of which 180 are right for every exponent below 2^64. Results
    below 2^-19000 are zero.
    """
    if exponent <= 64:  # noqa: PLR2004 - up to here exact rationals stay small
        return base**exponent
    half = power(base, exponent // 2)
    return _truncated(half * half * (base if exponent % 2 else 1), _POWER_DIGITS)


def _each(function: Callable[..., Any], arguments: int = 1, results: int = 1) -> Callable[..., Any]:
    ufunc: Callable[..., Any] = np.frompyfunc(function, arguments, results)
    return ufunc


def _rational(scalar: Any) -> Rationals:
    """Return a float or a rational as a 0-d array of one rational."""
    return np.asarray(mpq(scalar), dtype=object)


# How errors propagate, in one element: x and y are values, dx and dy their errors. An operation is
# one pass: on arrays of a few elements, a pass of NumPy costs more than all that is done to them.

_Element = tuple[mpq, mpq]


def _sum(x: mpq, dx: mpq, y: mpq, dy: mpq) -> _Element:
    return x + y, dx + dy


def _product(x: mpq, dx: mpq, y: mpq, dy: mpq) -> _Element:
    return x * y, abs(x) * dy + abs(y) * dx + dx * dy


def _quotient(x: mpq, dx: mpq, y: mpq, dy: mpq) -> _Element:
    value, room = x / y if y else x, abs(y) - dy
    return value, (dx + abs(value) * dy) / room if room > 0 else UNBOUNDED


def _larger(x: mpq, dx: mpq, y: mpq, dy: mpq) -> _Element:
    if abs(x - y) <= dx + dy:  # a backend may take either
        return max(x, y), max(dx, dy)
    return (x, dx) if x > y else (y, dy)


@cache
def _rounding(format_: Format, roundings: int) -> Callable[[mpq, mpq], mpq]:
    """Return the function of a value and its error that adds the error of so many roundings."""
    share, small, lost = roundings * format_.unit, 2 * format_.normal, format_.underflow

    def error_of(value: mpq, error: mpq) -> mpq:
        size = abs(value) + error
        grown = error + share * size
        return _round_up(grown + lost if 0 < size < small else grown)

    return error_of


@cache
def _operation(
    exactly: Callable[..., _Element], x_format: Format, y_format: Format, roundings: int
) -> Callable[..., tuple[Rationals, Rationals]]:
    """Return the operation on arrays: rounded, and unbounded where an operand may be infinite."""
    error_of = _rounding(coarser((x_format, y_format)), roundings)
    x_reach, y_reach = x_format.reach, y_format.reach

    def operation(x: mpq, dx: mpq, y: mpq, dy: mpq) -> _Element:
        value, error = exactly(x, dx, y, dy)
        if abs(x) + dx > x_reach or abs(y) + dy > y_reach:
            return value, UNBOUNDED
        return value, error_of(value, error)

    return _each(operation, 4, 2)


@dataclass(frozen=True, eq=False)
class Carried:
    """An array of rationals, each with a bound on the error that a backend may have in it.

    Attributes:
        value: object array of rationals.
        error: object array of the same shape, never negative.
        format: format in which operations round.

    >>> from adamax_conformance.spec.formats import FLOAT32
    >>> third = Carried.of(1, FLOAT32) / Carried.of(3, FLOAT32)
    >>> third.value.item(), round(float(third.error.item() * 3 / FLOAT32.unit), 6)
    (mpq(1,3), 4.0)
    """

    value: Rationals
    error: Rationals
    format: Format

    # NumPy leaves operators between an array or a scalar and a Carried to the Carried.
    __array_ufunc__ = None

    def __post_init__(self) -> None:
        # Arithmetic on 0-d object arrays gives bare elements.
        object.__setattr__(self, "value", np.asarray(self.value, dtype=object))
        object.__setattr__(self, "error", np.asarray(self.error, dtype=object))

    @classmethod
    def of(cls, values: Any, format_: Format) -> "Carried":
        """Return numbers without error: floats or rationals that a backend holds exactly."""
        array = np.asarray(values)
        rationals = array if array.dtype == object else exact(array)
        return cls(rationals, np.zeros(rationals.shape, dtype=object), format_)

    @classmethod
    def read(cls, floats: Any, format_: Format) -> "Carried":
        """Return floats as hardware may read them: it may flush a subnormal number to zero."""
        held = cls.of(floats, format_)
        flushed = format_.underflow == format_.normal
        tiny = abs(held.value) < (format_.normal if flushed else 0)
        return cls(held.value, np.where(tiny, abs(held.value), held.error), format_)

    def __array_namespace__(self, *, api_version: str | None = None) -> type["Carried"]:
        del api_version
        return Carried

    @staticmethod
    def maximum(x: "Carried", y: "Carried") -> "Carried":
        """Return the larger value; the larger error too, if a backend may take either."""
        value, error = _each(_larger, 4, 2)(x.value, x.error, y.value, y.error)
        return Carried(value, error, coarser((x.format, y.format)))

    def rounded(self, roundings: int = 1) -> "Carried":
        """Add the error of so many roundings to the format, and of underflow."""
        error = _each(_rounding(self.format, roundings), 2)(self.value, self.error)
        return Carried(self.value, error, self.format)

    def stored(self, format_: Format) -> "Carried":
        """Convert to another format; round if that is coarser."""
        moved = Carried(self.value, self.error, format_)
        moved = moved.rounded(K) if format_.unit > self.format.unit else moved
        # A backend may store the update itself in this format, where it may overflow.
        return moved.unbounded_where(abs(moved.value) + moved.error > format_.largest)

    def unbounded_where(self, condition: Any) -> "Carried":
        """Make the error unbounded where the condition holds."""
        if not np.any(condition):
            return self
        unbounded = np.asarray(UNBOUNDED, dtype=object)
        return Carried(self.value, np.where(condition, unbounded, self.error), self.format)

    def around(self, reported: Any) -> "Carried":
        """Move the value to the one that a backend reports, if finite, and keep the error."""
        known = np.isfinite(reported)
        return Carried(
            np.where(known, exact(np.where(known, reported, 0)), self.value),
            self.error,
            self.format,
        )

    @classmethod
    @lru_cache(_SCALARS)
    def summand(cls, scalar: Any, format_: Format) -> "Carried":
        """Return a scalar to add: it has been rounded to the format."""
        return cls.of(_rational(scalar), format_).rounded()

    @classmethod
    @lru_cache(_SCALARS)
    def factor(cls, scalar: Any, format_: Format) -> "Carried":
        """Return a scalar to multiply by: K includes its rounding, but not its underflow."""
        return cls.of(_rational(scalar), computed_in(format_)).rounded(0)

    def _operand(self, other: Any) -> "Carried":
        return other if isinstance(other, Carried) else Carried.summand(other, self.format)

    def _factor(self, other: Any) -> "Carried":
        return other if isinstance(other, Carried) else Carried.factor(other, self.format)

    def __neg__(self) -> "Carried":
        return Carried(-self.value, self.error, self.format)

    def __abs__(self) -> "Carried":
        return Carried(abs(self.value), self.error, self.format)

    def _combined(
        self, exactly: Callable[..., _Element], y: "Carried", roundings: int
    ) -> "Carried":
        operation = _operation(exactly, self.format, y.format, roundings)
        value, error = operation(self.value, self.error, y.value, y.error)
        return Carried(value, error, coarser((self.format, y.format)))

    def __add__(self, other: Any) -> "Carried":
        return self._combined(_sum, self._operand(other), 1)

    def __sub__(self, other: Any) -> "Carried":
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> "Carried":
        return (-self).__add__(other)

    def __mul__(self, other: Any) -> "Carried":
        return self._combined(_product, self._factor(other), K)

    def __truediv__(self, other: Any) -> "Carried":
        return self._combined(_quotient, self._factor(other), K)

    def __rtruediv__(self, other: Any) -> "Carried":
        return self._factor(other) / self

    def __pow__(self, exponent: int) -> "Carried":
        value = _each(lambda base: power(base, exponent))(self.value)
        below = _each(lambda base: power(base, max(exponent - 1, 0)))(self.value + self.error)
        error = exponent * below * self.error
        return Carried(np.asarray(value), np.asarray(error), self.format).rounded(K)

    __radd__ = __add__
    __rmul__ = __mul__


def loosest(x: Any, y: Any) -> Carried:
    """Return the value of two right formulations, with the larger of their two errors.

    Raises:
        AssertionError: the values differ, so the two formulations are not the same function.
    """
    x, y = (
        each if isinstance(each, Carried) else Carried.of(each, other.format)
        for each, other in ((x, y), (y, x))
    )
    if not np.all(x.value == y.value):
        raise AssertionError("two formulations of one line give different values")
    return Carried(x.value, np.maximum(x.error, y.error), coarser((x.format, y.format)))


def span(x: Carried, y: Carried) -> Carried:
    """Return the interval that contains both numbers with their errors."""
    middle = (x.value + y.value) / 2
    reach = abs(x.value - y.value) / 2 + np.maximum(x.error, y.error)
    return Carried(middle, reach, coarser((x.format, y.format)))
