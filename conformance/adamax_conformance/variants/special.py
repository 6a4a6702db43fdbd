"""NaN and infinity: their propagation, and 0 / 0 (N-4 to N-6)."""

from typing import Any

import numpy as np

from adamax_conformance.variants.variant import BASE, Family

FAMILY = Family("nan", "NaN handling")


@FAMILY.wrong_one("infinite-gradients-skipped", "N-4")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Takes an infinite gradient for zero."""
    return _cleaned(p, g, s, hp, np.isinf)


@FAMILY.wrong_one("nan-gradients-skipped", "N-5")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """nan_to_num: takes a NaN gradient for zero."""
    return _cleaned(p, g, s, hp, np.isnan)


def _cleaned(p: Any, g: Any, s: Any, hp: Any, bad: Any) -> Any:
    return BASE.step(p, {k: np.where(bad(v), 0, v).astype(v.dtype) for k, v in g.items()}, s, hp)


@FAMILY.wrong_one("nan-step-skipped", "N-5")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Leaves a tensor whose gradient has a NaN alone, as a loss scaler does."""
    return BASE.step(p, {k: v for k, v in g.items() if not np.isnan(v).any()}, s, hp)


@FAMILY.wrong_one("nan-dropped-by-the-maximum", "N-5", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """fmax: the maximum takes the number and drops the NaN."""
    return np.fmax(b2 * u, abs(g) + eps)


@FAMILY.wrong_one("nan-of-the-gradient-dropped", "N-5", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """A comparison with the new value second: a NaN gradient is not larger, and is dropped."""
    decayed, size = b2 * u, abs(g) + eps
    return np.where(size > decayed, size, decayed)


@FAMILY.wrong_one("nan-washed-out-of-the-norm", "N-5", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """Paddle: a NaN in the norm is gone one step later."""
    decayed, size = b2 * u, abs(g) + eps
    return np.where(decayed > size, decayed, size)


@FAMILY.wrong_one("nan-parameter-kept", "N-5")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Does not store a parameter that would be NaN, where the gradient was."""
    stepped, new = BASE.step(p, g, s, hp)
    return {
        k: np.where(np.isnan(v) & np.isnan(g[k]), p[k], v) if k in g else v
        for k, v in stepped.items()
    }, new


@FAMILY.wrong_one("zero-over-zero-is-zero", "N-6", "displacement")
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """Guards the division: no step where the norm is zero."""
    return lr / c * np.where(u == 0, 0, m / u)


@FAMILY.wrong_one("hidden-eps", "N-6", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """Takes 1e-12 for a norm of zero."""
    norm = np.maximum(b2 * u, abs(g) + eps)
    return np.where(norm == 0, norm.dtype.type(1e-12), norm)


@FAMILY.wrong_one("infinity-forgotten-without-memory", "N-4", "first_moment")
def _(m: Any, g: Any, b1: Any) -> Any:
    """Takes the gradient itself where b1 is zero: 0 * inf is then not NaN but forgotten."""
    return g if b1 == 0 else b1 * m + (1 - b1) * g


@FAMILY.wrong_one("maximum-by-a-difference", "N-4", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """max(a - b, 0) + b: the difference of two infinities is NaN."""
    decayed, size = b2 * u, abs(g) + eps
    return np.maximum(decayed - size, 0) + size


@FAMILY.wrong_one("nan-kept-out-where-lr-is-zero", "N-5", "displacement")
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """Leaves the step out where lr is zero, and so hides a NaN."""
    step = lr / c * (m / u)
    return np.where(np.isnan(step) & ~np.isinf(u), 0, step) if lr == 0 else step


@FAMILY.wrong_one("decoupled-step-left-out-where-lr-is-zero", "N-4")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Returns early from the decoupled step where lr is zero, and so hides a NaN."""
    stepped, new = BASE.step(p, g, s, hp)
    return (p if hp.lr == 0 and hp.decoupled_weight_decay else stepped), new


@FAMILY.wrong_one("nan-parameter-made-zero", "N-5")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """nan_to_num of the parameters before the step."""
    numbers = {
        k: np.where(np.isnan(v), 0, v).astype(v.dtype) if k in g else v for k, v in p.items()
    }
    return BASE.step(numbers, g, s, hp)
