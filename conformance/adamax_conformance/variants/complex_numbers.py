"""Complex parameters that are not pairs of reals (A-9)."""

from typing import Any

import numpy as np

from adamax_conformance.spec.formats import COMPLEX
from adamax_conformance.variants.variant import BASE, Family

FAMILY = Family("complex", "complex parameters", COMPLEX)


@FAMILY.wrong_one("modulus", "A-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Optax: one norm for both parts, of the modulus."""
    stepped, new = BASE.step(p, g, s, hp)
    for k in (k for k in g if g[k].dtype.kind == "c"):
        size = np.maximum(hp.betas[1] * s.exp_inf[k].real, np.abs(g[k]) + hp.eps)
        new.exp_inf[k] = (size + 1j * size).astype(g[k].dtype)
    return stepped, new


@FAMILY.wrong_one("modulus-in-the-moment", "A-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The first moment is of the modulus, in both parts."""
    sizes = {k: abs(v) * v.dtype.type(1 + 1j if v.dtype.kind == "c" else 1) for k, v in g.items()}
    return BASE.step(p, sizes, s, hp)


@FAMILY.wrong_one("complex-norm-starts-at-one", "S-1", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """The norm of a complex parameter begins at one."""
    state = BASE.init(p, hp, **more)
    norms = {k: u + 1 if u.dtype.kind == "c" else u for k, u in state.exp_inf.items()}
    return state._replace(exp_inf=norms)


@FAMILY.wrong_one("conjugate", "A-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Steps along the conjugate of the gradient."""
    return BASE.step(p, {k: np.conj(v) for k, v in g.items()}, s, hp)


@FAMILY.wrong_one("real-part-only", "A-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The imaginary part of the gradient is dropped."""
    return BASE.step(p, {k: v.real.astype(v.dtype) for k, v in g.items()}, s, hp)


@FAMILY.wrong_one("decay-of-the-real-part", "A-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The decay reaches the real part alone."""
    decayed = BASE.step(p, g, s, hp)
    if not hp.weight_decay or hp.decoupled_weight_decay:
        return decayed
    lifted = {k: v - 1j * hp.weight_decay * p[k].imag for k, v in g.items()}
    sign = -1 if hp.maximize else 1
    return BASE.step(
        p,
        {k: (g[k] + sign * (v - g[k])).astype(g[k].dtype) for k, v in lifted.items()},
        s,
        hp,
    )


@FAMILY.wrong_one("larger-of-complex-numbers", "A-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """A maximum that orders by the real part, and takes both parts from the larger."""
    stepped, new = BASE.step(p, g, s, hp)
    for k in (k for k in g if g[k].dtype.kind == "c"):
        old, size = s.exp_inf[k] * hp.betas[1], _parts(abs(g[k].real), abs(g[k].imag), hp.eps)
        new.exp_inf[k] = np.where(old.real >= size.real, old, size).astype(g[k].dtype)
    return stepped, new


def _parts(real: Any, imag: Any, eps: float) -> Any:
    return (real + eps) + 1j * (imag + eps)


@FAMILY.wrong_one("nan-in-one-part-spoils-the-other", "A-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Complex arithmetic, in which a NaN or an infinity in one part is one in both."""
    with np.errstate(all="ignore"):
        return BASE.step(p, {k: v * v.dtype.type(1) for k, v in g.items()}, s, hp)


@FAMILY.wrong_one("conjugate-slopes", "A-9", "vjp")
def _(wrt: str, steps: Any) -> Any:
    """JAX: the derivative by a complex number is the conjugate of the pair of derivatives."""
    slopes = BASE.vjp(wrt, steps)
    return {k: np.conj(v) for k, v in slopes.items()} if wrt == "params" else slopes


@FAMILY.right_one("pairs-by-view")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """torch.view_as_real: the parts as a last axis of two, seen in place."""
    BASE.step(p, g, s, hp)  # refuses what does not fit

    def seen(arrays: Any) -> Any:
        return {k: _pairs(v) for k, v in arrays.items()}

    def back(arrays: Any, like: Any) -> Any:
        return {k: _complex(v, like[k]) for k, v in arrays.items()}

    state = s._replace(exp_avg=seen(s.exp_avg), exp_inf=seen(s.exp_inf))
    stepped, new = BASE.step(seen(p), seen(g), state, hp)
    return back(stepped, p), new._replace(
        exp_avg=back(new.exp_avg, s.exp_avg), exp_inf=back(new.exp_inf, s.exp_inf)
    )


def _pairs(array: Any) -> Any:
    if array.dtype.kind != "c":
        return array
    return np.ascontiguousarray(array).view(array.real.dtype).reshape(*array.shape, 2)


def _complex(array: Any, like: Any) -> Any:
    return np.ascontiguousarray(array).view(like.dtype)[..., 0] if like.dtype.kind == "c" else array
