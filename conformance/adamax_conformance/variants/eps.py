"""Where eps is and how large (A-5, A-7): the dialects that go by the name of Adamax."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from adamax_conformance.variants.variant import BASE, Family, each_alone, moved

FAMILY = Family("eps", "eps")


@FAMILY.wrong_one("eps-outside", "A-5")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Keras and TensorFlow: max(b2 u, |g|), with eps added where it divides."""
    _, new = BASE.step(p, g, s, replace(hp, eps=0.0))
    moments, norms = ({k: part[k] for k in g} for part in (new.exp_avg, new.exp_inf))
    return moved(p, moments, {k: u + hp.eps for k, u in norms.items()}, new, hp), new


@FAMILY.wrong_one("eps-absent", "A-5", "infinity_norm")
def _(u: Any, g: Any, b2: Any, _eps: Any) -> Any:
    """MXNet, and the paper: no eps anywhere."""
    return np.maximum(b2 * u, abs(g))


@FAMILY.wrong_one("eps-in-the-decay", "A-5", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """Paddle: max(b2 u + eps, |g|)."""
    return np.maximum(b2 * u + eps, abs(g))


@FAMILY.wrong_one("eps-on-the-maximum", "A-5", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """max(b2 u, |g|) + eps, which piles up in the state."""
    return np.maximum(b2 * u, abs(g)) + eps


@FAMILY.wrong_one("eps-as-a-floor", "A-5", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """max(b2 u, |g|, eps)."""
    return np.maximum(np.maximum(b2 * u, abs(g)), eps)


@FAMILY.wrong_one("eps-halved", "A-5", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """Half of eps."""
    return np.maximum(b2 * u, abs(g) + eps / 2)


@FAMILY.wrong_one("eps-under-a-root", "A-5", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """sqrt(g^2 + eps^2) for |g| + eps: smooth at zero, and smaller everywhere else."""
    return np.maximum(b2 * u, np.hypot(g, eps))


@FAMILY.wrong_one("eps-times-the-norm", "A-5", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """A relative eps: |g| (1 + eps)."""
    return np.maximum(b2 * u, abs(g) * (1 + eps))


@FAMILY.wrong_one("second-eps", "A-7", "displacement")
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """Adds a second one, a constant, where it divides."""
    return lr / c * (m / (u + 0.25))


@FAMILY.wrong_one("eps-shrinks-with-the-correction", "A-5")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Eps * sqrt(1 - b2^t), as where Adam's correction is folded into its step size."""
    return _with_eps(p, g, s, hp, lambda step: hp.eps * (1 - hp.betas[1] ** step) ** 0.5)


@FAMILY.wrong_one("eps-only-at-the-first-step", "A-5")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Guards against a zero first gradient, and never again."""
    return _with_eps(p, g, s, hp, lambda step: hp.eps if step == 1 else 0.0)


def _with_eps(p: Any, g: Any, s: Any, hp: Any, eps: Callable[[int], float]) -> Any:
    """The step of each parameter with the eps that its count gives."""
    return each_alone(p, g, s, lambda k: replace(hp, eps=eps(s.step[k] + 1)))


@FAMILY.right_one("eps-added-to-the-larger-sign", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """max(b2 u, g + eps, -g + eps)."""
    return np.maximum(b2 * u, np.maximum(g + eps, eps - g))
