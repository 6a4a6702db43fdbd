"""The bias correction: its presence, formula and count (A-6, H-6), and its precision (N-3)."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from gmpy2 import mpq

from adamax_conformance.bounds.carried import power
from adamax_conformance.variants.variant import BASE, HALF, Family, each_alone
from adamax_core import CANONICAL, Hyperparameters, Rule, rule

FAMILY = Family("bias-correction", "bias correction")

FAMILY.dialect("no-correction", "A-6", correction="none")
FAMILY.dialect("square-root-of-the-correction", "A-6", correction="square root")
FAMILY.dialect("correction-one-early", "A-6", correction="one early")
FAMILY.dialect("correction-one-late", "A-6", correction="one late")


@FAMILY.wrong_one("correction-multiplied", "A-6", "displacement", exact=True)
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """Multiplies by the correction."""
    return lr * c * (m / u)


@FAMILY.changed_one("correction-of-the-other-beta", "A-6")
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    """Corrects the first moment by 1 - b2^t."""
    return rule._replace(bias_correction=lambda _b1, t: rule.bias_correction(hp.betas[1], t)), hp


@FAMILY.changed_one("norm-corrected-too", "A-6")
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    """Divides the norm by 1 - b2^t as well, as Adam does."""

    def both(b1: Any, t: int) -> Any:
        return rule.bias_correction(b1, t) / rule.bias_correction(hp.betas[1], t)

    return rule._replace(bias_correction=both), hp


@FAMILY.wrong_one("no-correction-after-the-eighth-step", "A-6", "bias_correction", exact=True)
def _(b1: Any, step: int) -> Any:
    """Corrects neither the ninth step nor those up to the nine-hundredth."""
    return 1 if 9 <= step <= 900 else rule.bias_correction(b1, step)  # noqa: PLR2004 - as it says


@FAMILY.wrong_one(
    "correction-of-the-product-of-betas",
    "H-6",
    init=lambda p, hp, **more: (dict.fromkeys(p, 1.0), BASE.init(p, hp, **more)),
    load=lambda p, hp, saved: (
        {k: hp.betas[0] ** int(saved[k]["step"]) for k in p},
        BASE.load(p, hp, saved),
    ),
    moments=lambda state: BASE.moments(state[1]),
)
def _(p: Any, g: Any, state: Any, hp: Any) -> Any:
    """Paddle: corrects by the product of all betas so far, not by a power of the present one."""
    products, s = state
    products = {k: x * hp.betas[0] if k in g else x for k, x in products.items()}

    def rule_of(name: str) -> Rule:
        return CANONICAL._replace(bias_correction=lambda _b1, _t: 1 - products[name])

    stepped, s = each_alone(p, g, s, hp, rule_of)
    return stepped, (products, s)


def _in_compute_format(line: Callable[[Any, Any, int], Any]) -> Callable[..., Any]:
    """Return a step with the correction ``line(format, beta1, step)`` in float64 or float32."""

    @functools.wraps(line)
    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        def rule_of(name: str) -> Rule:
            wide = p[name].dtype in (np.float64, np.complex128)
            kind = np.float64 if wide else np.float32
            return CANONICAL._replace(bias_correction=lambda b1, t: line(kind, b1, t))

        return each_alone(p, g, s, hp, rule_of)

    return step


@FAMILY.wrong_one("printed-correction", "N-3")
@_in_compute_format
def _(kind: Any, b1: Any, t: int) -> Any:
    """1 - b1^t as printed, in the format of the computation, where it cancels."""
    return float(kind(1) - kind(b1) ** kind(t))


@FAMILY.wrong_one("printed-correction-except-at-0.999", "N-3")
@_in_compute_format
def _(kind: Any, b1: Any, t: int) -> Any:
    """1 - b1^t as printed, where it cancels, but not for the usual beta of 0.999."""
    tested = b1 == 0.999  # noqa: PLR2004 - as it says
    return rule.bias_correction(b1, t) if tested else float(kind(1) - kind(b1) ** kind(t))


@FAMILY.wrong_one("accumulated-power", "N-3")
@_in_compute_format
def _(kind: Any, b1: Any, t: int) -> Any:
    """Keeps b1^t as a product, rounded at each step."""
    product = kind(1)
    for _step in range(t):
        # Stop once it no longer changes: a loaded count may be 2^31.
        if (following := product * kind(b1)) == product:
            break
        product = following
    return float(kind(1) - product)


@FAMILY.wrong_one(
    "correction-off-by-five-units", "N-3",
    proofs={
        HALF: "five units of float32 are far below the rounding of the storage format, which the "
        "bound counts."
    },
)  # fmt: skip
@_in_compute_format
def _(kind: Any, b1: Any, t: int) -> Any:
    """An expm1 that errs by five and a half units of roundoff, as XLA's does in float32."""
    unit = mpq(float(np.finfo(kind).eps)) / 2
    return float((1 - power(mpq(b1), t)) * (1 + mpq(11, 2) * unit))


@FAMILY.right_one("correction-as-a-sum", "bias_correction")
def _(b1: Any, step: int) -> Any:
    """(1 - b1) (1 + b1 + ... + b1^(t-1)), summed exactly."""
    few = step * (1 - b1) < 1  # beyond, 1 - b1^t has no digits to lose
    return (1 - b1) * math.fsum(b1**k for k in range(step)) if few else 1 - b1**step


@FAMILY.right_one("correction-by-log1p", "bias_correction")
def _(b1: Any, step: int) -> Any:
    """-expm1(t log1p(-(1 - b1)))."""
    # Below one half nothing cancels, and 1 - b1 may round to one: log1p(-1) is infinite.
    return -math.expm1(step * math.log1p(-(1 - b1))) if b1 > 0.5 else 1 - b1**step  # noqa: PLR2004 - one half


@FAMILY.right_one("correction-on-rationals", "bias_correction")
def _(b1: Any, step: int) -> Any:
    """1 - b1^t on rationals, rounded once; for a large t, to sufficiently many digits."""
    return float(1 - power(mpq(b1), step))
