"""What the rule gives where it gives no number: infinities and NaN, which no rational is."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from adamax_conformance.spec.formats import Format
from adamax_conformance.subject.backend import unvalidated
from adamax_core import CANONICAL, Hyperparameters


class Special(NamedTuple):
    """What the rule gives where it gives no number.

    Attributes:
        value: NaN, an infinity, or a number where the exact result is one.
        either: whether NaN will do for an infinity and the other way round.
    """

    value: Any
    either: bool

    def excess(self, got: Any) -> Any:
        """Zero where NaN or infinity is right, infinity where it is not; to be read there alone."""
        same = (got == self.value) | (np.isnan(got) & np.isnan(self.value))
        return np.where(~np.isfinite(got) if self.either else same, 0.0, np.inf)


def special_values(
    arrays: Sequence[Any], step: int, hp: Hyperparameters, format_: Format, stored: Format
) -> tuple[Special, Special, Special]:
    """First moment, norm and parameter by the rule on floats: only infinities and NaN matter.

    It is run in the widest range that the platform has, so that what is finite stays finite, and in
    that of the format, the update stored. Where the two differ in being NaN, or a hyperparameter or
    the moment is lost in the format, the way of computing decides which it is: what was flushed to
    zero, times an infinity or divided by zero, is NaN, and so is an infinity less another.
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
            hp,  # a beta may be rounded to one
            betas=tuple(dtype.type(float(beta)) for beta in hp.betas),
            **{name: dtype.type(float(getattr(hp, name))) for name in names},
        )
        after = CANONICAL(param, grad, exp_avg, exp_inf, step, scalars)
        update = after.update.astype(stored).astype(dtype)
        return after.exp_avg, after.exp_inf, param + update


def _as_float64(wide: Any) -> Any:
    """In float64, and finite where it was."""
    largest = np.finfo(np.float64).max
    clipped = np.where(np.isfinite(wide), np.clip(wide, -largest, largest), wide)
    return clipped.astype(np.float64)


def _loses_scalars(hp: Hyperparameters, format_: Format) -> bool:
    """Whether a hyperparameter may become zero or infinite in a format."""
    scalars = (hp.lr, *hp.betas, hp.eps, hp.weight_decay, hp.lr * hp.weight_decay)
    return any(0 < each < 2 * format_.normal or each > format_.largest for each in scalars)
