"""Derivatives: partial slopes that are missing, wrong or not a number (D-1 to D-4, N-7).

The steps are those of the reference. One entry of a table of partial slopes is wrong; the chain
rule, run backward, turns the table into the requested derivative.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from adamax_conformance.subject.backend import Steps
from adamax_conformance.variants.variant import DERIVATIVES, WIDE, Family
from adamax_core import Hyperparameters

FAMILY = Family("derivatives", "derivatives", WIDE)
"""The dtypes of derivatives; half precision holds neither the range of slopes nor their sums."""

SCALARS = ("lr", "beta1", "beta2", "eps", "weight_decay")

Slopes = dict[str, Any]
"""``{"m_by_g": ...}``: the partial slopes of one step, of p, m, u, c and g by their inputs."""


def _slopes(p: Any, g: Any, m: Any, u: Any, t: int, hp: Hyperparameters) -> tuple[Slopes, Any]:
    """Return the partial slopes of a step, and its results: parameter, first moment, norm."""
    lr, (b1, b2), wd, decoupled = hp.lr, hp.betas, hp.weight_decay, hp.decoupled_weight_decay
    sign, coupled = (-1.0 if hp.maximize else 1.0), (0.0 if decoupled else wd)
    raw, old_m, old_u = g, m, u
    g = sign * raw + coupled * p
    m = b1 * old_m + (1 - b1) * g
    decayed, size = b2 * old_u, abs(g) + hp.eps
    u, old = np.maximum(decayed, size), (decayed > size).astype(float)
    c = 1 - b1**t
    shrink = lr * wd if decoupled else 0.0
    table = {
        "g_by_raw": sign, "g_by_p": coupled, "g_by_wd": 0.0 if decoupled else p,
        "m_by_m": b1, "m_by_g": 1 - b1, "m_by_b1": old_m - g,
        "u_by_u": b2 * old, "u_by_g": np.sign(g) * (1 - old), "u_by_b2": old_u * old,
        "u_by_eps": 1 - old,
        "c_by_b1": -t * b1 ** (t - 1),
        "p_by_p": 1 - shrink, "p_by_m": -lr / c / u, "p_by_u": lr / c * (m / u) / u,
        "p_by_c": lr * m / u / c**2, "p_by_lr": -m / u / c - (wd * p if decoupled else 0.0),
        "p_by_wd": -lr * p if decoupled else 0.0,
        # Not slopes, but the values that wrong slopes use.
        "g": g, "m": m, "u": u, "lr": lr, "c": c, "b1": b1, "b2": b2, "old_u": old_u,
        "tie": decayed == size,
    }  # fmt: skip
    return table, (p - lr / c * m / u - shrink * p, m, u)


def _by_chain_rule(change: Callable[[Slopes, bool], Slopes]) -> Callable[[str, Steps], Any]:
    """Return a `vjp` from the partial slopes of each step with ``change(slopes, is_last)``."""

    @functools.wraps(change)
    def vjp(wrt: str, steps: Steps) -> Any:
        arrays: dict[str, Any] = {"params": {}, "exp_avg": {}, "exp_inf": {}}
        arrays["grads"] = [{} for _ in steps.grads]
        scalars = dict.fromkeys(SCALARS, 0.0)
        for name in steps.params:
            _one(name, steps, change, arrays, scalars)
        return arrays[wrt] if wrt in arrays else scalars[wrt]

    return vjp


def _one(
    name: str,
    steps: Steps,
    change: Callable[[Slopes, bool], Slopes],
    arrays: dict[str, Any],
    scalars: dict[str, float],
) -> None:
    """Run forward through the steps of one parameter, then backward."""
    count, *moments = steps.saved[name]
    at = tuple(np.asarray(x, np.float64) for x in (steps.params[name], *moments))
    tables = []
    for index, grads in enumerate(steps.grads):
        p, m, u = at
        table, at = _slopes(p, grads[name].astype(np.float64), m, u, count + index + 1, steps.hp)
        table["dtype"] = steps.params[name].dtype
        with np.errstate(all="ignore"):
            tables.append(table | change(table, index == len(steps.grads) - 1))
    d_p = np.asarray(steps.cotangents[name], np.float64)
    d_m, d_u = d_p * 0, d_p * 0
    for index, of in reversed([*enumerate(tables)]):
        d_m, d_u = d_m + d_p * of["p_by_m"], d_u + d_p * of["p_by_u"]
        d_g = d_m * of["m_by_g"] + d_u * of["u_by_g"]
        for scalar, slope in {
            "lr": d_p * of["p_by_lr"],
            "beta1": d_m * of["m_by_b1"] + d_p * of["p_by_c"] * of["c_by_b1"],
            "beta2": d_u * of["u_by_b2"],
            "eps": d_u * of["u_by_eps"],
            "weight_decay": d_g * of["g_by_wd"] + d_p * of["p_by_wd"],
        }.items():
            scalars[scalar] += float(np.sum(slope))
        arrays["grads"][index][name] = d_g * of["g_by_raw"]
        d_p = d_p * of["p_by_p"] + d_g * of["g_by_p"]
        d_m, d_u = d_m * of["m_by_m"], d_u * of["u_by_u"]
    arrays["params"][name], arrays["exp_avg"][name], arrays["exp_inf"][name] = d_p, d_m, d_u


@_by_chain_rule
def _right(_of: Slopes, _last: bool) -> Slopes:
    """Change nothing."""
    return {}


@_by_chain_rule
def _squaring(of: Slopes, _last: bool) -> Slopes:
    """The slope of m / u by u as -m / u^2, the square in the dtype of the parameter."""
    square = of["u"].astype(of["dtype"]) ** 2
    return {"p_by_u": of["lr"] / of["c"] * of["m"] / square}


@FAMILY.wrong_one("norm-squared-in-slopes-by-arrays", "N-7", "vjp")
def _(wrt: str, steps: Steps) -> Any:
    """Divides by the square of the norm on the way to gradients, state and parameters."""
    return (_right if wrt in SCALARS else _squaring)(wrt, steps)


@FAMILY.wrong_one("norm-squared-in-slopes-by-hyperparameters", "D-3", "vjp")
def _(wrt: str, steps: Steps) -> Any:
    """Divides by the square of the norm on the way to hyperparameters."""
    return (_squaring if wrt in SCALARS else _right)(wrt, steps)


@FAMILY.wrong_one("slope-through-the-last-step-alone", "D-1", "vjp")
@_by_chain_rule
def _(_of: Slopes, last: bool) -> Slopes:
    """Detaches the parameter between the steps."""
    return {} if last else {"p_by_p": 0.0, "g_by_p": 0.0}


@FAMILY.wrong_one("slope-of-coupled-decay-dropped", "D-1", "vjp")
@_by_chain_rule
def _(_of: Slopes, _last: bool) -> Slopes:
    """The path of the parameter through its decay is cut."""
    return {"g_by_p": 0.0}


@FAMILY.wrong_one("slope-of-decoupled-decay-dropped", "D-1", "vjp")
@_by_chain_rule
def _(_of: Slopes, _last: bool) -> Slopes:
    """Passes the slope of the parameter on as a whole, with decay too."""
    return {"p_by_p": 1.0}


@FAMILY.wrong_one("norm-held-constant", "D-2", "vjp")
@_by_chain_rule
def _(_of: Slopes, _last: bool) -> Slopes:
    """Stops the gradient at the norm, as if it were a constant scale."""
    return {"p_by_u": 0.0}


@FAMILY.wrong_one("slope-from-norm-to-norm-dropped", "D-2", "vjp")
@_by_chain_rule
def _(_of: Slopes, _last: bool) -> Slopes:
    """Misses the chain from one norm to the next."""
    return {"u_by_u": 0.0}


@FAMILY.wrong_one("slope-from-moment-to-moment-dropped", "D-2", "vjp")
@_by_chain_rule
def _(_of: Slopes, _last: bool) -> Slopes:
    """Misses the chain from one first moment to the next."""
    return {"m_by_m": 0.0}


@FAMILY.wrong_one("slope-not-turned-by-maximize", "D-2", "vjp")
@_by_chain_rule
def _(_of: Slopes, _last: bool) -> Slopes:
    """Forgets that maximizing negates the gradient."""
    return {"g_by_raw": 1.0}


@FAMILY.wrong_one("slope-of-the-magnitude-is-one", "D-2", "vjp")
@_by_chain_rule
def _(of: Slopes, _last: bool) -> Slopes:
    """Takes the slope of |g| for one where g is negative too."""
    return {"u_by_g": abs(of["u_by_g"])}


@FAMILY.wrong_one("correction-held-constant", "D-3", "vjp")
@_by_chain_rule
def _(_of: Slopes, _last: bool) -> Slopes:
    """Stops the gradient at the bias correction: beta1 counts in the moment alone."""
    return {"p_by_c": 0.0}


@FAMILY.wrong_one("slope-of-the-power-one-late", "D-3", "vjp")
@_by_chain_rule
def _(of: Slopes, _last: bool) -> Slopes:
    """-t b1^t for -t b1^(t-1)."""
    return {"c_by_b1": of["c_by_b1"] * of["b1"]}


@FAMILY.wrong_one("slope-of-beta1-without-the-gradient", "D-3", "vjp")
@_by_chain_rule
def _(of: Slopes, _last: bool) -> Slopes:
    """Takes 1 - b1 for a constant: the slope of the moment is then the old moment alone."""
    return {"m_by_b1": of["m_by_b1"] + of["g"]}


@FAMILY.wrong_one("slope-of-beta2-where-it-is-not-taken", "D-3", "vjp")
@_by_chain_rule
def _(of: Slopes, _last: bool) -> Slopes:
    """The slope by b2 is the old norm, whichever side of the maximum was taken."""
    return {"u_by_b2": of["old_u"]}


@FAMILY.wrong_one("slope-of-eps-where-it-is-not-taken", "D-3", "vjp")
@_by_chain_rule
def _(_of: Slopes, _last: bool) -> Slopes:
    """The slope by eps is one, whichever side of the maximum was taken."""
    return {"u_by_eps": 1.0}


@FAMILY.wrong_one("slope-of-lr-without-the-decay", "D-3", "vjp")
@_by_chain_rule
def _(of: Slopes, _last: bool) -> Slopes:
    """Forgets that lr multiplies the decoupled decay."""
    return {"p_by_lr": of["p_by_m"] * of["m"] / of["lr"]}


@FAMILY.wrong_one("slope-of-decay-halved", "D-3", "vjp")
@_by_chain_rule
def _(of: Slopes, _last: bool) -> Slopes:
    """Differentiates the decay as wd / 2 p."""
    return {"g_by_wd": of["g_by_wd"] * 0.5, "p_by_wd": of["p_by_wd"] * 0.5}


@FAMILY.wrong_one("nan-at-zero", "D-4", "vjp")
@_by_chain_rule
def _(of: Slopes, _last: bool) -> Slopes:
    """G / |g| for the slope of |g|: 0 / 0 at zero."""
    return {"u_by_g": of["u_by_eps"] * of["g"] / abs(of["g"])}


@FAMILY.wrong_one("nan-at-ties", "D-4", "vjp")
@_by_chain_rule
def _(of: Slopes, _last: bool) -> Slopes:
    """The maximum as (x + y + |x - y|) / 2, whose slope is 0 / 0 at a tie."""
    return {"u_by_g": np.where(of["tie"], np.nan, of["u_by_g"])}


@FAMILY.wrong_one("slope-of-two-at-zero", "D-4", "vjp")
@_by_chain_rule
def _(of: Slopes, _last: bool) -> Slopes:
    """A slope at |0| that is outside [-1, 1]: both one-sided ones added up."""
    return {"u_by_g": np.where(of["g"] == 0, 2.0, of["u_by_g"])}


@FAMILY.right_one("chain-of-partial-slopes", "vjp", dtypes=WIDE, clauses=DERIVATIVES)
@_by_chain_rule
def _(_of: Slopes, _last: bool) -> Slopes:
    """The chain rule on a table of partial slopes, in float64."""
    return {}


@FAMILY.right_one("slope-of-one-at-zero", "vjp", dtypes=WIDE, clauses=DERIVATIVES)
@_by_chain_rule
def _(of: Slopes, _last: bool) -> Slopes:
    """Optax: the slope of |0| is one."""
    return {"u_by_g": np.where(of["g"] == 0, of["u_by_eps"], of["u_by_g"])}


@FAMILY.right_one("ties-split-in-halves", "vjp", dtypes=WIDE, clauses=DERIVATIVES)
@_by_chain_rule
def _(of: Slopes, _last: bool) -> Slopes:
    """At a tie each side of the maximum gets half of the slope."""
    tie = of["tie"]
    halves = {name: np.where(tie, of[name] / 2, of[name]) for name in ("u_by_g", "u_by_eps")}
    decayed = {
        "u_by_u": np.where(tie, of["b2"] / 2, of["u_by_u"]),
        "u_by_b2": np.where(tie, of["old_u"] / 2, of["u_by_b2"]),
    }
    return halves | decayed


@FAMILY.right_one("ties-to-the-decayed-norm", "vjp", dtypes=WIDE, clauses=DERIVATIVES)
@_by_chain_rule
def _(of: Slopes, _last: bool) -> Slopes:
    """At a tie the decayed norm gets all of the slope."""
    tie = of["tie"]
    none = {name: np.where(tie, 0.0, of[name]) for name in ("u_by_g", "u_by_eps")}
    decayed = {
        "u_by_u": np.where(tie, of["b2"], of["u_by_u"]),
        "u_by_b2": np.where(tie, of["old_u"], of["u_by_b2"]),
    }
    return none | decayed


@FAMILY.wrong_one("no-slope-where-lr-is-zero", "D-3", "vjp")
@_by_chain_rule
def _(of: Slopes, _last: bool) -> Slopes:
    """Returns the parameter as it is where lr is zero, and with it no slope."""
    return {} if of["lr"] else {"p_by_lr": of["p_by_lr"] * 0}


@FAMILY.wrong_one("no-slope-where-the-decay-is-zero", "D-3", "vjp")
@_by_chain_rule
def _(of: Slopes, _last: bool) -> Slopes:
    """Leaves the decay out of the graph where it is zero."""
    return {} if np.any(of["g_by_p"]) or np.any(of["p_by_p"] != 1) else {"g_by_wd": 0.0}


@FAMILY.wrong_one("tie-counts-twice", "D-4", "vjp")
@_by_chain_rule
def _(of: Slopes, _last: bool) -> Slopes:
    """At a tie both sides of the maximum get the whole slope."""
    return {"u_by_u": np.where(of["tie"], of["b2"], of["u_by_u"])}
