"""Dual numbers over numbers that carry their error: derivatives of the rule with their bounds.

The rule is elementwise, so its Jacobian is one tangent for each element: seed an input with tangent
one, and the tangent of the output is the derivative. At a kink (``|.|`` at zero, a tie in ``max``),
and so near one that rounding may fall on either side, every subgradient is allowed (D-4).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from adamax_conformance.bounds.carried import Carried, span
from adamax_conformance.spec.formats import Format


@dataclass(frozen=True, eq=False)
class Dual:
    """A value and its derivative with respect to the seeded input.

    >>> from adamax_conformance.spec.formats import FLOAT64
    >>> x = Dual.of(np.array([3.0, 0.0]), FLOAT64, seeded=True)
    >>> square, size = x * x, abs(x)
    >>> square.tangent.value[0], size.tangent.value[1], size.tangent.error[1]
    (mpq(6,1), mpq(0,1), mpq(1,1))
    """

    primal: Carried
    tangent: Carried

    __array_ufunc__ = None

    @classmethod
    def of(cls, values: Any, format_: Format, *, seeded: bool) -> "Dual":
        """Return exact values, with tangent one if they are seeded, else zero."""
        primal = Carried.of(values, format_)
        return cls(primal, Carried.of(primal.value * 0 + int(seeded), format_))

    def __array_namespace__(self, *, api_version: str | None = None) -> type["Dual"]:
        del api_version
        return Dual

    @staticmethod
    def maximum(x: "Dual", y: "Dual") -> "Dual":
        """Return the larger primal with its tangent; at a tie, the interval of both tangents."""
        difference = x.primal.value - y.primal.value
        close = abs(difference) <= x.primal.error + y.primal.error
        return Dual(
            Carried.maximum(x.primal, y.primal),
            _choose(
                close, span(x.tangent, y.tangent), _choose(difference > 0, x.tangent, y.tangent)
            ),
        )

    def _operand(self, other: Any) -> "Dual":
        if isinstance(other, Dual):
            return other
        constant = self.primal._operand(other)  # noqa: SLF001 - one number, two classes
        return Dual(constant, Carried.of(constant.value * 0, constant.format))

    def stored(self, format_: Format) -> "Dual":
        """Convert both parts to another format."""
        return Dual(self.primal.stored(format_), self.tangent.stored(format_))

    def __neg__(self) -> "Dual":
        return Dual(-self.primal, -self.tangent)

    def __abs__(self) -> "Dual":
        uncertain = abs(self.primal.value) <= self.primal.error
        return Dual(
            abs(self.primal),
            _choose(
                uncertain,
                span(self.tangent, -self.tangent),
                _choose(self.primal.value > 0, self.tangent, -self.tangent),
            ),
        )

    def __add__(self, other: Any) -> "Dual":
        y = self._operand(other)
        return Dual(self.primal + y.primal, self.tangent + y.tangent)

    def __sub__(self, other: Any) -> "Dual":
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> "Dual":
        return (-self).__add__(other)

    def __mul__(self, other: Any) -> "Dual":
        if not isinstance(other, Dual):
            return Dual(self.primal * other, self.tangent * other)
        return Dual(
            self.primal * other.primal,
            self.tangent * other.primal + self.primal * other.tangent,
        )

    def __truediv__(self, other: Any) -> "Dual":
        if not isinstance(other, Dual):
            return Dual(self.primal / other, self.tangent / other)
        quotient = self.primal / other.primal
        return Dual(
            quotient,
            self.tangent / other.primal - quotient * other.tangent / other.primal,
        )

    def __rtruediv__(self, other: Any) -> "Dual":
        quotient = other / self.primal
        return Dual(quotient, -(quotient * self.tangent / self.primal))

    def __pow__(self, exponent: int) -> "Dual":
        slope = exponent * self.primal ** (exponent - 1) * self.tangent
        return Dual(self.primal**exponent, slope)

    __radd__ = __add__
    __rmul__ = __mul__


def _choose(condition: Any, x: Carried, y: Carried) -> Carried:
    return Carried(
        np.where(condition, x.value, y.value),
        np.where(condition, x.error, y.error),
        x.format,
    )
