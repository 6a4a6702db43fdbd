"""Mixed precision: several dtypes in one step (S-5, S-6, S-9)."""

from dataclasses import replace
from typing import Any

import numpy as np

from adamax_conformance.variants.variant import BASE, HALF, Family, Proofs, each_alone
from adamax_core import State

FAMILY = Family("mixed-precision", "mixed precision")
_NARROW: Proofs = {HALF: "there is no state that is narrower than half precision."}


def _mixed(p: Any, g: Any, k: str) -> bool:
    return k in g and g[k].dtype != p[k].dtype


@FAMILY.wrong_one("other-gradients-descend", "S-5")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """The path for gradients of another dtype does not know `maximize`."""
    return each_alone(p, g, s, lambda k: replace(hp, maximize=hp.maximize and not _mixed(p, g, k)))


@FAMILY.wrong_one("other-gradients-do-not-decay", "S-5")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """The path for gradients of another dtype does not know weight decay."""
    return each_alone(
        p, g, s, lambda k: replace(hp, weight_decay=0.0 if _mixed(p, g, k) else hp.weight_decay)
    )


@FAMILY.wrong_one(
    "eps-in-the-dtype-of-the-gradient", "S-5",
    proofs={
        ("float16",): "every other dtype of a gradient has the range of float32, in which eps is "
        "added anyway; its rounding is one of those that the bound counts."
    },
)  # fmt: skip
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Rounds eps to the dtype of the gradient where that is not the parameter's: 1e-8 vanishes."""

    def own(k: str) -> Any:
        return replace(hp, eps=float(g[k].dtype.type(hp.eps))) if _mixed(p, g, k) else hp

    return each_alone(p, g, s, own)


@FAMILY.wrong_one("eps-in-the-dtype-of-the-state", "S-6", proofs=_NARROW)
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Rounds eps to the dtype of a state that is narrower than its parameter."""

    def own(k: str) -> Any:
        dtype = s.exp_inf[k].dtype
        narrow = dtype.kind != "c" and dtype.itemsize < p[k].dtype.itemsize
        return replace(hp, eps=float(dtype.type(hp.eps))) if narrow else hp

    return each_alone(p, g, s, own)


@FAMILY.wrong_one("gradient-in-the-dtype-of-the-state", "S-6", proofs=_NARROW)
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Rounds a gradient to the dtype of a state that is narrower than its parameter."""
    BASE.step(p, g, s, hp)  # refuses what does not fit

    def own(k: str, grad: Any) -> Any:
        dtype = s.exp_avg[k].dtype
        return grad.astype(dtype) if dtype.itemsize < p[k].dtype.itemsize else grad

    return BASE.step(p, {k: own(k, v) for k, v in g.items()}, s, hp)


@FAMILY.wrong_one("dtype-of-the-first-for-all", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Casts every gradient to the dtype of the first parameter."""
    BASE.step(p, g, s, hp)  # refuses what does not fit
    first = next(iter(p.values())).dtype
    return BASE.step(p, {k: v.astype(first) for k, v in g.items()}, s, hp)


@FAMILY.wrong_one(
    "gradients-rounded-before-decay", "S-6",
    proofs={("float32", "float64"): "no other gradient has more digits than the parameter."},
)  # fmt: skip
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Converts a gradient to the dtype of its parameter where there is weight decay."""
    BASE.step(p, g, s, hp)  # refuses what does not fit
    return BASE.step(
        p, {k: v.astype(p[k].dtype) for k, v in g.items()} if hp.weight_decay else g, s, hp
    )


@FAMILY.wrong_one(
    "bfloat16-through-float16", "S-5",
    proofs={
        ("bfloat16", "float32", "float64"): "only float16 parameters meet bfloat16 gradients so."
    },
)  # fmt: skip
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Converts bfloat16 gradients to float16 for a float16 parameter: infinite beyond 65504."""

    def crossed(k: str, grad: Any) -> Any:
        both = (p[k].dtype.name, grad.dtype.name)
        return grad.astype(np.float16) if both == ("float16", "bfloat16") else grad

    return BASE.step(p, {k: crossed(k, v) for k, v in g.items()}, s, hp)


@FAMILY.wrong_one(
    "weight-decay-in-the-dtype-of-the-parameter", "S-6",
    proofs={
        ("float32",): "its rounding is one of those that the bound counts.",
        ("float64",): "it has the digits of a float64.",
    },
)  # fmt: skip
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Rounds the weight decay to the dtype of the parameter, whatever that of the state is."""
    return each_alone(
        p, g, s, lambda k: replace(hp, weight_decay=float(p[k].real.dtype.type(hp.weight_decay)))
    )


@FAMILY.wrong_one("state-in-the-dtype-of-the-first", "S-5", "init")
def _(p: Any, hp: Any, state_dtype: str | None = None) -> Any:
    """Makes the state of all parameters in the dtype of the first."""
    state = BASE.init(p, hp, state_dtype=state_dtype)
    first = next(iter(state.exp_avg.values())).dtype

    def cast(arrays: Any) -> Any:
        return {k: v.astype(first) if v.dtype.kind != "c" else v for k, v in arrays.items()}

    return state._replace(exp_avg=cast(state.exp_avg), exp_inf=cast(state.exp_inf))


@FAMILY.right_one("gradients-widened-first", dtypes=("float16", "bfloat16", "float32", "float64"))
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Casts every gradient to float64 before anything else is done with it."""
    BASE.step(p, g, s, hp)  # refuses what does not fit
    return BASE.step(p, {k: v.astype(np.float64) for k, v in g.items()}, s, hp)
