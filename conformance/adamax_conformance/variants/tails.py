"""Tails and chunk boundaries: elements that vectorised loops miss or step twice (S-9).

Each is right for small arrays, as such loops are, so the clauses of the lines do not catch it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from adamax_conformance.variants.variant import BASE, Family
from adamax_core import State, step

FAMILY = Family("tails", "tails and chunk boundaries")
_VECTOR = 32
"""Arrays with more elements take the vectorised loop."""


def left_out(p: Any, g: Any, s: Any, hp: Any, which: Callable[[Any], Any]) -> Any:
    """Take the reference's step, but leave some elements of large parameters unchanged."""
    result, new = BASE.step(p, g, s, hp)
    stepped = dict(result)
    for k, param in result.items():
        if param.size > _VECTOR and k in g:
            kept = np.asarray(which(np.arange(param.size)))
            flat = param.reshape(-1)
            flat[kept] = p[k].reshape(-1)[kept]
            stepped[k] = flat.reshape(param.shape)
    return stepped, new


def stepped_twice(p: Any, g: Any, s: Any, hp: Any, which: Callable[[Any], Any]) -> Any:
    """Take the reference's step, and step some elements of large parameters once more."""
    stepped, new = BASE.step(p, g, s, hp)
    again, _ = BASE.step(stepped, g, new, hp)
    for k, param in stepped.items():
        if param.ndim == 1 and param.size > _VECTOR and k in g:
            twice = np.asarray(which(np.arange(param.size)))
            param[twice] = again[k][twice]
    return stepped, new


def first_alone(p: Any, g: Any, s: Any, hp: Any, table: int) -> Any:
    """Take the reference's step, but leave parameters beyond the end of a table unchanged."""
    stepped, new = BASE.step(p, g, s, hp)
    return {k: v if i < table else p[k] for i, (k, v) in enumerate(stepped.items())}, new


@FAMILY.wrong_one("tail-forgotten", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The remainder of the division by eight is never stepped."""
    return left_out(p, g, s, hp, lambda i: i >= i.size // 8 * 8)


@FAMILY.wrong_one("full-last-block-forgotten", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The last block of 256 is left to a loop over the remainder, of which there is none."""
    return left_out(p, g, s, hp, lambda i: (i.size % 256 == 0) & (i >= i.size - 256))


@FAMILY.wrong_one("remainder-of-one-forgotten", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """One element after the last whole block of 64 is not reached."""
    return left_out(p, g, s, hp, lambda i: (i.size % 64 == 1) & (i == i.size - 1))


@FAMILY.wrong_one("every-eighth-element-forgotten", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The last lane of each vector of eight is not stored."""
    return left_out(p, g, s, hp, lambda i: i % 8 == 7)  # noqa: PLR2004 - the last of eight


@FAMILY.wrong_one("every-sixteenth-element-forgotten", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """An unrolled loop of two vectors that begins its second one lane late."""
    return left_out(p, g, s, hp, lambda i: i % 16 == 8)  # noqa: PLR2004 - the ninth of sixteen


@FAMILY.wrong_one("every-thousandth-element-forgotten", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Chunks of 1024 elements that each miss their last one."""
    return left_out(p, g, s, hp, lambda i: i % 1024 == 1023)  # noqa: PLR2004 - the last of a chunk


@FAMILY.wrong_one("last-four-forgotten", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The last quarter of the last vector is masked out."""
    return left_out(p, g, s, hp, lambda i: i >= i.size - 4)


@FAMILY.wrong_one("beyond-1024-forgotten", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """One block of threads, 1024 elements, is all that is launched."""
    return left_out(p, g, s, hp, lambda i: i >= 1024)  # noqa: PLR2004 - a block


@FAMILY.wrong_one("zero-gradients-skipped-by-the-vector-loop", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The vectorised loop masks elements without a gradient out, and so their moments stay."""
    stepped, new = BASE.step(p, g, s, hp)
    for k, grad in g.items():
        if grad.size > _VECTOR:
            for now, before in ((stepped, p), (new.exp_avg, s.exp_avg), (new.exp_inf, s.exp_inf)):
                now[k][grad == 0] = before[k][grad == 0]
    return stepped, new


@FAMILY.wrong_one("tail-stepped-twice", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The last vector overlaps the one before it, whose elements are stepped again."""
    return stepped_twice(p, g, s, hp, lambda i: (i >= i.size - 8) & (i < i.size // 8 * 8))


@FAMILY.wrong_one("norm-of-the-tail-not-kept", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The tail is stepped, but its norm is not stored."""
    stepped, new = BASE.step(p, g, s, hp)
    for k in g:
        if p[k].ndim == 1 and p[k].size > _VECTOR:
            done = p[k].size // 8 * 8
            new.exp_inf[k][done:] = s.exp_inf[k][done:]
    return stepped, new


@FAMILY.wrong_one("memory-order-for-index-order", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Reads the gradient as it lies in memory, whatever the order of its axes."""
    flat = {k: v.ravel(order="K").reshape(v.shape) if v.ndim else v for k, v in g.items()}
    return BASE.step(p, flat, s, hp)


@FAMILY.wrong_one("scalars-skipped", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Loops over the first axis, which a 0-d parameter lacks."""
    stepped, new = BASE.step(p, g, s, hp)
    return {k: v if v.ndim else p[k] for k, v in stepped.items()}, new


@FAMILY.wrong_one("empty-tensors-raise", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """A kernel that is launched with a grid of zero blocks."""
    if any(not v.size for v in g.values()):
        raise RuntimeError("invalid configuration argument")
    return BASE.step(p, g, s, hp)


@FAMILY.wrong_one("tensors-after-the-sixteenth-skipped", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """A multi-tensor kernel whose table of addresses has sixteen entries."""
    return first_alone(p, g, s, hp, 16)


@FAMILY.wrong_one("all-tensors-in-the-narrowest-dtype", "S-9")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Gathers parameters of several dtypes into one buffer, of the narrowest."""
    narrowest = min((v.dtype for v in p.values()), key=lambda dtype: dtype.itemsize)
    stepped, new = BASE.step(p, g, s, hp)
    return {k: v.astype(narrowest).astype(v.dtype) for k, v in stepped.items()}, new


@FAMILY.right_one("chunks-with-their-tail")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Chunks of eight elements, and what is left."""
    return _in_pieces(p, g, s, hp, lambda size: range(8, size, 8))


@FAMILY.right_one("halves")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Two threads, half of the elements each."""
    return _in_pieces(p, g, s, hp, lambda size: [size // 2])


def _in_pieces(p: Any, g: Any, s: State, hp: Any, cuts: Callable[[int], Any]) -> Any:
    """Cut each tensor into pieces, step each piece, and join them again."""
    BASE.step(p, g, s, hp)  # refuses what does not fit
    stepped, new = dict(p), s
    for k in g:
        where = cuts(p[k].size)

        def split(array: Any, where: Any = where) -> dict[int, Any]:
            return dict(enumerate(np.split(np.ravel(array), where)))

        pieces = split(p[k])
        state = State(dict.fromkeys(pieces, s.step[k]), split(s.exp_avg[k]), split(s.exp_inf[k]))
        moved, after = step(pieces, split(g[k]), state, hp)

        def join(parts: Any, k: Any = k) -> Any:
            return np.concatenate([*parts.values()]).reshape(p[k].shape)

        stepped[k] = join(moved)
        new = State(
            new.step | {k: after.step[0]},
            new.exp_avg | {k: join(after.exp_avg)},
            new.exp_inf | {k: join(after.exp_inf)},
        )
    return stepped, new


@FAMILY.right_one("all-tensors-in-one")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Tensors of one dtype and count are put one after another and stepped at once."""
    BASE.step(p, g, s, hp)  # refuses what does not fit
    alike: dict[Any, list[str]] = {}
    for k in g:
        key = (p[k].dtype, g[k].dtype, s.exp_avg[k].dtype, s.step[k])
        alike.setdefault(key, []).append(k)
    stepped, new = dict(p), State(*(dict(part) for part in s))
    for names in alike.values():
        ends = np.cumsum([p[k].size for k in names])[:-1]

        def joined(arrays: Any, names: Any = names) -> Any:
            return np.concatenate([np.ravel(arrays[k]) for k in names])

        result, after = step(
            joined(p), joined(g), State(s.step[names[0]], joined(s.exp_avg), joined(s.exp_inf)), hp
        )
        for target, whole in zip((stepped, *new[1:]), (result, *after[1:]), strict=True):
            for k, piece in zip(names, np.split(whole, ends), strict=True):
                target[k] = piece.reshape(p[k].shape)
        new.step.update(dict.fromkeys(names, after.step))
    return stepped, new


@FAMILY.right_one("transposed")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Steps transposed arrays, with the axes reversed in memory."""

    def turned(arrays: Any) -> Any:
        return {k: np.transpose(v) for k, v in arrays.items()}

    state = s._replace(exp_avg=turned(s.exp_avg), exp_inf=turned(s.exp_inf))
    stepped, new = BASE.step(turned(p), turned(g), state, hp)
    return turned(stepped), new._replace(exp_avg=turned(new.exp_avg), exp_inf=turned(new.exp_inf))
