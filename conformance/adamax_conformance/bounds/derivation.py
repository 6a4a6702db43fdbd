"""How a bound comes about, operation by operation: the rule, run on numbers that tell what they do.

`carried` says what a rounding may cost; here the same numbers carry the text of the expression as
well, so that what is shown is the computation and no description of it.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gmpy2 import mpq

from adamax_conformance.bounds.carried import Carried, power
from adamax_conformance.bounds.oracle import with_numbers
from adamax_conformance.spec.formats import Format, coarser, format_of
from adamax_conformance.subject.backend import Moments
from adamax_core import CANONICAL, Hyperparameters


@dataclass(frozen=True)
class Operation:
    """One operation of the rule, for one element.

    Attributes:
        text: the expression, ``beta2 u``.
        value: what it gives, exactly.
        error: how far a backend may be off after it.
        unit: unit roundoff of the format in which it rounds.
    """

    text: str
    value: mpq
    error: mpq
    unit: mpq

    @property
    def roundings(self) -> mpq | None:
        """The error in roundings of the value; None for a value of zero."""
        return self.error / (self.unit * abs(self.value)) if self.value else None


class _Told:
    """A number that says how it was made; hyperparameters stay rationals until they meet one."""

    __array_ufunc__ = None

    def __init__(self, text: str, value: Any, told: list[Operation], *, atom: bool = True) -> None:
        self.text, self.value, self.told, self.atom = text, value, told, atom

    def __array_namespace__(self, *, api_version: str | None = None) -> type["_Told"]:
        del api_version
        return _Told

    @staticmethod
    def maximum(x: "_Told", y: "_Told") -> "_Told":
        value = Carried.maximum(x.value, y.value)
        return x.made(f"max({x.text}, {y.text})", value, atom=True)

    def made(self, text: str, value: Any, *, atom: bool = False) -> "_Told":
        """The result of an operation, which is told where it may have been rounded."""
        if isinstance(value, Carried):
            element, error = value.value.item(), value.error.item()
            self.told.append(Operation(text, element, error, value.format.unit))
        return _Told(text, value, self.told, atom=atom)

    def _two(
        self, other: Any, apply: Callable[..., Any], sign: str, *, swap: bool = False
    ) -> "_Told":
        other = other if isinstance(other, _Told) else _Told(str(other), other, self.told)
        left, right = (other, self) if swap else (self, other)
        tight = sign in ("", "/", "^")
        texts = [x.text if x.atom or not tight else f"({x.text})" for x in (left, right)]
        text = f"{texts[0]}^{texts[1]}" if sign == "^" else f" {sign} ".join(texts)
        return self.made(" ".join(text.split()), apply(left.value, right.value))

    def __add__(self, other: Any) -> "_Told":
        return self._two(other, operator.add, "+")

    def __sub__(self, other: Any) -> "_Told":
        return self._two(other, operator.sub, "-")

    def __rsub__(self, other: Any) -> "_Told":
        return self._two(other, operator.sub, "-", swap=True)

    def __mul__(self, other: Any) -> "_Told":
        return self._two(other, operator.mul, "")

    def __truediv__(self, other: Any) -> "_Told":
        return self._two(other, operator.truediv, "/")

    def __pow__(self, exponent: int) -> "_Told":
        return self._two(exponent, power, "^")

    def __neg__(self) -> "_Told":
        return _Told(f"-{self.text}" if self.atom else f"-({self.text})", -self.value, self.told)

    def __abs__(self) -> "_Told":
        return _Told(f"|{self.text}|", abs(self.value), self.told)

    def __ne__(self, other: object) -> bool:
        return bool(self.value != other)

    __hash__ = None  # type: ignore[assignment]  # a number that is being made is no key


def _renamed(name: str, line: Callable[..., _Told]) -> Callable[..., _Told]:
    """A line of the rule whose result is called by its name from then on."""

    def renamed(*args: Any) -> _Told:
        result = line(*args)
        return _Told(name, result.value, result.told)

    return renamed


_NAMED = CANONICAL._replace(
    first_moment=_renamed("m'", CANONICAL.first_moment),
    infinity_norm=_renamed("u'", CANONICAL.infinity_norm),
    bias_correction=_renamed("c", CANONICAL.bias_correction),
)


def derive(param: Any, grad: Any, before: Moments, hp: Hyperparameters) -> tuple[Operation, ...]:
    """The operations of one step for one element, in order.

    Args:
        param: the parameter, a 0-d array of a real dtype.
        grad: its gradient.
        before: its moments, of the same shape.
        hp: hyperparameters of the step.

    >>> g, z = np.float32(0.5), np.float32(0)
    >>> for each in derive(z, g, Moments(0, z, z), Hyperparameters(eps=0.25))[:5]:
    ...     print(f"{each.text:>32} = {float(each.value):.4g}")
                             beta1 m = 0
                       (1 - beta1) g = 0.05
             beta1 m + (1 - beta1) g = 0.05
                             beta2 u = 0
                           |g| + eps = 0.75
    """
    told: list[Operation] = []
    state_format = coarser(map(format_of, (before.exp_avg.dtype, before.exp_inf.dtype)))

    def number(name: str, array: Any, format_: Format) -> _Told:
        return _Told(name, Carried.of(np.asarray(array, np.float64).reshape(1), format_), told)

    p, g, m, u = (
        number(name, array, state_format)
        for name, array in zip("pgmu", (param, grad, before.exp_avg, before.exp_inf), strict=True)
    )
    after = _NAMED(p, g, m, u, before.step, _named(hp, told))
    update = after.update.value.stored(format_of(param.dtype))
    exact = Carried.of(p.value.value, format_of(param.dtype))
    p.made("p', stored", exact + update)
    return tuple(told)


def _named(hp: Hyperparameters, told: list[Operation]) -> Hyperparameters:
    """The hyperparameters as rationals that know their names; not validated, being no floats."""
    named = with_numbers(hp, mpq)
    beta1, beta2 = named.betas
    fields = {
        "lr": _Told("lr", named.lr, told),
        "betas": (_Told("beta1", beta1, told), _Told("beta2", beta2, told)),
        "eps": _Told("eps", named.eps, told),
        "weight_decay": _Told("weight_decay", named.weight_decay, told),
    }
    for name, value in fields.items():
        object.__setattr__(named, name, value)
    return named
