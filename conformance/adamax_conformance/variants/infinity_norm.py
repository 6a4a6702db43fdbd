"""The infinity norm: decay, magnitude, maximum (A-5), and no correction of it (A-6, A-7)."""

from typing import Any

import numpy as np

from adamax_conformance.dialects.generic import square_root
from adamax_conformance.variants.variant import BASE, Family, moved
from adamax_core.rule import maximum

FAMILY = Family("infinity-norm", "infinity norm")


@FAMILY.wrong_one("norm-without-magnitude", "A-5", "infinity_norm", exact=True)
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """max(b2 u, g + eps): negative gradients do not count."""
    return maximum(b2 * u, g + eps)


@FAMILY.wrong_one("norm-that-adds", "A-5", "infinity_norm", exact=True)
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """An average of |g| instead of its maximum."""
    return b2 * u + (1 - b2) * (abs(g) + eps)


@FAMILY.wrong_one("norm-of-adam", "A-5", "infinity_norm", exact=True)
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """Adam's root mean square."""
    return square_root(b2 * u * u + (1 - b2) * g * g) + eps


@FAMILY.wrong_one("norm-never-decays", "A-5", "infinity_norm", exact=True)
def _(u: Any, g: Any, _b2: Any, eps: Any) -> Any:
    """The largest gradient ever, as AMSGrad would have it."""
    return maximum(u, abs(g) + eps)


@FAMILY.wrong_one("norm-forgets", "A-5", "infinity_norm", exact=True)
def _(_u: Any, g: Any, _b2: Any, eps: Any) -> Any:
    """The last gradient alone."""
    return abs(g) + eps


@FAMILY.wrong_one("norm-of-the-minimum", "A-5", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """The smaller of the two, from the second gradient on."""
    decayed, size = b2 * u, abs(g) + eps
    return np.where(u == 0, size, np.minimum(decayed, size))


@FAMILY.wrong_one("norm-decays-after-the-maximum", "A-5", "infinity_norm", exact=True)
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """b2 max(u, |g| + eps): the new gradient decays at once."""
    return b2 * maximum(u, abs(g) + eps)


@FAMILY.wrong_one("norm-of-the-moment", "A-5")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The maximum of |m| instead of |g|."""
    stepped, new = BASE.step(p, g, s, hp)
    for k in g:
        size = np.maximum(hp.betas[1] * s.exp_inf[k], abs(new.exp_avg[k]) + hp.eps)
        new.exp_inf[k] = size.astype(s.exp_inf[k].dtype)
    return stepped, new


@FAMILY.wrong_one("one-norm-for-the-tensor", "A-5", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """The largest gradient of the tensor for each of its elements."""
    largest = abs(g).max() if g.size else 0
    return np.maximum(b2 * u, largest + eps)


@FAMILY.wrong_one("norm-halved-in-the-step", "A-7", "displacement", exact=True)
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """Divides by 2 u."""
    return lr / c * (m / (2 * u))


@FAMILY.wrong_one("old-norm", "A-7")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Divides by the norm as it was before this gradient."""
    _, new = BASE.step(p, g, s, hp)
    late = {k: np.where(new.step[k] == 1, new.exp_inf[k], s.exp_inf[k]) for k in g}
    return moved(p, {k: new.exp_avg[k] for k in g}, late, new, hp), new


@FAMILY.right_one("maximum-by-comparison", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """b2 u where it is larger or NaN, else |g| + eps."""
    decayed, size = b2 * u, abs(g) + eps
    return np.where(np.isnan(decayed) | (decayed > size), decayed, size)


@FAMILY.right_one("magnitude-by-maximum", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """|g| as max(g, -g), and the maximum the other way round."""
    return np.maximum(np.maximum(g, -g) + eps, b2 * u)


@FAMILY.right_one("maximum-of-a-stack", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """The largest along a new axis, as torch.optim has it."""
    return np.max(np.stack([b2 * u, abs(g) + eps]), axis=0)


@FAMILY.right_one("maximum-by-sorting", "infinity_norm")
def _(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """The last of the two in order; NaN sorts last."""
    return np.sort(np.stack([b2 * u, abs(g) + eps]), axis=0)[1]
