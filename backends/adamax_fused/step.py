"""`step_`, the rule in place on trees of NumPy arrays, and `init`, a state that it can change."""

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import optree

import adamax_core
from adamax_core import Hyperparameters, State
from adamax_core.hyperparameters import as_float
from adamax_core.transform import matched, require_arguments
from adamax_fused.availability import DTYPES, missing
from adamax_fused.memory import is_dense
from adamax_fused.threads import usable

Tree = Any
Array = np.ndarray[Any, Any]

FIELDS = ("params", "grads", "exp_avg", "exp_inf", "step")
"""The order of the addresses that `misplaced` checks: four arrays for each row, then the count."""


def init(params: Tree, state_dtype: Any = None) -> State:
    """The state of `adamax_core.init`, in a form that `step_` can change in place.

    Counts are zero-dimensional int64 arrays, since Python integers are immutable. To continue from
    another state, replace its counts with ``optree.tree_map(np.array, state.step)``.

    Args:
        params: tree of floating-point or complex arrays.
        state_dtype: dtype of the moments, or its name; None means the dtype of each parameter.

    Raises:
        TypeError: as `adamax_core.init` does.

    >>> init({"w": np.ones(2, np.float32)}).step
    {'w': array(0)}
    """
    state = adamax_core.init(params, state_dtype)
    return state._replace(step=optree.tree_map(np.array, state.step))


def step_(
    params: Tree,
    grads: Tree,
    state: State,
    hyperparameters: Hyperparameters,
    *,
    threads: int | None = None,
) -> State:
    """One step in place, in one pass over memory.

    Args:
        params: tree of arrays of float32, float64, float16, bfloat16 (of ml_dtypes), complex64
            or complex128: writable, aligned, dense in any order (C, Fortran, ...), and not
            aliasing any other array of the step. Changed in place.
        grads: tree of arrays; None where a gradient is missing (S-2). Not changed; copied if their
            memory order differs from the parameter's.
        state: from `init`. Its moments and counts change in place.
        hyperparameters: for this step; they may change from step to step (H-6).
        threads: the most threads to use, at least 1, including the caller's; a step of fewer than a
            million real numbers uses only the caller's. None means one for each processor that this
            process may use, at most ``OMP_NUM_THREADS``.

    Returns:
        The same `state` object.

    Raises:
        ValueError: a structure or shape differs, or an array cannot be stepped in place; names the
            leaf. Or a hyperparameter is outside its domain. Nothing has changed then.
        TypeError: a dtype is not supported, or a leaf is not a NumPy array; names the leaf. Or
            arguments are swapped; shows the order.
        RuntimeError: Numba is missing or cannot compile; gives the reason.

    >>> params = {"w": np.array([1.0, -1.0])}
    >>> state = init(params)
    >>> _ = step_(params, {"w": np.array([2.0, -2.0])}, state, Hyperparameters(lr=0.5))
    >>> params["w"].round(6), state.step
    (array([ 0.5, -0.5]), {'w': array(1)})
    """
    if threads is not None and operator.index(threads) < 1:
        raise ValueError(f"threads = {threads} is outside its domain 1 <= threads")
    call = "step_(params, grads, state, hyperparameters)"
    require_arguments(call, params, grads, state, hyperparameters)
    hp = hyperparameters.numbers()
    leaves = _leaves(params, grads, state)
    rows = [_require_row(name, *row) for name, *row, _ in leaves]
    counts = [_require_count(name, count) for name, *_, count in leaves]
    if not rows:
        return state
    kinds: list[Any] = [tuple(_kind(array.dtype) for array in row) for row in rows]
    dtypes = [tuple(part for part, _ in kind) for kind in kinds]
    for reason in filter(None, map(missing, set(dtypes))):
        raise RuntimeError(
            f"step_ needs the kernel, but {reason}; adamax_core.step does not need it"
        )
    from adamax_fused.kernel import misplaced  # noqa: PLC0415 - imports Numba, which takes time
    from adamax_fused.rows import Hyper, step_rows  # noqa: PLC0415 - as above

    columns = list(zip(*rows, strict=True))
    sizes = [row[0].size * kind[0][1] for row, kind in zip(rows, kinds, strict=True)]
    table = np.array([*([*map(_address, column)] for column in columns), sizes], np.int64)
    widths = [
        [array.itemsize // kind[0][1] for array in row]
        for row, kind in zip(rows, kinds, strict=True)
    ]
    places = np.array([_address(count) for count in counts], np.int64)
    wrong = misplaced(table, places, np.array(widths, np.int64).T.copy())
    if wrong >= 0:
        field, row = divmod(wrong, len(rows))
        raise ValueError(
            f"{leaves[row][0](FIELDS[field])} overlaps another array of this step and would be "
            "overwritten; pass a copy"
        )
    hyper = Hyper(
        as_float("lr", hp.lr),
        as_float("beta1", hp.betas[0], below=1),
        as_float("beta2", hp.betas[1], below=1),
        as_float("eps", hp.eps),
        as_float("weight_decay", hp.weight_decay),
        hp.maximize,
        hp.decoupled_weight_decay,
    )
    for count in counts:
        np.add(count, 1, out=count)
    for each in set(dtypes):
        at = [index for index, kind in enumerate(dtypes) if kind == each]
        step_rows(
            np.take(table, at, axis=1),
            each,
            [int(counts[index]) for index in at],
            hyper,
            usable() if threads is None else threads,
            held=rows,
        )
    return state


def _leaves(params: Tree, grads: Tree, state: State) -> list[tuple[Any, ...]]:
    """A row for each leaf with a gradient: `Name`, parameter, gradient, moments, count."""
    flat, treedef = optree.tree_flatten(params)
    try:
        trees = (grads, state.exp_avg, state.exp_inf, state.step)
        columns = [treedef.flatten_up_to(tree) for tree in trees]
    except (ValueError, TypeError):
        # Raises the core's error, which names the tree and the leaf.
        matched(params, state, {"grads": grads})
        raise
    names = [functools.partial(_name, treedef, index) for index in range(len(flat))]
    rows = zip(names, flat, *columns, strict=True)
    return [row for row in rows if row[2] is not None]


def _name(treedef: optree.PyTreeSpec, index: int, tree: str) -> str:
    """The path of a leaf, such as ``params['w']``, for error messages."""
    return optree.treespec_accessors(treedef)[index].codify(tree)


_PLAIN = (np.ndarray, np.memmap)
"""Exactly these classes: the kernel would ignore the mask or the units of a subclass."""

Name = Callable[[str], str]
"""Given the name of a tree, returns the path of one leaf in it."""


def _require_row(name: Name, param: Any, grad: Any, *moments: Any) -> tuple[Array, ...]:
    """Validate the four arrays of a leaf; return them with the gradient in the parameter's layout.

    Raises:
        ValueError: a shape differs, or an array cannot be stepped in place; names the leaf and the
            remedy.
        TypeError: a leaf is not a plain array, or its dtype is not supported; names the leaf.
    """
    grad = np.asanyarray(grad)
    if grad.shape == np.shape(param) and type(grad) in _PLAIN:
        grad = _laid_out(grad, param)
    for field, array in zip(FIELDS, (param, grad, *moments), strict=False):
        if type(array) not in _PLAIN:
            raise TypeError(
                f"{name(field)} is {type(array).__name__}; the fused kernel supports plain NumPy "
                "arrays only: use adamax_core.step for others"
            )
        part, parts = _kind(array.dtype)
        if part not in DTYPES:
            raise TypeError(
                f"{name(field)} has dtype {part}; the fused kernel supports {', '.join(DTYPES)}, "
                "complex64 and complex128"
            )
        if array.shape != param.shape:
            raise ValueError(
                f"{name(field)} has shape {array.shape}, but {name('params')} has shape "
                f"{param.shape}"
            )
        if parts != _kind(param.dtype)[1]:
            raise TypeError(
                f"{name(field)} has dtype {array.dtype}, but {name('params')} has dtype "
                f"{param.dtype}: both must be real, or both complex"
            )
        if array is not grad and (reason := _not_in_place(array, param)):
            raise ValueError(f"{name(field)} {reason}")
    return param, grad, *moments


def _not_in_place(array: Array, param: Array) -> str | None:
    """The reason why an array cannot be stepped in place, with the remedy; None if it can."""
    flags = array.flags
    if not flags.writeable:
        return "is read-only, but a step in place writes to it: pass a copy"
    if not flags.aligned:
        return f"is not aligned for {array.dtype}: pass a copy"
    if flags.c_contiguous and param.flags.c_contiguous:
        return None
    if not is_dense(array.shape, _strides(array)):
        return (
            f"is not dense in memory (shape {array.shape}, strides {array.strides}): "
            "pass numpy.ascontiguousarray of it, or use adamax_core.step"
        )
    if _strides(array) != _strides(param):
        return (
            f"has strides {array.strides}, but its parameter has {param.strides}: copy it into "
            "numpy.empty_like of the parameter"
        )
    return None


def _require_count(name: Name, count: Any) -> Array:
    """Validate the count of a leaf and return it.

    Raises:
        TypeError: it is not an int64 array; names the leaf and the remedy.
        ValueError: it has dimensions, is negative, or is read-only; names the leaf.
    """
    if type(count) is not np.ndarray or count.dtype != np.int64:
        raise TypeError(
            f"{name('step')} = {count!r} cannot change in place: it must be an int64 array; use "
            "the state of adamax_fused.init, or optree.tree_map(np.array, state.step)"
        )
    if count.shape:
        raise ValueError(f"{name('step')} has shape {count.shape}; a count must have shape ()")
    if count < 0:
        where = name("step")
        raise ValueError(f"{where} = {count} is outside its domain 0 <= {where}")
    if not count.flags.writeable:
        raise ValueError(
            f"{name('step')} is read-only, but a step in place writes to it: pass a copy"
        )
    array: Array = count
    return array


def _laid_out(grad: Array, like: Any) -> Array:
    """The gradient, or a copy of it with the strides of its parameter.

    >>> grad = np.arange(4.0).reshape(2, 2).T
    >>> _laid_out(grad, np.zeros((2, 2))).strides, _laid_out(grad, np.zeros((2, 2)).T) is grad
    ((16, 8), True)
    """
    if grad.flags.aligned and grad.dtype.isnative:
        like = np.asarray(like)
        if grad.flags.c_contiguous and like.flags.c_contiguous:
            return grad
        if _strides(grad) == _strides(like):
            return grad
    copy: Array = np.empty_like(like, dtype=grad.dtype.newbyteorder("="), subok=False)
    copy[...] = grad
    return copy


def _strides(array: Array) -> list[float]:
    """Strides in elements; 0 for dimensions of size one, and for empty arrays."""
    pairs = zip(array.strides, array.shape, strict=True)
    return [stride / array.itemsize if size > 1 and array.size else 0 for stride, size in pairs]


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


@functools.cache
def _kind(dtype: np.dtype[Any]) -> tuple[str, int]:
    """The dtype of the real parts, and their number: 1 for real dtypes, 2 for complex."""
    name = dtype.name if dtype.isnative else str(dtype)
    part = {"complex64": "float32", "complex128": "float64"}.get(name, name)
    return part, 2 if dtype.kind == "c" else 1
