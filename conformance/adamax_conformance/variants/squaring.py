"""Overflow of intermediate results: squares and denominators out of range (N-7, N-8)."""

from typing import Any

import numpy as np

from adamax_conformance.variants.variant import BASE, WIDE, Family, Proofs

FAMILY = Family("squaring", "overflow from squaring")
_RANGE: Proofs = {
    ("float16",): "half precision is computed in float32, where the square of every float16 is a "
    "normal number, or zero for zero."
}
_BOTH_ENDS: Proofs = {
    ("bfloat16", *WIDE): "u c / lr overflows at 2^128 (2^1024), and lr / (u c), which a right "
    "association computes and hardware may flush, vanishes at 2^-126 (2^-1022): the one loses the "
    "step where the other may (A-7). Float16 alone is computed in a wider range than its own."
}


@FAMILY.wrong_one("norm-by-squaring", "N-7", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """The root of the larger of the squares."""
    return np.sqrt(np.maximum((b2 * u) ** 2, (abs(g) + eps) ** 2))


@FAMILY.wrong_one("magnitude-by-squaring", "N-7", "infinity_norm", proofs=_RANGE)
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """|g| as the root of g^2."""
    return np.maximum(b2 * u, np.sqrt(g * g) + eps)


@FAMILY.wrong_one("squares-compared-in-storage", "N-7")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Compares squares in the storage format, and takes the gradient where they are equal."""
    stepped, new = BASE.step(p, g, s, hp)
    with np.errstate(all="ignore"):
        for k in g:
            dtype = s.exp_inf[k].dtype
            decayed, size = (
                x.astype(dtype) for x in (hp.betas[1] * s.exp_inf[k], abs(g[k]) + hp.eps)
            )
            equal = np.isinf(decayed * decayed) & np.isinf(size * size)
            new.exp_inf[k] = np.where(equal, size, new.exp_inf[k])
    return stepped, new


@FAMILY.wrong_one("infinite-gradient-clamped", "N-4")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Clamps infinities to the largest finite number."""
    return BASE.step(p, {k: _clamped(v) for k, v in g.items()}, s, hp)


def _clamped(grad: Any) -> Any:
    largest = np.finfo(np.float32).max if grad.dtype.itemsize > 2 else 65504.0  # noqa: PLR2004 - bytes of half precision
    return np.where(np.isinf(grad), np.sign(grad) * largest, grad).astype(grad.dtype)


@FAMILY.wrong_one("denominator-clamped", "N-8", "displacement")
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """Clamps the denominator u c / lr to 65504, the largest of float16."""
    return m / np.minimum(u * c / lr, 65504.0) if lr else m * 0.0


@FAMILY.wrong_one("denominator-overflows", "N-8", proofs=_BOTH_ENDS)
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """PyTorch capturable: divides by u c / lr, in the storage format, where it overflows."""
    result, new = BASE.step(p, g, s, hp)
    stepped = dict(result)
    with np.errstate(all="ignore"):
        for k in g:
            if hp.lr:
                size = (1 - hp.betas[0] ** new.step[k]) / hp.lr
                denominator = (new.exp_inf[k] * size).astype(p[k].dtype)
                lost = np.isinf(denominator) & np.isfinite(new.exp_inf[k])
                stepped[k] = np.where(lost, p[k], stepped[k])
    return stepped, new
