"""Results of the rule that are not rationals: infinities and NaN."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from adamax_conformance.spec.formats import Format
from adamax_conformance.subject.backend import unvalidated
from adamax_core import CANONICAL, Hyperparameters


class Special(NamedTuple):
    """The result of the rule on floats, to be used where it is not finite.

    Attributes:
        value: NaN, an infinity, or a finite number if the exact result is one.
        either: True if NaN is accepted for an infinity and the other way round.
    """

    value: Any
    either: bool

    def excess(self, got: Any) -> Any:
        """Return 0 where NaN or an infinity is right, else infinity; for special values only."""
        same = (got == self.value) | (np.isnan(got) & np.isnan(self.value))
        return np.where(~np.isfinite(got) if self.either else same, 0.0, np.inf)


def special_values(
    arrays: Sequence[Any], step: int, hp: Hyperparameters, format_: Format, stored: Format
) -> tuple[Special, Special, Special]:
    """Return first moment, norm and parameter by the rule on floats, for their infinities and NaN.

    The rule runs in the widest range of the platform, where finite results stay finite, and in the
    range of the format, with the update stored. If only one of the two is NaN, or if a
    hyperparameter or the moment may underflow or overflow in the format, both are right: the
    formulation decides which comes out. Zero after underflow times an infinity or over zero is NaN,
    and so is an infinity minus another.
    """
    widest = np.dtype(np.longdouble)
    wide = _on_floats(arrays, step, hp, widest, widest)
    narrow = _on_floats(arrays, step, hp, format_.dtype, stored.dtype)
    lost = _loses_scalars(hp, format_)
    vanishing = (wide[0] != 0) & (abs(wide[0]) < 2 * float(format_.normal))

    def either(one: Any, other: Any, also: Any = False) -> bool:
        differ = (np.isnan(one) != np.isnan(other)) | also
        return lost or bool(np.any(differ & ~np.isfinite(one)))

    (m, u, p), (_, narrow_u, narrow_p) = wide, narrow
    return (
        Special(_as_float64(m), either=True),
        Special(_as_float64(u), either(u, narrow_u)),
        Special(_as_float64(p), either(p, narrow_p, vanishing)),
    )


def _on_floats(
    arrays: Sequence[Any],
    step: int,
    hp: Hyperparameters,
    dtype: np.dtype[Any],
    stored: np.dtype[Any],
) -> tuple[Any, Any, Any]:
    with np.errstate(all="ignore"):
        param, grad, exp_avg, exp_inf = (np.asarray(each).astype(dtype) for each in arrays)
        names = ("lr", "eps", "weight_decay")
        scalars = unvalidated(
            hp,  # rounding a beta may give one
            betas=tuple(dtype.type(float(beta)) for beta in hp.betas),
            **{name: dtype.type(float(getattr(hp, name))) for name in names},
        )
        after = CANONICAL(param, grad, exp_avg, exp_inf, step, scalars)
        update = after.update.astype(stored).astype(dtype)
        return after.exp_avg, after.exp_inf, param + update


def _as_float64(wide: Any) -> Any:
    """Convert to float64; finite values stay finite."""
    largest = np.finfo(np.float64).max
    clipped = np.where(np.isfinite(wide), np.clip(wide, -largest, largest), wide)
    return clipped.astype(np.float64)


def _loses_scalars(hp: Hyperparameters, format_: Format) -> bool:
    """Can a hyperparameter become zero or infinite in this format?"""
    scalars = (hp.lr, *hp.betas, hp.eps, hp.weight_decay, hp.lr * hp.weight_decay)
    return any(0 < each < 2 * format_.normal or each > format_.largest for each in scalars)
