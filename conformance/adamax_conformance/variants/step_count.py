"""The step count: start, increment, scope and range (A-3, S-3, S-7)."""

from typing import Any

import numpy as np

from adamax_conformance.variants.variant import BASE, Family
from adamax_core import State, rule

FAMILY = Family("step-count", "step count")


@FAMILY.wrong_one("counts-by-two", "A-3", "count")
def _(step: int) -> int:
    """Counts before and after the step."""
    return step + 2


@FAMILY.wrong_one("does-not-count", "A-3", "count")
def _(step: int) -> int:
    """Every step is the first."""
    return max(step, 1)


@FAMILY.wrong_one("counts-from-two", "A-3", "count")
def _(step: int) -> int:
    """The first step is step 2: a count that begins at one."""
    return max(step + 1, 2)


@FAMILY.wrong_one("counts-once-a-tensor", "A-3")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Increments one shared count for each tensor: with two tensors it runs twice as fast."""
    stepped, new = BASE.step(p, g, s, hp)
    return stepped, new._replace(step={k: s.step[k] + len(g) if k in g else s.step[k] for k in p})


@FAMILY.wrong_one("one-count-for-all", "S-3")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Optax and Keras: one count for all parameters, whenever their first gradient came."""
    common = max(s.step.values())
    counted = s._replace(step={k: common if k in g else s.step[k] for k in s.step})
    return BASE.step(p, g, counted, hp)


@FAMILY.wrong_one("counts-without-gradients", "S-3")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """A step in which nothing has a gradient counts."""
    stepped, s = BASE.step(p, g, s, hp)
    return stepped, s if g else s._replace(step={k: t + 1 for k, t in s.step.items()})


@FAMILY.wrong_one("count-in-float32", "S-7")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """PyTorch: counts in float32, which sticks at 2^24."""
    return _counted(p, g, s, hp, lambda t: int(np.float32(t)))


@FAMILY.wrong_one("count-in-int16", "S-7")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Counts in 16 bits, which saturate."""
    return _counted(p, g, s, hp, lambda t: min(t, 2**15 - 1))


@FAMILY.wrong_one("count-in-wrapping-int32", "S-7")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Counts in 32 bits, which wrap round to a negative number."""
    return _counted(p, g, s, hp, lambda t: (t + 2**31) % 2**32 - 2**31)


def _counted(p: Any, g: Any, s: State, hp: Any, kept: Any) -> Any:
    """Take the reference's step with its count kept in a narrow format."""
    stepped, s = BASE.step(p, g, s, hp)
    return stepped, s._replace(step={k: kept(t) for k, t in s.step.items()})


@FAMILY.wrong_one("load-forgets-the-count", "S-7", "load")
def _(p: Any, hp: Any, saved: Any) -> Any:
    """Loads the moments and begins to count anew."""
    return BASE.load(p, hp, {k: {**slot, "step": 0} for k, slot in saved.items()})


@FAMILY.wrong_one("correction-given-up-after-ten-thousand", "A-6", "bias_correction")
def _(b1: Any, t: int) -> Any:
    """Stops correcting after ten thousand steps, where the usual beta1 needs no correction."""
    return rule.bias_correction(b1, min(t, 10_000))


@FAMILY.right_one("count-that-saturates-at-the-last-int32")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Optax: counts in 32 bits, and stays at the last number."""
    return _counted(p, g, s, hp, lambda t: min(t, 2**31 - 1))


@FAMILY.wrong_one("correction-counts-in-sixteen-bits", "A-6", "bias_correction")
def _(b1: Any, t: int) -> Any:
    """The count of the correction wraps at 65,536, the one that is shown does not."""
    return rule.bias_correction(b1, t % 2**16 or 1)


@FAMILY.wrong_one("correction-given-up-at-400", "A-6", "bias_correction")
def _(b1: Any, t: int) -> Any:
    """Corrects the first 399 steps only, which is enough for the usual beta1."""
    return rule.bias_correction(b1, t) if t < 400 else 1.0  # noqa: PLR2004 - as it says


@FAMILY.wrong_one("step-clipped-at-ten-lr", "N-8", "displacement")
def _(m: Any, u: Any, lr: Any, c: Any) -> Any:
    """Clips each element of the corrected step at ten times lr."""
    step = lr / c * (m / u)
    return np.where(np.isnan(step), step, np.clip(step, -10 * lr, 10 * lr))
