"""Sign and decay: their order and their operands (A-1, A-2, A-8)."""

from dataclasses import replace
from typing import Any

from adamax_conformance.variants.variant import BASE, Family, each_alone

FAMILY = Family("sign-and-decay", "sign and decay order")

FAMILY.dialect("maximize-ignored", "A-1", sign="ignored")


@FAMILY.wrong_one("sign-reversed", "A-4", "sign", exact=True)
def _(g: Any, maximize: bool) -> Any:
    """Descends when asked to maximize, and ascends otherwise."""
    return g if maximize else -g


@FAMILY.wrong_one("maximize-turns-the-step-alone", "A-1")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Maximizes by adding the step, so that the moments are those of the wrong sign."""
    if not hp.maximize or hp.weight_decay:
        return BASE.step(p, g, s, hp)
    stepped, s = BASE.step(p, g, s, replace(hp, maximize=False))
    return {k: (p[k] + (p[k] - stepped[k])).astype(p[k].dtype) for k in p}, s


@FAMILY.wrong_one("decay-ignored", "A-2", "coupled_decay", exact=True)
def _(g: Any, _p: Any, _wd: Any) -> Any:
    """Accepts a weight decay and ignores it."""
    return g


@FAMILY.wrong_one("coupled-decay-ends", "A-2")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """A schedule of the coupled decay that ends after 400 steps."""
    return each_alone(p, g, s, lambda k: _ended(s.step[k], hp, decoupled=False))


@FAMILY.wrong_one("decoupled-decay-ends", "A-8")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """A schedule of the decoupled decay that ends after 400 steps."""
    return each_alone(p, g, s, lambda k: _ended(s.step[k], hp, decoupled=True))


def _ended(count: int, hp: Any, *, decoupled: bool) -> Any:
    last = 400
    over = count >= last and hp.decoupled_weight_decay == decoupled
    return replace(hp, weight_decay=0.0) if over else hp


@FAMILY.wrong_one("maximize-ends", "A-1")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Descends from the hundredth step on."""
    last = 100
    return each_alone(p, g, s, lambda k: replace(hp, maximize=hp.maximize and s.step[k] < last))


@FAMILY.wrong_one("decay-doubled", "A-2", "coupled_decay", exact=True)
def _(g: Any, p: Any, wd: Any) -> Any:
    """Adds 2 wd p, the slope of wd p^2 without its half."""
    return g + 2 * wd * p if wd else g


@FAMILY.wrong_one("decay-subtracted", "A-2", "coupled_decay", exact=True)
def _(g: Any, p: Any, wd: Any) -> Any:
    """Subtracts the decay, which makes the parameters grow."""
    return g - wd * p if wd else g


@FAMILY.wrong_one("decay-of-zero-reads-the-parameter", "A-2", "coupled_decay")
def _(g: Any, p: Any, wd: Any) -> Any:
    """Adds 0 * p for a decay of zero: an infinite parameter spoils its moments."""
    return g + wd * p


FAMILY.dialect("decay-before-the-sign", "A-2", decay="coupled before the sign")


@FAMILY.wrong_one("decay-applied-twice", "A-2")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Decays through the gradient, and beside the step once more."""
    stepped, s = BASE.step(p, g, s, hp)
    lost = 0.0 if hp.decoupled_weight_decay else hp.lr * hp.weight_decay
    return _shrunk(stepped, p, g, lost), s


@FAMILY.wrong_one("decoupled-where-coupled-is-asked", "A-2")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Always decouples the decay."""
    return BASE.step(p, g, s, replace(hp, decoupled_weight_decay=True))


@FAMILY.wrong_one("coupled-where-decoupled-is-asked", "A-8")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Always couples the decay."""
    return BASE.step(p, g, s, replace(hp, decoupled_weight_decay=False))


@FAMILY.wrong_one("decoupled-decay-of-the-new-parameter", "A-8")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Shrinks the parameter after the step, the step included."""
    if not hp.decoupled_weight_decay:
        return BASE.step(p, g, s, hp)
    stepped, s = BASE.step(p, g, s, replace(hp, weight_decay=0.0))
    return _shrunk(stepped, stepped, g, hp.lr * hp.weight_decay), s


@FAMILY.wrong_one("decoupled-decay-without-lr", "A-8", "decoupled_decay", exact=True)
def _(p: Any, _lr: Any, wd: Any) -> Any:
    """Shrinks the parameter by wd alone, as if lr were 1."""
    return wd * p


@FAMILY.wrong_one("decoupled-decay-turned-by-maximize", "A-8")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Negates the decoupled decay along with the step: when maximizing, parameters grow."""
    stepped, s = BASE.step(p, g, s, hp)
    turned = hp.maximize and hp.decoupled_weight_decay
    return _shrunk(stepped, p, g, -2 * hp.lr * hp.weight_decay if turned else 0.0), s


def _shrunk(stepped: Any, of: Any, grads: Any, lost: float) -> Any:
    """Return `stepped` minus a multiple of `of`, for parameters with a gradient."""
    if not lost:
        return stepped
    return {k: (v - lost * of[k]).astype(v.dtype) if k in grads else v for k, v in stepped.items()}


@FAMILY.right_one("decay-as-a-factor", "decoupled_decay")
def _(p: Any, lr: Any, wd: Any) -> Any:
    """Decoupled decay as p (1 - lr wd)."""
    return p - (1 - lr * wd) * p


@FAMILY.right_one("decay-with-lr-last", "decoupled_decay")
def _(p: Any, lr: Any, wd: Any) -> Any:
    """Decoupled decay as (wd p) lr."""
    return (wd * p) * lr


@FAMILY.right_one("sign-as-a-factor", "sign")
def _(g: Any, maximize: bool) -> Any:
    """The gradient times one or minus one."""
    return g * (-1.0 if maximize else 1.0)
