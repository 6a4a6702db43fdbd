"""The rule on pytrees: `init`, `update` and `step`, pure functions.

Trees are optree's: dicts, lists, tuples, named tuples, or a single array. A gradient of None is
missing: that parameter and its state stay unchanged (S-2). Each parameter counts its own steps
(S-3).
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import optree

from adamax_core.arrays import Array, as_array, kind, narrow, require_real_dtype, widen, zeros
from adamax_core.hyperparameters import Hyperparameters
from adamax_core.rule import CANONICAL, Rule, Step
from adamax_core.trees import Tree, flatten_like, leaf_names

_MOST_STEPS = 2**64
"""More than any run takes. A much larger Python integer would overflow a float."""


class State(NamedTuple):
    """The optimizer's state: three trees with the structure of the parameters.

    Attributes:
        step: number of steps that each parameter has taken: Python integers, or zero-dimensional
            arrays in a backend that changes or traces them.
        exp_avg: first moment ``m``, shape of the parameter.
        exp_inf: infinity norm ``u``, shape of the parameter, never negative.
    """

    step: Tree
    exp_avg: Tree
    exp_inf: Tree


def init(params: Tree, state_dtype: Any = None) -> State:
    """The state before the first step: all zero (S-1).

    Args:
        params: tree of floating-point, complex or object arrays.
        state_dtype: dtype of the moments, or its name; None means the dtype of each parameter.
            ``float32`` lets the infinity norm of half precision parameters decay (S-6). For
            complex parameters it is the dtype of the real and imaginary parts.

    Raises:
        TypeError: a parameter is not floating point or complex, or is masked; names the leaf. Or
            `state_dtype` is not a real floating-point dtype.

    >>> init({"w": np.ones(2, np.float16)}, state_dtype="float32").exp_inf
    {'w': array([0., 0.], dtype=float32)}
    """
    params = _parameters(params)
    if state_dtype is not None:
        require_real_dtype(state_dtype)
    return State(
        step=optree.tree_map(lambda _: 0, params),
        exp_avg=optree.tree_map(lambda p: zeros(p, state_dtype), params),
        exp_inf=optree.tree_map(lambda p: zeros(p, state_dtype), params),
    )


def update(
    grads: Tree,
    state: State,
    params: Tree,
    hyperparameters: Hyperparameters,
    *,
    rule: Rule | Callable[..., Step] = CANONICAL,
) -> tuple[Tree, State]:
    """The updates to add to the parameters, in their dtypes, and the new state.

    Adding an update rounds once more than `step` does; prefer `step` in half precision.

    Args:
        grads: tree of arrays; None where a gradient is missing.
        state: from `init` or from the last step.
        params: tree of arrays.
        hyperparameters: for this step; they may change from step to step (H-6).
        rule: the canonical `Rule`, or a dialect with the same signature.

    Raises:
        ValueError: a structure or shape differs; names the leaf and both shapes. Or a
            hyperparameter or step count is outside its domain.
        TypeError: a leaf is not an array of numbers, is masked, or its dtype kind differs; names
            the leaf. Or arguments are swapped; shows the order.

    >>> hp = Hyperparameters(lr=0.125)
    >>> params = {"w": np.array([1.0, 2.0]), "b": np.array(0.5)}
    >>> grads = {"w": np.array([3.0, -4.0]), "b": None}
    >>> updates, state = update(grads, init(params), params, hp)
    >>> updates["b"], state.step
    (array(0.), {'w': 1, 'b': 0})
    """

    def finish(param: Array, after: Step) -> Array:
        return narrow(after.update, param)

    require_arguments(UPDATE, params, grads, state, hyperparameters)
    return _transform(grads, state, params, hyperparameters, rule, finish, zeros)


def step(
    params: Tree,
    grads: Tree,
    state: State,
    hyperparameters: Hyperparameters,
    *,
    rule: Rule | Callable[..., Step] = CANONICAL,
) -> tuple[Tree, State]:
    """The parameters after one step, rounded once to their dtypes, and the new state.

    Arguments and errors are those of `update`.

    >>> params = np.array([1.0, -1.0])
    >>> params, state = step(params, np.array([2.0, -2.0]), init(params), Hyperparameters(lr=0.5))
    >>> params.round(6), state.step
    (array([ 0.5, -0.5]), 1)
    """

    def finish(param: Array, after: Step) -> Array:
        return narrow(widen(param)[0] + after.update, param)

    require_arguments(STEP, params, grads, state, hyperparameters)
    return _transform(grads, state, params, hyperparameters, rule, finish, lambda param: param)


def _transform(
    grads: Tree,
    state: State,
    params: Tree,
    hyperparameters: Hyperparameters,
    rule: Rule | Callable[..., Step],
    finish: Callable[[Array, Step], Array],
    untouched: Callable[[Array], Array],
) -> tuple[Tree, State]:
    treedef, leaves = matched(params, state, {"grads": grads})
    hyperparameters = hyperparameters.numbers()

    def one(param: Array, step: int, exp_avg: Array, exp_inf: Array, grad: Array) -> Step:
        if grad is None:
            return Step(untouched(param), step, exp_avg, exp_inf)
        # Infinities, NaN and 0 / 0 are specified results.
        with np.errstate(all="ignore"):
            p, g, m, u = widen(param, as_array(grad), exp_avg, exp_inf)
            # A Python integer, exact even if the count was loaded as a NumPy integer.
            after = rule(p, g, m, u, int(step), hyperparameters)
            return Step(
                finish(param, after),
                after.step,
                narrow(after.exp_avg, exp_avg),
                narrow(after.exp_inf, exp_inf),
            )

    stepped = [one(*leaf) for leaf in leaves]
    results, *new = (
        optree.tree_unflatten(treedef, [getattr(leaf, field) for leaf in stepped])
        for field in Step._fields
    )
    return results, State(*new)


UPDATE = "update(grads, state, params, hyperparameters)"
STEP = "step(params, grads, state, hyperparameters)"
"""The order of arguments, for error messages."""


def require_arguments(call: str, params: Any, grads: Any, state: Any, hyperparameters: Any) -> None:
    """Raise unless each argument has its class; catches swapped arguments.

    Args:
        call: the correct call, for the error message.
        params: a tree, not a `State` or `Hyperparameters`.
        grads: likewise.
        state: a `State`.
        hyperparameters: `Hyperparameters`.

    Raises:
        TypeError: names the argument, its class and the correct order.

    >>> require_arguments("step(params, grads, state, hyperparameters)", 1.0, 1.0, {}, None)
    Traceback (most recent call last):
    TypeError: state is dict, not State: call step(params, grads, state, hyperparameters)
    """
    for name, given in (("params", params), ("grads", grads)):
        if isinstance(given, State | Hyperparameters):
            raise TypeError(f"{name} is {type(given).__name__}, not a tree of arrays: call {call}")
    for name, given, wanted in (
        ("state", state, State),
        ("hyperparameters", hyperparameters, Hyperparameters),
    ):
        if not isinstance(given, wanted):
            raise TypeError(f"{name} is {type(given).__name__}, not {wanted.__name__}: call {call}")


def matched(
    params: Tree, state: State, others: Mapping[str, Tree]
) -> tuple[optree.PyTreeSpec, list[tuple[Any, ...]]]:
    """Validate the trees; return the structure of `params` and one row for each of its leaves.

    A row holds the parameter, its step, its moments, then its leaf in each of `others`, which may
    be None. Raises as `update` does; messages call the `others` by their keys.
    """
    params = _parameters(params)
    leaves, treedef = optree.tree_flatten(params)
    names = leaf_names("", params)
    trees = {**others, **state._asdict()}
    flat = {what: flatten_like(params, treedef, tree, what) for what, tree in trees.items()}
    for index, (name, param) in enumerate(zip(names, leaves, strict=True)):
        _require_count("step" + name, flat["step"][index])
        for what in (*others, "exp_avg", "exp_inf"):
            array = flat[what][index]
            if not (what in others and array is None):
                _require_fit(what + name, array, "params" + name, param)
    order = (*State._fields, *others)
    return treedef, list(zip(leaves, *(flat[what] for what in order), strict=True))


def _parameters(params: Tree) -> Tree:
    def parameter(accessor: optree.PyTreeAccessor, leaf: Any) -> Array:
        name = accessor.codify("params")
        array = _numbers(name, leaf)
        if kind(array) == "other":
            raise TypeError(
                f"{name} has dtype {array.dtype}; parameters must be floating point or complex"
            )
        return array

    return optree.tree_map_with_accessor(parameter, params)


def _numbers(name: str, leaf: Any) -> Array:
    """The leaf as an array of numbers; raises a TypeError for other objects."""
    if isinstance(leaf, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array; masks are not supported: fill the masked elements with "
            "`.filled(0)`, or drop them with `.compressed()`"
        )
    array = as_array(leaf)
    for element in array.flat if array.dtype == object else ():
        if not isinstance(element, Real | Decimal):
            raise TypeError(
                f"{name} is or holds {type(element).__name__}, which is neither an array nor a "
                "real number: pass arrays in a dict, list, tuple or named tuple"
            )
    return array


def _require_count(name: str, step: Any) -> None:
    array = np.asarray(step)
    if array.ndim:
        raise ValueError(f"{name} has shape {array.shape}: {_COUNT}")
    # NumPy stores large Python integers as objects; booleans and text have other kinds.
    if array.dtype.kind not in "iufO" or not isinstance(array.item(), Real | Decimal):
        raise TypeError(f"{name} = {step!r} is not a number: {_COUNT}")
    try:
        whole = int(step) == step
    except (ValueError, OverflowError):  # NaN and infinity
        whole = False
    if not (whole and 0 <= step < _MOST_STEPS):
        raise ValueError(f"{name} = {step!r} is outside its domain: {_COUNT}")


_COUNT = (
    "it is the number of steps taken, an integer with 0 <= step < 2**64; pass the saved count, or "
    "a state from init"
)


def _require_fit(name: str, leaf: Any, param_name: str, param: Array) -> None:
    array = _numbers(name, leaf)
    if array.shape != param.shape:
        raise ValueError(
            f"{name} has shape {array.shape}, but {param_name} has shape {param.shape}"
        )
    if kind(array) != kind(param):
        raise TypeError(
            f"{name} has dtype {array.dtype}, but {param_name} has dtype {param.dtype}: a "
            f"{kind(param)} parameter needs a {kind(param)} array"
        )
