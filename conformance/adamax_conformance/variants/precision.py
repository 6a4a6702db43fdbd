"""Precision: the formats of scalars and of arithmetic (A-4 to A-7, N-1, N-2)."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

import adamax_core
from adamax_conformance.spec.formats import FLOAT16, format_of
from adamax_conformance.variants.variant import BASE, HALF, WIDE, Family, Proofs, each_alone, moved
from adamax_core import CANONICAL, Hyperparameters, Rule, State, rule

FAMILY = Family("precision", "precision of scalars")
_ADMITTED: Proofs = {
    HALF: "eleven bits are at least those of the storage format, and a scalar that is rounded to "
    "as many is among the roundings that the bound counts."
}


def _short(number: float) -> float:
    """Round a number to the eleven bits of float16, without its range."""
    digits, exponent = math.frexp(number)
    return math.ldexp(float(np.float16(digits)), exponent)


@FAMILY.wrong_one("weight-of-the-gradient-in-eleven-bits", "A-4", "first_moment", proofs=_ADMITTED)
def _(m: Any, g: Any, b1: Any) -> Any:
    """Keeps 1 - b1 in eleven bits, as many as float16 has."""
    return b1 * m + _short(1 - b1) * g


@FAMILY.wrong_one(
    "weight-of-the-gradient-subtracted-in-float32", "A-4", "first_moment",
    proofs={
        HALF: "at the betas of the cases the weight is off by a few thousandths of a percent, less "
        "than one rounding of the storage format, of which the bound counts four."
    },
)  # fmt: skip
def _(m: Any, g: Any, b1: Any) -> Any:
    """Keeps b1 in float32 and subtracts it from one there, as a kernel with `1.0f - beta1` does."""
    return b1 * m + float(np.float32(1) - np.float32(b1)) * g


@FAMILY.wrong_one("beta2-in-eleven-bits", "A-5", "infinity_norm", proofs=_ADMITTED)
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """Keeps b2 in eleven bits."""
    return rule.infinity_norm(u, g, _short(b2), eps)


@FAMILY.wrong_one("lr-in-eleven-bits", "A-7", "displacement", proofs=_ADMITTED)
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """Keeps lr in eleven bits."""
    return rule.displacement(m, u, _short(lr), c)


@FAMILY.wrong_one(
    "lr-in-float16", "N-8",
    proofs={
        ("bfloat16", *WIDE): "nothing is done there but what the reference does: float16 alone "
        "lacks the range."
    },
)  # fmt: skip
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Keeps lr in the format of its float16 parameters: a millionth has four bits there."""
    short = replace(hp, lr=float(np.float16(min(hp.lr, float(FLOAT16.largest)))))
    return each_alone(p, g, s, lambda k: short if p[k].dtype == np.float16 else hp)


@FAMILY.wrong_one("lr-below-float16-lost", "N-8")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Takes an lr below half the smallest number of float16 for zero."""
    return BASE.step(p, g, s, replace(hp, lr=hp.lr if hp.lr > 2.0**-25 else 0.0))


@FAMILY.wrong_one(
    "scalars-in-nine-digits", "H-6",
    proofs={
        (*HALF, "float32"): "nine decimal digits are at least the digits of float32, in which "
        "scalars may be rounded."
    },
)  # fmt: skip
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Passes lr, eps and weight decay as text of nine digits."""
    hp.validate()
    names = ("lr", "eps", "weight_decay")
    scalars = {name: float(f"{getattr(hp, name):.9g}") for name in names}
    return BASE.step(p, g, s, replace(hp, **scalars))


@FAMILY.wrong_one("saturates-at-the-largest-number", "N-2")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Stores the largest finite number for a result beyond the range, as saturating casts do."""
    stepped, new = BASE.step(p, g, s, hp)

    def kept(arrays: Any) -> Any:
        return {
            k: np.where(
                np.isinf(v) & np.isfinite(g.get(k, v)) & np.isfinite(p[k]),
                np.copysign(v.dtype.type(float(format_of(v.dtype).largest)), v),
                v,
            )
            for k, v in arrays.items()
        }

    return kept(stepped), State(new.step, kept(new.exp_avg), kept(new.exp_inf))


@FAMILY.wrong_one("weight-decay-in-eleven-bits", "A-2", "coupled_decay", proofs=_ADMITTED)
def _(g: Any, p: Any, wd: Any) -> Any:
    """Keeps the weight decay in eleven bits."""
    return rule.coupled_decay(g, p, _short(wd))


@FAMILY.wrong_one("decoupled-decay-in-eleven-bits", "A-8", "decoupled_decay", proofs=_ADMITTED)
def _(p: Any, lr: Any, wd: Any) -> Any:
    """Keeps lr times the weight decay in eleven bits."""
    return _short(lr * wd) * p


@FAMILY.wrong_one(
    "correction-kept-in-float32", "A-6", "bias_correction",
    proofs={
        (*HALF, "float32"): "the step is computed in float32 there, and a correct c that is "
        "rounded to it once is within the K roundings of N-3."
    },
)  # fmt: skip
def _(b1: Any, t: int) -> Any:
    """Computes the correction well and keeps it in float32."""
    return float(np.float32(rule.bias_correction(b1, t)))


@FAMILY.wrong_one(
    "float64-in-float32",
    "A-4",
    proofs={(*HALF, "float32"): "nothing is done there but what the reference does."},
)
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """A kernel that was compiled for float32: float64 parameters are stepped in it."""
    BASE.step(p, g, s, hp)  # refuses what does not fit
    narrow = {k: np.float32 if v.dtype == np.float64 else None for k, v in p.items()}

    def rounded(arrays: Any) -> Any:
        return {k: v.astype(narrow[k] or v.dtype) for k, v in arrays.items()}

    def back(arrays: Any, like: Any) -> Any:
        return {k: v.astype(like[k].dtype) for k, v in arrays.items()}

    state = State(s.step, rounded(s.exp_avg), rounded(s.exp_inf))
    stepped, new = BASE.step(rounded(p), rounded(g), state, hp)
    return back(stepped, p), State(
        new.step, back(new.exp_avg, s.exp_avg), back(new.exp_inf, s.exp_inf)
    )


@FAMILY.wrong_one(
    "gradient-rounded-to-the-parameter-first", "S-5",
    proofs={WIDE: "a gradient of float64 may be read in float32, and there is none that is wider."},
)  # fmt: skip
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Casts the gradient to the dtype of its parameter before anything else is done."""
    BASE.step(p, g, s, hp)  # refuses what does not fit
    return BASE.step(p, {k: v.astype(p[k].dtype) for k, v in g.items()}, s, hp)


@FAMILY.wrong_one("small-lr-lost", "N-2")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Ignores a learning rate below 2^-9, as if rounding would lose it in every format."""
    return BASE.step(p, g, s, replace(hp, lr=hp.lr if hp.lr >= 2.0**-9 else 0.0))


@FAMILY.wrong_one("zero-norm-steps-by-one", "N-1", "displacement")
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """Replaces m / u by its sign where u is below 1e-7: a zero gradient then steps."""
    return lr / c * np.where(u < 1e-7, np.copysign(1, m), m / u)  # noqa: PLR2004 - as it says


_BOUNDED: Proofs = {
    (
        "bfloat16",
        *WIDE,
    ): "parameters and state of this dtype hold every eps that N-1 speaks of as a "
    "normal number, so that a zero gradient divides by eps and not by zero; the further roundings "
    "are those that the bound counts, and `in-storage-arithmetic` is among the right variants."
}


def _widest(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of an operation; the two halves meet in float32, as in most frameworks."""
    try:
        return np.result_type(*dtypes)
    except np.exceptions.DTypePromotionError:
        return np.dtype(np.float32)


def _in_storage(p: Any, g: Any, s: State, hp: Hyperparameters) -> Any:
    """Round each operation to the widest dtype of its operands, as most frameworks do."""
    BASE.step(p, g, s, hp)  # refuses what does not fit
    (b1, b2), new_p = hp.betas, dict(p)
    step, exp_avg, exp_inf = (dict(part) for part in s)
    with np.errstate(all="ignore"):
        for k in g:
            dtype = _widest(p[k].dtype, g[k].dtype, exp_avg[k].dtype)
            of, kept = dtype.type, exp_avg[k].dtype
            grad = -g[k].astype(dtype) if hp.maximize else g[k].astype(dtype)
            if hp.weight_decay and not hp.decoupled_weight_decay:
                grad = grad + of(hp.weight_decay) * p[k]
            step[k] += 1
            m = of(b1) * exp_avg[k] + of(1 - b1) * grad
            u = np.maximum(of(b2) * exp_inf[k], abs(grad) + of(hp.eps))
            moved_by = of(hp.lr / rule.bias_correction(b1, step[k])) * (m / u)
            new = p[k] - moved_by
            if hp.weight_decay and hp.decoupled_weight_decay:
                new = new - of(hp.lr) * of(hp.weight_decay) * p[k]
            new_p[k] = np.asarray(new).astype(p[k].dtype)
            exp_avg[k], exp_inf[k] = np.asarray(m).astype(kept), np.asarray(u).astype(kept)
    return new_p, State(step, exp_avg, exp_inf)


@FAMILY.wrong_one("half-precision-arithmetic", "N-1", proofs=_BOUNDED)
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Rounds every operation to the storage format, eps included."""
    return _in_storage(p, g, s, hp)


@FAMILY.wrong_one("step-from-the-stored-moments", "N-1", proofs=_BOUNDED)
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Divides what was stored, after its rounding: float16 stores an eps of 1e-8 as zero."""
    if hp.decoupled_weight_decay:
        return BASE.step(p, g, s, hp)
    _, new = BASE.step(p, g, s, hp)
    return moved(p, {k: new.exp_avg[k] for k in g}, new.exp_inf, new, hp), new


@FAMILY.right_one("in-storage-arithmetic", dtypes=("bfloat16", *WIDE))
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Rounds every operation to the storage format, where that loses nothing else."""
    return _in_storage(p, g, s, hp)


@FAMILY.right_one("scalars-in-float32", dtypes=HALF)
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Takes lr, eps and weight decay in float32, as a compiled kernel does."""
    scalars = {name: float(np.float32(getattr(hp, name))) for name in ("lr", "eps", "weight_decay")}
    return BASE.step(p, g, s, replace(hp, **scalars))


def _wide(arrays: Any, dtype: Any) -> Any:
    return {k: v.astype(np.result_type(v.dtype, dtype)) for k, v in arrays.items()}


@FAMILY.right_one("all-in-float64")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Everything in float64, rounded when it is stored."""
    return _in(np.float64, p, g, s, hp)


@FAMILY.right_one("all-in-long-double", dtypes=WIDE)
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Everything in the machine's widest format."""
    return _in(np.longdouble, p, g, s, hp)


def _in(dtype: Any, p: Any, g: Any, s: State, hp: Any) -> Any:
    BASE.step(p, g, s, hp)  # refuses what does not fit
    state = State(s.step, _wide(s.exp_avg, dtype), _wide(s.exp_inf, dtype))
    grads = _wide(g, dtype)
    stepped, new = adamax_core.step(_wide(p, dtype), {k: grads.get(k) for k in p}, state, hp)
    with np.errstate(all="ignore"):
        return {k: stepped[k].astype(p[k].dtype) for k in p}, State(
            new.step,
            {k: new.exp_avg[k].astype(v.dtype) for k, v in s.exp_avg.items()},
            {k: new.exp_inf[k].astype(v.dtype) for k, v in s.exp_inf.items()},
        )


@FAMILY.right_one("one-element-at-a-time")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """A loop over elements in Python's own floats."""

    def rule_of(name: str) -> Rule:
        del name
        return CANONICAL._replace(displacement=_quotients)

    return each_alone(p, g, s, hp, rule_of)


def _quotients(m: Any, u: Any, lr: Any, c: Any) -> Any:
    def quotient(x: float, y: float) -> float:
        if y == 0 or not np.isfinite([x, y]).all():
            return float(np.float64(x) / np.float64(y))
        return float(lr / c * (x / y))

    return np.vectorize(quotient, otypes=[m.dtype])(m, u) if m.size else m
