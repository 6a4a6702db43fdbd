"""Values in force: the hyperparameters of a step after a change, and at the ends of domains."""

from dataclasses import replace
from typing import Any

from adamax_conformance.variants.variant import BASE, Family

FAMILY = Family("in-force", "hyperparameters in force")

_CAPTURED = replace(
    BASE,
    init=lambda p, hp, **more: (hp, BASE.init(p, hp, **more)),
    load=lambda p, hp, saved: (hp, BASE.load(p, hp, saved)),
    moments=lambda state: BASE.moments(state[1]),
)
"""A backend whose state keeps the hyperparameters it was created with; it has no step yet."""


def _with_old(p: Any, g: Any, state: Any, hp: Any, *names: str) -> Any:
    made, s = state
    stepped, s = BASE.step(p, g, s, replace(hp, **{name: getattr(made, name) for name in names}))
    return stepped, (made, s)


@FAMILY.wrong_one("lr-captured-at-init", "H-6", base=_CAPTURED)
def _(p: Any, g: Any, state: Any, hp: Any) -> Any:
    """Uses the lr that it was created with: a schedule has no effect."""
    return _with_old(p, g, state, hp, "lr")


@FAMILY.wrong_one("betas-captured-at-init", "H-6", base=_CAPTURED)
def _(p: Any, g: Any, state: Any, hp: Any) -> Any:
    """Uses the betas that it was created with."""
    return _with_old(p, g, state, hp, "betas")


@FAMILY.wrong_one("eps-captured-at-init", "H-6", base=_CAPTURED)
def _(p: Any, g: Any, state: Any, hp: Any) -> Any:
    """Uses the eps that it was created with, like a kernel compiled with a constant."""
    return _with_old(p, g, state, hp, "eps")


@FAMILY.wrong_one("modes-captured-at-init", "H-6", base=_CAPTURED)
def _(p: Any, g: Any, state: Any, hp: Any) -> Any:
    """Uses the sign and decay that it was created with."""
    return _with_old(p, g, state, hp, "maximize", "weight_decay")


@FAMILY.wrong_one("lr-of-the-step-before", "H-6", base=_CAPTURED)
def _(p: Any, g: Any, state: Any, hp: Any) -> Any:
    """Calls the scheduler after the step: each step uses the lr of the one before."""
    stepped, (_, s) = _with_old(p, g, state, hp, "lr")
    return stepped, (hp, s)


@FAMILY.wrong_one("betas-of-the-step-before", "H-6", base=_CAPTURED)
def _(p: Any, g: Any, state: Any, hp: Any) -> Any:
    """Prepares the scalars of a step at the end of the last one."""
    stepped, (_, s) = _with_old(p, g, state, hp, "betas")
    return stepped, (hp, s)


@FAMILY.wrong_one("decay-of-the-step-before", "H-6", base=_CAPTURED)
def _(p: Any, g: Any, state: Any, hp: Any) -> Any:
    """Uses the weight decay of the step before."""
    stepped, (_, s) = _with_old(p, g, state, hp, "weight_decay")
    return stepped, (hp, s)


@FAMILY.wrong_one("lr-of-zero-freezes-all", "H-5")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Returns at once where lr is zero, and does not move the moments."""
    return BASE.step(p, g if hp.lr else {}, s, hp)


@FAMILY.wrong_one("lr-of-zero-is-the-default", "H-5")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """`lr or 2e-3`: takes zero for not given."""
    return BASE.step(p, g, s, replace(hp, lr=hp.lr or 2e-3))


@FAMILY.wrong_one("beta2-of-zero-is-the-default", "H-5")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """`beta2 or 0.999`: takes zero for not given."""
    return BASE.step(p, g, s, replace(hp, betas=(hp.betas[0], hp.betas[1] or 0.999)))


@FAMILY.wrong_one("small-decoupled-decay-lost", "H-5", "decoupled_decay")
def _(p: Any, lr: Any, wd: Any) -> Any:
    """Takes a decay below 2^-10 for none."""
    return lr * (wd if wd >= 2.0**-10 else 0.0) * p


@FAMILY.wrong_one("large-decoupled-decay-clipped", "H-5", "decoupled_decay")
def _(p: Any, lr: Any, wd: Any) -> Any:
    """Clips the decay, so that it never changes the sign of a parameter."""
    return min(lr * wd, 1.0) * p


@FAMILY.wrong_one("lr-of-zero-refused", "H-5", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Refuses an lr of zero, with which a warm-up begins."""
    if hp.lr == 0:
        raise ValueError(f"lr = {hp.lr} is not positive")
    return BASE.init(p, hp, **more)


@FAMILY.right_one("hyperparameters-beside-the-state", base=_CAPTURED)
def _(p: Any, g: Any, state: Any, hp: Any) -> Any:
    """Keeps hyperparameters in its state, as param groups do, and writes those in force there."""
    stepped, s = BASE.step(p, g, state[1], hp)
    return stepped, (hp, s)
