"""Layouts: ranks, strides, shapes and names that are taken for others (S-9, A-4)."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from adamax_conformance.variants.variant import BASE, Family
from adamax_core import State

FAMILY = Family("layouts", "ranks, strides and names")


@FAMILY.wrong_one("rank-above-four-in-part", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Four loops, one for each axis: of further axes only the first index is reached."""
    stepped, new = BASE.step(p, g, s, hp)
    for k, param in stepped.items():
        if param.ndim > 4:  # noqa: PLR2004 - as it says
            param[..., 1:] = p[k][..., 1:]
    return stepped, new


@FAMILY.wrong_one("strides-of-zero-ignored", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Reads as many numbers as the shape has from where an expanded gradient has one."""

    def read(array: Any) -> Any:
        if 0 not in array.strides:
            return array
        beyond = np.zeros(array.size, array.dtype)
        beyond[:1] = array.flat[:1]
        return beyond.reshape(array.shape)

    return BASE.step(p, {k: read(v) for k, v in g.items()}, s, hp)


@FAMILY.wrong_one("strides-below-zero-ignored", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Reads a reversed gradient forwards."""
    forward = {
        k: v[tuple(slice(None, None, -1 if stride < 0 else 1) for stride in v.strides)]
        for k, v in g.items()
    }
    return BASE.step(p, forward, s, hp)


@FAMILY.wrong_one("scalars-share-a-state", "S-9")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """All 0-d parameters have one first moment, that of the last."""
    stepped, new = BASE.step(p, g, s, hp)
    scalars = [k for k, v in p.items() if not v.ndim]
    return stepped, new._replace(
        exp_avg={k: new.exp_avg[scalars[-1] if k in scalars else k] for k in p}
    )


@FAMILY.wrong_one("known-by-the-last-part-of-the-name", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Takes a.weight and b.weight for one: both get the gradient that came first."""
    BASE.step(p, g, s, hp)  # refuses what does not fit
    first: dict[Any, Any] = {}
    mine = {
        k: first.setdefault((k.rpartition(".")[2], v.shape), v) if "." in k else v
        for k, v in g.items()
    }
    return BASE.step(p, mine, s, hp)


class Placed(NamedTuple):
    """The reference's state, and the order of the parameters when it was made."""

    state: Any
    order: tuple[str, ...]


_PLACED = replace(
    BASE,
    init=lambda p, hp, **more: Placed(BASE.init(p, hp, **more), tuple(p)),
    load=lambda p, hp, saved: Placed(BASE.load(p, hp, saved), tuple(p)),
    moments=lambda s: BASE.moments(s.state),
)
"""A backend whose state keeps the order of the parameters; it has no step yet."""


@FAMILY.wrong_one("known-by-position", "S-9", base=_PLACED)
def _(p: Any, g: Any, s: Placed, hp: Any) -> Any:
    """Keeps its state in a list, in the order that the parameters had at the start."""
    moved = dict(zip(p, s.order, strict=True))
    fits = all(p[k].shape == s.state.exp_avg[moved[k]].shape for k in p)
    state = State(*({k: part[moved[k] if fits else k] for k in p} for part in s.state))
    stepped, new = BASE.step(p, g, state, hp)
    return stepped, Placed(new, tuple(p))


@FAMILY.wrong_one("loaded-by-position", "S-9", "load")
def _(p: Any, hp: Any, saved: Any) -> Any:
    """Loads a list of states in the order in which they were saved."""
    placed = dict(zip(p, saved.values(), strict=True))
    fits = all(p[k].shape == slot["exp_avg"].shape for k, slot in placed.items())
    return BASE.load(p, hp, placed if fits else saved)


@FAMILY.wrong_one("rows-of-zeros-skipped", "A-4")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Lazy: a row whose gradient is zero is not stepped, and its moments do not decay."""
    stepped, new = BASE.step(p, g, s, hp)
    for k, grad in g.items():
        if grad.ndim > 1:
            still = ~np.any(grad != 0, axis=tuple(range(1, grad.ndim)))
            for now, before in ((stepped, p), (new.exp_avg, s.exp_avg), (new.exp_inf, s.exp_inf)):
                now[k][still] = before[k][still]
    return stepped, new


@FAMILY.wrong_one("empty-gradients-taken", "S-10")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Takes an empty gradient of any shape for zeros."""
    filled = {k: np.zeros(p[k].shape, v.dtype) if v.size == 0 else v for k, v in g.items()}
    return BASE.step(p, filled, s, hp)


@FAMILY.wrong_one("gradients-of-empty-parameters-unchecked", "S-10")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Leaves an empty parameter out before it looks at the shape of its gradient."""
    return BASE.step(p, {k: v if p[k].size else p[k] for k, v in g.items()}, s, hp)


@FAMILY.wrong_one("last-axes-swapped-to-fit", "S-10")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Swaps the last two axes of a gradient if it fits then."""

    def turned(k: str, grad: Any) -> Any:
        swapped = grad.swapaxes(-1, -2) if grad.ndim > 1 else grad
        return swapped if swapped.shape == p[k].shape != grad.shape else grad

    return BASE.step(p, {k: turned(k, v) for k, v in g.items()}, s, hp)


@FAMILY.right_one("dense-copies")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Makes a contiguous copy of each gradient first, whatever its strides."""
    return BASE.step(p, {k: np.array(v, order="C") for k, v in g.items()}, s, hp)
