"""State and aliasing: initial values, shared memory, unchanged state (S-1, S-2, S-4 to S-8)."""

from collections.abc import Callable
from typing import Any

import numpy as np

import adamax_core
from adamax_conformance.subject.backend import Moments
from adamax_conformance.variants.variant import BASE, HALF, Family, each_alone
from adamax_core import State

FAMILY = Family("state", "state handling and aliasing")


@FAMILY.wrong_one("norm-starts-at-one", "S-1", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """The norm begins at one, so that it need not divide by zero."""
    state = BASE.init(p, hp, **more)
    ones = {k: u + u.dtype.type(1) for k, u in state.exp_inf.items()}
    return state._replace(exp_inf=ones)


@FAMILY.wrong_one("norm-of-a-scalar-starts-at-one", "S-1", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """The norm begins at one where the parameter has no dimension."""
    state = BASE.init(p, hp, **more)
    norms = {k: u if u.ndim else u + u.dtype.type(1) for k, u in state.exp_inf.items()}
    return state._replace(exp_inf=norms)


@FAMILY.wrong_one("moment-starts-at-the-parameter", "S-1", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """The first moment begins as a copy of the parameter, not as zeros of its shape."""
    state = BASE.init(p, hp, **more)
    return state._replace(exp_avg={k: p[k].astype(m.dtype) for k, m in state.exp_avg.items()})


@FAMILY.wrong_one("missing-gradient-is-zero", "S-2")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Takes zeros for a missing gradient."""
    return BASE.step(p, _complete(p, g), s, hp)


@FAMILY.wrong_one("missing-gradient-decays-the-moments", "S-2")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Leaves a parameter without gradient alone, but not its state."""
    stepped, s = BASE.step(p, _complete(p, g), s, hp)
    return {k: stepped[k] if k in g else p[k] for k in p}, s


def _complete(p: Any, g: Any) -> Any:
    return {k: g.get(k, np.zeros_like(p[k])) for k in p}


@FAMILY.wrong_one("missing-gradient-is-the-last-one", "S-2",
    init=lambda p, hp, **more: ({}, BASE.init(p, hp, **more)),
    load=lambda p, hp, saved: ({}, BASE.load(p, hp, saved)),
    moments=lambda state: BASE.moments(state[1]),
)  # fmt: skip
def _(p: Any, g: Any, state: Any, hp: Any) -> Any:
    """Takes the last gradient for a missing one, as without zero_grad."""
    last, s = state
    now = last | {k: v.copy() for k, v in g.items()}
    stepped, s = BASE.step(p, now, s, hp)
    return stepped, (now, s)


@FAMILY.wrong_one("missing-gradient-still-decays", "S-2")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Decoupled decay shrinks a parameter without gradient too."""
    stepped, s = BASE.step(p, g, s, hp)
    shrink = 1 - hp.lr * hp.weight_decay * hp.decoupled_weight_decay
    return {k: stepped[k] if k in g else (shrink * p[k]).astype(p[k].dtype) for k in p}, s


@FAMILY.wrong_one("gradient-rewritten-by-the-decay", "S-4")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Adds the decay to the gradient in place."""
    result = BASE.step(p, g, s, hp)
    for k, grad in g.items():
        np.add(grad, np.asarray(hp.weight_decay * p[k]).astype(grad.dtype), out=grad)
    return result


@FAMILY.wrong_one("gradient-used-as-scratch", "S-4")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Scales the gradient in place, where nothing else has made a copy of it first."""
    result = BASE.step(p, g, s, hp)
    for grad in g.values() if not (hp.maximize or hp.weight_decay) else ():
        np.multiply(grad, np.asarray(0.5, grad.dtype), out=grad)
    return result


@FAMILY.wrong_one("parameters-kept-and-not-read-again", "A-7",
    init=lambda p, hp, **more: ({k: v.copy() for k, v in p.items()}, BASE.init(p, hp, **more)),
    load=lambda p, hp, saved: ({k: v.copy() for k, v in p.items()}, BASE.load(p, hp, saved)),
    moments=lambda state: BASE.moments(state[1]),
)  # fmt: skip
def _(p: Any, g: Any, state: Any, hp: Any) -> Any:
    """Steps its own copy of the parameters: changes by the caller are undone."""
    mine, s = state
    BASE.step(p, g, s, hp)  # refuses what does not fit
    stepped, s = BASE.step(mine, g, s, hp)
    return {k: v.copy() for k, v in stepped.items()}, (stepped, s)


@FAMILY.wrong_one("one-array-for-both-moments", "A-5")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Both moments share one array, which holds the one written last."""
    stepped, new = BASE.step(p, g, s, hp)
    return stepped, new._replace(exp_inf=new.exp_avg)


class _Kept:
    """A state that keeps references to the gradients, and reads them when its moments are read.

    Attributes:
        state: the state as of the step before the last.
        last: the arguments of the last step, the caller's own gradients among them.
    """

    def __init__(self, state: State, last: Any = None) -> None:
        self.state, self.last = state, last

    def settled(self) -> State:
        if self.last is None:
            return self.state
        state: State = BASE.step(*self.last[:2], self.state, self.last[2])[1]
        return state


@FAMILY.wrong_one("gradient-kept-and-read-later", "S-4",
    init=lambda p, hp, **more: _Kept(BASE.init(p, hp, **more)),
    load=lambda p, hp, saved: _Kept(BASE.load(p, hp, saved)),
    moments=lambda kept: BASE.moments(kept.settled()),
)  # fmt: skip
def _(p: Any, g: Any, kept: Any, hp: Any) -> Any:
    """Keeps a reference to the gradient, and works its moments out in the next step."""
    state = kept.settled()
    stepped, _ = BASE.step(p, g, state, hp)
    return stepped, _Kept(state, (p, dict(g), hp))


class _InPlace:
    """A state whose arrays are written in place; `take_avg` and `take_inf` choose the arrays.

    Attributes:
        state: the arrays.
    """

    def __init__(
        self,
        state: State,
        take_avg: Callable[[Any], Any] = lambda array: array,
        take_inf: Callable[[Any], Any] = lambda array: array,
    ) -> None:
        self.state = state._replace(
            exp_avg={k: take_avg(m) for k, m in state.exp_avg.items()},
            exp_inf={k: take_inf(u) for k, u in state.exp_inf.items()},
        )

    def take(self, new: State) -> None:
        for mine, fresh in zip(self.state[1:], new[1:], strict=True):
            for k, array in fresh.items():
                mine[k][...] = array
        self.state = self.state._replace(step=new.step)


@FAMILY.wrong_one("moment-is-the-gradient-without-memory", "S-4")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Returns the array of the gradient as the first moment where b1 = 0, instead of a copy."""
    stepped, new = BASE.step(p, g, s, hp)
    own = {k: np.array_equal(new.exp_avg[k], v, equal_nan=True) for k, v in g.items()}
    if hp.betas[0] == 0:
        moments = {k: g[k] if own.get(k) else m for k, m in new.exp_avg.items()}
        new = new._replace(exp_avg=moments)
    return stepped, new


def _shared(p: Any, hp: Any, **more: Any) -> _InPlace:
    pool: dict[Any, Any] = {}
    return _InPlace(BASE.init(p, hp, **more), lambda m: pool.setdefault((m.shape, m.dtype), m))


def _one_by_one(p: Any, g: Any, held: _InPlace, hp: Any) -> Any:
    stepped = dict(p)
    for k in g:
        result, new = BASE.step(p, {k: g[k]}, held.state, hp)
        stepped[k] = result[k]
        held.take(new)
    return stepped, held


@FAMILY.wrong_one("tensors-of-one-shape-share-a-moment", "S-9",
    init=_shared,
    load=lambda p, hp, saved: _InPlace(BASE.load(p, hp, saved), np.copy, np.copy),
    moments=lambda held: BASE.moments(held.state),
)  # fmt: skip
def _(p: Any, g: Any, held: Any, hp: Any) -> Any:
    """Tensors of one shape get one array of zeros, which each then writes in place."""
    return _one_by_one(p, g, held, hp)


@FAMILY.wrong_one("half-changed-when-it-refuses", "S-10",
    init=lambda p, hp, **more: _InPlace(BASE.init(p, hp, **more)),
    load=lambda p, hp, saved: _InPlace(BASE.load(p, hp, saved), np.copy, np.copy),
    moments=lambda held: BASE.moments(held.state),
)  # fmt: skip
def _(p: Any, g: Any, held: Any, hp: Any) -> Any:
    """Refuses a gradient that does not fit when it gets to it, with others already stepped."""
    return _one_by_one(p, g, held, hp)


@FAMILY.wrong_one("gradients-reshaped", "S-10")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Reshapes any gradient with the right number of elements."""
    fits = {k: v.reshape(p[k].shape) if v.size == p[k].size else v for k, v in g.items()}
    return BASE.step(p, fits, s, hp)


@FAMILY.wrong_one("gradients-broadcast", "S-10")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Optax: broadcasts a gradient of another shape."""
    return BASE.step(p, {k: np.broadcast_to(g[k], p[k].shape) for k in g}, s, hp)


@FAMILY.wrong_one("integer-gradients-cast", "S-10")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Takes gradients of integers and of booleans."""
    cast = {k: v.astype(p[k].dtype) if v.dtype.kind in "ib" else v for k, v in g.items()}
    return BASE.step(p, cast, s, hp)


@FAMILY.wrong_one("gradients-of-other-dtypes-dropped", "S-5")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Takes zeros for a gradient that has not the dtype of its parameter."""
    same = {k: v if v.dtype == p[k].dtype else v * 0 for k, v in g.items()}
    return BASE.step(p, same, s, hp)


@FAMILY.wrong_one("moments-in-the-dtype-of-the-gradient", "S-5")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Optax: the first moment takes the dtype of the gradient, whatever the parameter's is."""
    stepped, s = BASE.step(p, g, s, hp)
    taken = {k: m.astype(g[k].dtype) if k in g else m for k, m in s.exp_avg.items()}
    return stepped, s._replace(exp_avg=taken)


@FAMILY.wrong_one("state-dtype-ignored", "S-6", "init")
def _(p: Any, hp: Any, state_dtype: Any = None) -> Any:
    """Accepts a state dtype and ignores it."""
    del state_dtype
    return BASE.init(p, hp)


@FAMILY.wrong_one("state-dtype-is-float32", "S-6", "init", proofs={
    HALF: "float32 is all that is asked for there.",
})  # fmt: skip
def _(p: Any, hp: Any, state_dtype: Any = None) -> Any:
    """Uses float32 for every requested state dtype."""
    return BASE.init(p, hp, state_dtype=state_dtype and "float32")


@FAMILY.wrong_one("norm-in-a-dtype-of-its-own-starts-at-one", "S-6", "init")
def _(p: Any, hp: Any, state_dtype: Any = None) -> Any:
    """The norm begins at one where the state has another dtype than the parameter."""
    state = BASE.init(p, hp, state_dtype=state_dtype)
    norms = {
        k: u if u.dtype == p[k].dtype else u + u.dtype.type(1) for k, u in state.exp_inf.items()
    }
    return state._replace(exp_inf=norms)


@FAMILY.wrong_one("state-dtype-of-one-moment", "S-6", "init")
def _(p: Any, hp: Any, state_dtype: Any = None) -> Any:
    """Gives the first moment the requested dtype, and the norm that of the parameter."""
    asked = BASE.init(p, hp, state_dtype=state_dtype)
    return asked._replace(exp_inf=BASE.init(p, hp).exp_inf)


@FAMILY.wrong_one("adam-state-taken", "S-8", "load")
def _(p: Any, hp: Any, saved: Any) -> Any:
    """Loads Adam's state, the square of the gradient for its norm."""
    renamed = {
        k: {("exp_inf" if f == "exp_avg_sq" else f): v for f, v in slot.items()}
        for k, slot in saved.items()
    }
    return BASE.load(p, hp, renamed)


@FAMILY.wrong_one("adam-state-refused-without-a-reason", "S-8", "load")
def _(p: Any, hp: Any, saved: Any) -> Any:
    """Raises the KeyError of a dict for Adam's state."""
    fields = {k: {f: slot[f] for f in Moments._fields} for k, slot in saved.items()}
    return BASE.load(p, hp, fields)


@FAMILY.wrong_one("moments-exchanged-at-loading", "S-7", "load")
def _(p: Any, hp: Any, saved: Any) -> Any:
    """Loads each moment as the other."""
    names = {"exp_avg": "exp_inf", "exp_inf": "exp_avg"}
    return BASE.load(
        p, hp, {k: {names.get(f, f): v for f, v in slot.items()} for k, slot in saved.items()}
    )


@FAMILY.right_one("update-rounded-by-itself")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Optax: the update is rounded, then added and rounded again."""
    updates, s = adamax_core.update({k: g.get(k) for k in p}, s, dict(p), hp)
    return {k: (p[k] + updates[k]).astype(p[k].dtype) for k in p}, s


@FAMILY.right_one("state-not-shown", "moments")
def _(_state: Any) -> Any:
    """Does not report its state."""
    return None


@FAMILY.right_one("in-place-on-copies")
def _(p: Any, g: Any, s: State, hp: Any) -> Any:
    """Writes its own arrays in place, as PyTorch does."""
    mine = {k: v.copy() for k, v in p.items()}
    held = _InPlace(s, np.copy, np.copy)
    stepped, new = BASE.step(mine, {k: v.copy() for k, v in g.items()}, s, hp)
    held.take(new)
    for k, v in stepped.items():
        mine[k][...] = v
    return mine, held.state


@FAMILY.right_one("one-tensor-at-a-time")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """Each tensor by itself, the last one first."""
    backwards = dict(reversed(p.items()))
    stepped, s = each_alone(backwards, g, s, hp)
    return stepped, s
