"""`step_`: the rule in place, for trees of NumPy arrays."""

import functools
from typing import Any

import numpy as np
import optree

import adamax_core
from adamax_core import Hyperparameters, State
from adamax_core.transform import matched
from adamax_fused.availability import missing, warn_once
from adamax_fused.places import (
    FIELDS,
    SHARED,
    Place,
    Readable,
    RefusedError,
    Rows,
    dtypes_of,
    laid_out,
    where,
)

Tree = Any


def step_(params: Tree, grads: Tree, state: State, hyperparameters: Hyperparameters) -> State:
    """One step in place, in one pass over memory, by as many threads as Numba is set to.

    Args:
        params: tree of arrays of float32, float64, float16, bfloat16 (of ml_dtypes), complex64
            or complex128: writable, aligned, dense in any order (C, Fortran, ...), and sharing
            memory with nothing else of the step. They are what changes.
        grads: tree of arrays; None where a gradient is missing (S-2). They stay as they are. One
            that lies in memory in another order than its parameter is copied.
        state: from `adamax_core.init` or from the last step. Its moments change in place, so it is
            used up: keep what is returned, which has the counts.
        hyperparameters: those of this step; they may change from step to step (H-6).

    Returns:
        The state after the step: the same arrays, and new counts, which are Python integers.

    Raises:
        ValueError: a structure or a shape does not fit, or an array cannot be stepped where it is;
            names the leaf. Nothing has been changed then.
        TypeError: a dtype does not fit, or a leaf is no NumPy array; names the leaf.

    Where Numba is missing, or the kernel cannot be compiled, or not be kept on disk, this warns
    once, and what steps is `adamax_core.step`.

    >>> params = {"w": np.array([1.0, -1.0])}
    >>> state = adamax_core.init(params)
    >>> state = step_(params, {"w": np.array([2.0, -2.0])}, state, Hyperparameters(lr=0.5))
    >>> params["w"].round(6), state.step
    (array([ 0.5, -0.5]), {'w': 1})
    """
    leaves, steps, treedef = _flattened(params, grads, state, hyperparameters)
    present = [index for index, leaf in enumerate(leaves) if leaf[1] is not None]
    # Held until the step is done: a table knows addresses alone.
    held = [(p, laid_out(g, p), m, u) for p, g, m, u in (leaves[index] for index in present)]
    try:
        places = [[where(array) for array in arrays] for arrays in held]
        # What is kept is kept for gradients anywhere: they are other arrays in most steps.
        plan = _plan(tuple([(p, g[2:], m, u) for p, g, m, u in places]))
        addresses = plan.gradients_at([g[0] for _, g, _, _ in places])
    except RefusedError as refused:
        name = optree.tree_accessors(params)[present[refused.row]].codify(refused.field)
        raise refused.kind(f"{name} {refused}") from None
    for index in present:
        steps[index] += 1
    after = state._replace(step=optree.tree_unflatten(treedef, steps))
    reasons = list(filter(None, map(missing, plan.dtypes)))
    if reasons:
        warn_once(reasons[0], 2)
        results = adamax_core.step(params, grads, state, hyperparameters)
        for old, new in zip((params, *state[1:]), (results[0], *results[1][1:]), strict=True):
            for array, value in zip(optree.tree_leaves(old), optree.tree_leaves(new), strict=True):
                array[...] = value
        return after
    hp = hyperparameters
    numbers = plan.table.numbers(
        lr=float(hp.lr),
        betas=(float(hp.betas[0]), float(hp.betas[1])),
        eps=float(hp.eps),
        weight_decay=float(hp.weight_decay),
        maximize=hp.maximize,
        decoupled_weight_decay=hp.decoupled_weight_decay,
    )
    plan.table.move_gradients(addresses)
    plan.table.step(np.array([steps[index] for index in present], np.float64), numbers)
    return after


class _Plan:
    """What a step of arrays at these places needs, whatever they are called.

    Args:
        fields: for each parameter the fields of four places, but for where its gradient is.
    """

    def __init__(self, fields: tuple[Any, ...]) -> None:
        self._rows: Rows = tuple(
            (Place(*p), Place(0, False, *g), Place(*m), Place(*u)) for p, g, m, u in fields
        )
        self._each = dtypes_of(self._rows)
        self.dtypes = set(self._each)
        grads = [row[1] for row in self._rows]
        self._readable = Readable(
            [place.span for p, _, m, u in self._rows for place in (p, m, u)],
            [grad.size * grad.dtype.itemsize for grad in grads],
            [grad.dtype.itemsize // grad.parts for grad in grads],
        )
        self._last: list[int] = []

    def gradients_at(self, addresses: list[int]) -> Any:
        """Where the gradients are, int64, once they can be read there.

        Raises:
            RefusedError: one shares memory with what is written.
        """
        starts = np.array(addresses, np.int64)
        if addresses != self._last:
            readable = self._readable.at(starts)
            if not readable.all():
                raise RefusedError(int(readable.argmin()), "grads", ValueError, SHARED)
            self._last = addresses
        return starts

    @functools.cached_property
    def table(self) -> Any:
        """The table of addresses, made where there is a kernel."""
        from adamax_fused.table import Row, Table  # noqa: PLC0415 - imports Numba

        return Table(
            [
                Row(tuple(place.address for place in row), dtypes, row[0].size * row[0].parts)
                for row, dtypes in zip(self._rows, self._each, strict=True)
            ]
        )


_plan = functools.lru_cache(maxsize=16)(_Plan)


def _flattened(
    params: Tree, grads: Tree, state: State, hyperparameters: Hyperparameters
) -> tuple[list[Any], list[int], optree.PyTreeSpec]:
    """Parameter, gradient and moments of each leaf, and the counts, each a list of its own."""
    leaves, treedef = optree.tree_flatten(params)
    try:
        hyperparameters.validate()
        flat_steps: list[Any] = treedef.flatten_up_to(state.step)
        flat = [treedef.flatten_up_to(tree) for tree in (grads, state.exp_avg, state.exp_inf)]
        steps = [int(step) for step in flat_steps]
    except (ValueError, TypeError, AttributeError):
        # What does not hold together is refused in the words of the specification.
        matched(params, state, hyperparameters, {"grads": grads})
        raise
    for index, step in enumerate(steps):
        if step < 0:
            name = optree.tree_accessors(params)[index].codify("step")
            raise ValueError(f"{name} = {step} is outside its domain 0 <= {name}")
    given, *moments = flat
    grads = [grad if grad is None else np.asarray(grad) for grad in given]
    for field, arrays in zip(FIELDS, (leaves, (), *moments), strict=True):
        for index, array in enumerate(arrays):
            if type(array) not in _ARRAYS:
                name = optree.tree_accessors(params)[index].codify(field)
                raise TypeError(
                    f"{name} is of {type(array).__name__}; only NumPy arrays change in place"
                )
    return list(zip(leaves, grads, *moments, strict=True)), steps, treedef


_ARRAYS = (np.ndarray, np.memmap)
"""Exactly these: what masks or units a subclass has, the kernel would not see."""
