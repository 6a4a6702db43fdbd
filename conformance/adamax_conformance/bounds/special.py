"""Results of the rule that are not rationals: infinities and NaN, by every admitted formulation.

Formulations that agree on numbers need not agree beyond them. An infinite first moment stays
infinite as two products and becomes NaN as an interpolation; decoupled decay leaves an infinite
parameter infinite as a factor and makes it NaN as a subtraction. All of these results are right.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import chain, combinations, product
from typing import Any, NamedTuple

import numpy as np

from adamax_conformance.bounds.carried import Carried
from adamax_conformance.bounds.formulations import first_moments
from adamax_conformance.spec.formats import Format
from adamax_conformance.subject.backend import unvalidated
from adamax_core import CANONICAL, Hyperparameters, Rule

Altered = Callable[[Rule, Hyperparameters], tuple[Rule, Hyperparameters]]

_LARGEST = np.finfo(np.float64).max
_WORDS = {"positive": "inf", "negative": "-inf", "nan": "nan"}


class Special(NamedTuple):
    """The kinds of result that are right for each element, each a mask but the last.

    Attributes:
        number: a number is right; bounds say which.
        positive: infinity is right.
        negative: minus infinity is right.
        nan: NaN is right.
        value: a number where one is right, else zero.
    """

    number: Any
    positive: Any
    negative: Any
    nan: Any
    value: Any

    @classmethod
    def of(cls, array: Any) -> "Special":
        """Return the kinds of the elements themselves; finite ones stay finite in float64."""
        array = np.asarray(array)
        array = array if array.dtype == np.longdouble else array.astype(np.float64)
        number = np.isfinite(array)
        value = np.clip(np.where(number, array, 0), -_LARGEST, _LARGEST).astype(np.float64)
        return cls(number, array == np.inf, array == -np.inf, np.isnan(array), value)

    def __or__(self, other: "Special") -> "Special":
        number, positive, negative, nan = (
            x | y for x, y in zip(self[:-1], other[:-1], strict=True)
        )
        value = np.where(self.number, self.value, other.value)
        return Special(number, positive, negative, nan, value)

    def also(self, condition: Any, *kinds: str) -> "Special":
        """Add kinds to the elements with a condition that are not surely a number."""
        added = condition & (self.positive | self.negative | self.nan)
        return self._replace(**{kind: getattr(self, kind) | added for kind in kinds})

    def at(self, index: Any) -> "Special":
        """Return the kinds of some elements."""
        return Special(*(each[index] for each in self))

    def alternatives(self) -> list[Any]:
        """Return arrays whose elements together take every right kind.

        >>> kinds = Special.of(np.array([1.0, np.inf])) | Special.of(np.array([1.0, np.nan]))
        >>> kinds.alternatives()
        [array([ 1., inf]), array([ 1., nan])]
        """
        if not np.any(self.positive | self.negative | self.nan):
            return [self.value]
        masks, values = self[:-1], (self.value, np.inf, -np.inf, np.nan)
        found = [np.select(masks, values, 0.0)]
        for mask, value in zip(masks, values, strict=True):
            array = np.where(mask, value, found[0])
            if not any(np.array_equal(array, each, equal_nan=True) for each in found):
                found.append(array)
        return found

    def excess(self, got: Any) -> Any:
        """Return 0 where an infinity or NaN is right, else infinity, for numbers too."""
        same = self.positive & (got == np.inf) | self.negative & (got == -np.inf)
        return np.where(same | self.nan & np.isnan(got), 0.0, np.inf)

    def words(self, index: Any) -> str:
        """Return the right infinities and NaN of one element in words; empty if none is.

        >>> Special.of(np.array([np.nan])).words(0)
        'nan'
        """
        return " or ".join(w for kind, w in _WORDS.items() if getattr(self, kind)[index])


class _Results(NamedTuple):
    """First moment, norm and parameter after a step."""

    exp_avg: Any
    exp_inf: Any
    param: Any


def special_values(
    inputs: Sequence[Special],
    step: int,
    hp: Hyperparameters,
    format_: Format,
    stored: Format,
    altered: Altered,
    reported: tuple[Any, Any] | None = None,
) -> tuple[Special, Special, Special]:
    """Return the kinds of result of first moment, norm and parameter.

    The rule runs on floats, in every admitted formulation: in the widest range of the platform,
    where finite results stay finite; in the range of the format, with the update stored; and there
    with scalars flushed to zero. A formulation whose result is a number in the widest range is left
    to the bounds.

    Args:
        inputs: right kinds of parameter, gradient, first moment and norm before the step.
        step: count before the step.
        hp: hyperparameters, as rationals.
        format_: format of the arithmetic.
        stored: format of the parameter.
        altered: function that alters the rule and the hyperparameters, or returns them.
        reported: first moment and norm that the backend reported after the step. The parameter
            follows from them where they are not finite and should not be.
    """
    found: list[tuple[Special, Special, Special]] = []
    _, own = altered(CANONICAL, hp)
    vanishes = (
        not own.decoupled_weight_decay and own.weight_decay != _flushed(own, format_).weight_decay
    )
    for arrays in product(*(each.alternatives() for each in inputs)):
        widest = np.dtype(np.longdouble)
        plain = list(_steps(altered, arrays, step, hp, widest, widest, reported))
        if all(np.isfinite(each).all() for results in plain for each in results):
            m, u, p = map(Special.of, plain[0])
            found.append((m, u, p))
            continue
        for scalars in dict.fromkeys((hp, _flushed(hp, format_))):
            narrow = _steps(altered, arrays, step, scalars, format_.dtype, stored.dtype, reported)
            for wide, other in zip(plain, narrow, strict=True):
                m, u, p = _kinds(wide, other)
                # Zero times an infinite parameter is NaN, unless a decay of zero is left out.
                u = u.also(np.isinf(arrays[0]) & vanishes, "nan")
                found.append((m, u, _lossy(p, arrays, wide, step, own, format_)))
    m, u, p = (reduce(Special.__or__, each) for each in zip(*found, strict=True))
    # N-4: the first moment may become NaN where it is infinite.
    return m.also(True, "nan"), u, p


def _steps(
    altered: Altered,
    arrays: Sequence[Any],
    step: int,
    hp: Hyperparameters,
    dtype: np.dtype[Any],
    stored: np.dtype[Any],
    reported: tuple[Any, Any] | None,
) -> Iterator[_Results]:
    """Yield the results of each formulation on floats of this dtype."""
    with np.errstate(all="ignore"):
        param, grad, exp_avg, exp_inf = (np.asarray(each).astype(dtype) for each in arrays)
        names = ("lr", "eps", "weight_decay")
        scalars = unvalidated(
            hp,  # rounding a beta may give one
            betas=tuple(dtype.type(float(beta)) for beta in hp.betas),
            **{name: dtype.type(float(getattr(hp, name))) for name in names},
        )
        lines = first_moments(hp.betas[0])
        rule, hp = altered(CANONICAL, scalars)
        if rule.first_moment is not CANONICAL.first_moment:
            lines = [rule.first_moment]
        lr, eps, decay, (beta1, beta2) = hp.lr, hp.eps, hp.weight_decay, hp.betas
        grad = rule.sign(grad, hp.maximize)
        if not hp.decoupled_weight_decay:
            grad = rule.coupled_decay(grad, param, decay)
        norm = rule.infinity_norm(exp_inf, grad, beta2, eps)
        correction = rule.bias_correction(beta1, rule.count(step))
        # Not by the rule's own call: that leaves out a decay of zero, which as a subtraction makes
        # an infinite parameter NaN, and that is right too.
        for first_moment in lines:
            moment = first_moment(exp_avg, grad, beta1)
            used = _used((moment, norm), reported)
            moved = rule.displacement(*used, lr, correction)
            update = (-moved).astype(stored).astype(dtype)
            if not hp.decoupled_weight_decay:
                yield _Results(moment, norm, param + update)
                continue
            shrunk = (update - rule.decoupled_decay(param, lr, decay)).astype(stored).astype(dtype)
            yield _Results(moment, norm, param + shrunk)
            factor = 1 - rule.decoupled_decay(dtype.type(1), lr, decay)
            yield _Results(moment, norm, factor * param + update)


def _used(moments: tuple[Any, Any], reported: tuple[Any, Any] | None) -> tuple[Any, Any]:
    """Return the moments that the parameter follows from; see `special_values`."""
    if reported is None:
        return moments
    m, u = (
        np.where(np.isfinite(ours) | np.isfinite(theirs), ours, theirs)
        for ours, theirs in zip(moments, reported, strict=True)
    )
    return m, u


def _kinds(wide: _Results, narrow: _Results) -> tuple[Special, Special, Special]:
    """Return the kinds of two results of one formulation; numbers of the wider one decide."""
    m, u, p = (
        Special.of(x) | Special.of(np.where(np.isfinite(x), x, y))
        for x, y in zip(wide, narrow, strict=True)
    )
    return m, u, p


def _flushed(hp: Hyperparameters, format_: Format) -> Hyperparameters:
    """Return the hyperparameters with those below the normal numbers of the format as zero."""

    def flush(scalar: Any) -> Any:
        return scalar if scalar >= 2 * format_.normal else scalar * 0

    names = ("lr", "eps", "weight_decay")
    scalars = {name: flush(getattr(hp, name)) for name in names}
    return unvalidated(hp, betas=tuple(map(flush, hp.betas)), **scalars)


def _lossy(
    param: Special,
    before: Sequence[Any],
    after: _Results,
    step: int,
    hp: Hyperparameters,
    format_: Format,
) -> Special:
    """Add what follows if a partial product of the step leaves the range of the format.

    Zero after underflow times an infinity, or over zero, is NaN, and so is an infinity minus
    another. If that happens among the scalars alone, either infinity may come out too.
    """
    p, lr, decay = before[0], float(hp.lr), float(hp.weight_decay)
    beta1 = format_.dtype.type(float(hp.betas[0]))
    correction = CANONICAL.bias_correction(float(beta1), CANONICAL.count(step)) if beta1 < 1 else 0
    any_kind = correction == 0 or _loses_scalars(hp, format_)
    uncertain = np.isinf(p) & hp.decoupled_weight_decay & _may_vanish(hp, format_)
    param = param.also(any_kind | uncertain, "positive", "negative", "nan")
    with np.errstate(all="ignore"):
        step_factors = (lr, 1 / np.float64(correction), after.exp_avg, 1 / after.exp_inf)
        factors = (step_factors, (lr, decay, p)) if hp.decoupled_weight_decay else (step_factors,)
        lost = reduce(np.logical_or, (_leaves(each, format_) for each in factors))
    return param.also(lost, "nan")


def _leaves(factors: Sequence[Any], format_: Format) -> Any:
    """Mask of elements where the product of some of the factors leaves the range of the format."""
    sizes = [abs(np.asarray(each, np.longdouble)) for each in factors]
    finite = [np.where(np.isfinite(size) & (size != 0), size, 1) for size in sizes]
    some = chain.from_iterable(combinations(finite, n) for n in range(1, len(finite) + 1))
    least, most = 2 * float(format_.normal), float(format_.largest)
    products = [reduce(np.multiply, each) for each in some]
    outside = ((size != 1) & ((size < least) | (size > most)) for size in products)
    return reduce(np.logical_or, outside)


def _loses_scalars(hp: Hyperparameters, format_: Format) -> bool:
    """Can a hyperparameter become zero or infinite in this format?"""
    scalars = (hp.lr, *hp.betas, hp.eps, hp.weight_decay, hp.lr * hp.weight_decay)
    return any(0 < each < 2 * format_.normal or each > format_.largest for each in scalars)


def _may_vanish(hp: Hyperparameters, format_: Format) -> bool:
    """Can the factor of decoupled decay, 1 - lr weight_decay, round to zero in this format?"""
    factor = 1 - Carried.factor(hp.lr, format_) * hp.weight_decay
    return bool(abs(factor.value) <= factor.error)
