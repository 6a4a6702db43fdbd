"""The first moment and its step: weights, operand and direction (A-4, A-7)."""

from typing import Any

import numpy as np
from gmpy2 import mpq

from adamax_conformance.subject.backend import unvalidated
from adamax_conformance.variants.variant import BASE, Family, moved
from adamax_core import Hyperparameters, Rule

FAMILY = Family("first-moment", "first moment")


@FAMILY.wrong_one("moment-not-weighted", "A-4", "first_moment", exact=True)
def _(m: Any, g: Any, b1: Any) -> Any:
    """Momentum without dampening: b1 m + g."""
    return b1 * m + g


@FAMILY.wrong_one("moment-weights-swapped", "A-4", "first_moment", exact=True)
def _(m: Any, g: Any, b1: Any) -> Any:
    """(1 - b1) m + b1 g, as lerp with its ends exchanged."""
    return (1 - b1) * m + b1 * g


@FAMILY.wrong_one("moment-of-the-magnitude", "A-4", "first_moment", exact=True)
def _(m: Any, g: Any, b1: Any) -> Any:
    """Averages |g|, so that every step goes the same way."""
    return b1 * m + (1 - b1) * abs(g)


@FAMILY.wrong_one("moment-starts-with-the-gradient", "A-4", "first_moment")
def _(m: Any, g: Any, b1: Any) -> Any:
    """Takes the first gradient whole, as SGD's momentum buffer does."""
    return np.where(m == 0, g, b1 * m + (1 - b1) * g)


@FAMILY.changed_one("betas-swapped", "A-4")
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    """Takes beta1 for beta2 and the other way round."""
    return rule, unvalidated(hp, betas=(hp.betas[1], hp.betas[0]))


@FAMILY.wrong_one("gradient-clipped", "A-4")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Clips each element of the gradient to one, unasked."""
    return BASE.step(p, {k: np.clip(v, -1, 1).astype(v.dtype) for k, v in g.items()}, s, hp)


@FAMILY.wrong_one("step-upwards", "A-7", "displacement", exact=True)
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """Adds the step."""
    return -lr / c * (m / u)


@FAMILY.wrong_one("sign-of-the-moment", "A-7", "displacement")
def _(m: Any, _u: Any, lr: Any, c: Any) -> Any:
    """Steps by lr along the sign of the moment, as Lion does."""
    return lr / c * np.sign(m)


@FAMILY.wrong_one("old-moment", "A-7")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Steps with the moment as it was before this gradient."""
    _, new = BASE.step(p, g, s, hp)
    late = {k: np.where(new.step[k] == 1, new.exp_avg[k], s.exp_avg[k]) for k in g}
    return moved(p, late, new.exp_inf, new, hp), new


@FAMILY.changed_one("nesterov", "A-7")
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    """Looks ahead: steps with b1 m + (1 - b1) g of the new moment, as NAdam does."""
    grads = []

    def first_moment(m: Any, g: Any, b1: Any) -> Any:
        # The line of the step does not see the gradient.
        grads.append(g)
        return rule.first_moment(m, g, b1)

    def displacement(m: Any, u: Any, lr: Any, c: Any) -> Any:
        ahead = rule.first_moment(m, grads[-1], hp.betas[0])
        return rule.displacement(ahead, u, lr, c)

    return rule._replace(first_moment=first_moment, displacement=displacement), hp


@FAMILY.right_one("moment-interpolated", "first_moment")
def _(m: Any, g: Any, b1: Any) -> Any:
    """lerp: m + (1 - b1) (g - m)."""
    return m + (1 - b1) * (g - m)


@FAMILY.right_one("moment-interpolated-from-the-nearer-end", "first_moment")
def _(m: Any, g: Any, b1: Any) -> Any:
    """torch.lerp: from m where the weight is below one half, from g where it is above."""
    return m + (1 - b1) * (g - m) if b1 > 0.5 else g - b1 * (g - m)  # noqa: PLR2004 - the middle


@FAMILY.right_one("moment-as-a-dot-product", "first_moment")
def _(m: Any, g: Any, b1: Any) -> Any:
    """The weights (b1, 1 - b1) against the pair (m, g)."""
    weights = np.asarray([b1, 1 - b1], m.dtype)
    return np.tensordot(weights, np.stack([m, g]), axes=1)


@FAMILY.right_one("moment-by-fused-multiply-add", "first_moment")
def _(m: Any, g: Any, b1: Any) -> Any:
    """fma(b1, m, (1 - b1) g): the product is exact, the sum is rounded once."""
    return _fma(m.dtype.type(b1), m, (1 - b1) * g)


def _fma(a: Any, x: Any, y: Any) -> Any:
    """Return a x + y on exact rationals, rounded once; on floats if it is not finite."""

    def exactly(x: Any, y: Any, plain: Any) -> Any:
        exact = np.isfinite(plain) and np.isfinite(x) and np.isfinite(y)
        # Round to float64, then to float32: together less than two roundings to float32.
        return float(mpq(float(a)) * mpq(float(x)) + mpq(float(y))) if exact else plain

    plain = np.asarray(a * x + y)
    return np.vectorize(exactly, otypes=[plain.dtype])(x, y, plain) if plain.size else plain


@FAMILY.right_one("step-size-folded-into-the-moment", "displacement")
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """(lr / c m) / u, as addcdiv with a value."""
    return (lr / c * m) / u


@FAMILY.right_one("negative-step-size-added", "displacement")
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """P + (-lr / c) (m / u)."""
    return -((-lr / c) * (m / u))


@FAMILY.right_one("moment-corrected-first", "displacement")
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """Lr ((m / c) / u), as the paper has it."""
    return lr * ((m / c) / u)


@FAMILY.right_one("denominator-corrected", "displacement")
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """Lr m / (c u)."""
    return lr * m / (c * u)


@FAMILY.right_one("reciprocal-of-the-norm", "displacement")
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """Lr / c (m (1 / u))."""
    return lr / c * (m * (1 / u))


@FAMILY.right_one("reciprocal-of-the-denominator", "displacement")
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """M (lr / (c u))."""
    return m * (lr / (c * u))
