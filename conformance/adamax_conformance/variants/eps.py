"""Place and size of eps (A-5, A-7), dialects of Adamax among them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from adamax_conformance.variants.variant import Family, each_alone
from adamax_core.rule import maximum

FAMILY = Family("eps", "eps")

FAMILY.dialect("eps-outside", "A-5", eps="outside")
FAMILY.dialect("eps-absent", "A-5", eps="none")
FAMILY.dialect("eps-in-the-decay", "A-5", eps="in the decay")
FAMILY.dialect("eps-on-the-maximum", "A-5", eps="on the maximum")
FAMILY.dialect("eps-as-a-floor", "A-5", eps="floor")


@FAMILY.wrong_one("eps-halved", "A-5", "infinity_norm", exact=True)
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """Half of eps."""
    return maximum(b2 * u, abs(g) + eps / 2)


@FAMILY.wrong_one("eps-under-a-root", "A-5", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """sqrt(g^2 + eps^2) for |g| + eps: smooth at zero, and smaller everywhere else."""
    return np.maximum(b2 * u, np.hypot(g, eps))


@FAMILY.wrong_one("eps-times-the-norm", "A-5", "infinity_norm", exact=True)
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """A relative eps: |g| (1 + eps)."""
    return maximum(b2 * u, abs(g) * (1 + eps))


@FAMILY.wrong_one("second-eps", "A-7", "displacement")
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """Adds a second eps, a constant, to the divisor."""
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
    """Take the step of each parameter with an eps that depends on its count."""
    return each_alone(p, g, s, lambda k: replace(hp, eps=eps(s.step[k] + 1)))


@FAMILY.right_one("eps-added-to-the-larger-sign", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """max(b2 u, g + eps, -g + eps)."""
    return np.maximum(b2 * u, np.maximum(g + eps, eps - g))
