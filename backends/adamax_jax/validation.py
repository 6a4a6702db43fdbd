"""Validation of all arguments of `adamax_transform`, before it computes (H, S-8, S-10)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adamax_core.hyperparameters import as_float, require
from adamax_jax.leaf import Leaf
from adamax_jax.rule import Scalar
from adamax_jax.state import AdamaxState, is_trained


def require_scalar(name: str, value: Any) -> Any:
    """Return the value; raise a ValueError if it has dimensions."""
    if np.ndim(value):
        raise ValueError(f"{name} has shape {np.shape(value)}; pass a number or a 0-d array")
    return value


def require_number(name: str, value: Any, below: float = np.inf) -> Scalar:
    """Validate a number and return it as a float; returns a 0-d tracer unchecked.

    Raises:
        ValueError: it has dimensions, or is outside ``0 <= value < below``, also once rounded.
        TypeError: it cannot be compared with a number.
    """
    if isinstance(require_scalar(name, value), jax.core.Tracer):
        return value  # type: ignore[no-any-return]  # a tracer is an array
    try:
        require(name, value, below=below)
    except ValueError as error:
        if name == "learning_rate" and value < 0:
            raise ValueError(f"{error}; to ascend, pass maximize=True") from None
        raise
    return as_float(name, value, below=below)


def require_schedule(name: str, value: Any) -> Any:
    """Validate a number, as `require_number` does; returns a schedule unchecked."""
    return value if callable(value) else require_number(name, value)


def scheduled(name: str, value: Any, count: jax.Array) -> Any:
    """The number, or the value of the schedule after this number of updates.

    Raises:
        TypeError: the schedule gives no number.
    """
    if not callable(value):
        return value
    number = require_scalar(name, value(count))
    if not (hasattr(number, "dtype") or isinstance(number, int | float)):
        raise TypeError(f"{name} is a schedule that gives {number!r}, which is not a number")
    return number


def require_parameters(params: Any) -> None:
    """Raise a TypeError that names the first leaf that is not an array."""
    for path, leaf in jax.tree.leaves_with_path(params):
        try:
            is_trained(leaf)
        except TypeError as error:
            raise TypeError(
                f"params{jax.tree_util.keystr(path)} is {leaf!r}, which is not an array; for an "
                "Equinox model, pass eqx.filter(model, eqx.is_inexact_array)"
            ) from error


def require_state(state: Any) -> None:
    """Raise unless `state` is the state of this transformation (S-8), for one model.

    Raises:
        TypeError: it is the state of another transformation.
        ValueError: its count is not a scalar.
    """
    if not isinstance(state, AdamaxState):
        raise TypeError(
            f"state is {type(state).__name__}, not AdamaxState: call update(grads, state, params) "
            "with the state from init of this transformation; the state of another optimizer, such "
            "as Adam, has another meaning"
        )
    if jnp.ndim(state.count):
        raise ValueError(
            f"state.count has shape {jnp.shape(state.count)}, but must be a scalar. Update the "
            "state of several models under jax.vmap. Convert a state saved by an earlier version "
            "with AdamaxState(count=state[3], mu=state[1], nu=state[2], steps=tuple(state[0]))"
        )


def matched(updates: Any, state: AdamaxState, params: Any) -> tuple[Any, list[Leaf | None]]:
    """The structure of the state, with None as a leaf, and a `Leaf` for each trained leaf.

    Without parameters the first moments take their place.

    Raises:
        TypeError: a leaf is not an array, or an untrained leaf has a gradient.
        ValueError: a tree has another structure.
    """
    treedef: Any = jax.tree.structure(state.mu, is_leaf=_is_none)
    mus, nus = (
        _leaves_like(treedef, getattr(state, name), f"state.{name}") for name in ("mu", "nu")
    )
    targets = mus if params is None else _leaves_like(treedef, params, "params")
    grads = _leaves_like(treedef, updates, "grads")
    steps = jax.tree.leaves(state.steps)
    if (trained := sum(mu is not None for mu in mus)) and trained != len(steps):
        raise ValueError(f"state.steps has {len(steps)} counts, but there are {trained} parameters")
    counts = iter(steps)
    leaves: list[Leaf | None] = []
    for index, (target, grad, mu, nu) in enumerate(zip(targets, grads, mus, nus, strict=True)):
        if mu is None:
            _require_none(treedef, index, grad)
            leaves.append(None)
        else:
            if target is None or nu is None:
                what = "state.nu" if nu is None else "params"
                raise ValueError(f"{what} has None where the state has a parameter")
            leaves.append(
                Leaf(_array(target), _array(grad), None, _array(mu), _array(nu), next(counts))
            )
    return treedef, leaves


def require_fit(treedef: Any, leaves: list[Leaf]) -> None:
    """Raise unless the arrays of each leaf have equal shapes and dtype kinds.

    Raises:
        TypeError: one is real and another complex, or an integer.
        ValueError: one has another shape.
    """
    for index, leaf in enumerate(leaves):
        named = {
            "grads": leaf.grad, "params": leaf.param, "state.mu": leaf.mu, "state.nu": leaf.nu,
        }  # fmt: skip
        for what, to in (("params", "state.mu"), ("params", "state.nu"), ("grads", "params")):
            _require_alike(treedef, index, what, to, named)


def decayed(mask: Any, params: Any) -> bool | tuple[bool, ...]:
    """For each trained leaf, or for all, does weight decay apply?

    Reads a mask as optax does: a tree whose leaves are all callable is called, so an Equinox module
    can be a mask.

    Raises:
        ValueError: the mask is not a prefix of the parameters, or not of booleans.
    """
    if mask is None:
        return True
    callables = [callable(leaf) for leaf in jax.tree.leaves(mask)]
    chosen = mask(params) if callables and all(callables) else mask
    try:
        spread = jax.tree.map(lambda keep, part: [keep] * _trained(part), chosen, params)
    except ValueError as error:
        raise ValueError(f"mask is not a prefix of the parameters: {error}") from error
    return tuple(_flag(each) for each in jax.tree.leaves(spread))


def _trained(part: Any) -> int:
    return sum(is_trained(leaf) for leaf in jax.tree.leaves(part))


def _flag(value: Any) -> bool:
    if isinstance(value, jax.core.Tracer) or np.ndim(value) or value not in (False, True):
        raise ValueError(
            f"mask has {value!r} for a leaf; it must be True or False, or a 0-d array whose value "
            "is known while tracing"
        )
    return bool(value)


def leaf_path(treedef: Any, index: int) -> str:
    """The path of a leaf, for error messages; too slow for every step."""
    numbered = treedef.unflatten(range(treedef.num_leaves))
    return jax.tree_util.keystr(jax.tree.leaves_with_path(numbered)[index][0])


def _is_none(node: Any) -> bool:
    return node is None


def _array(leaf: Any) -> Any:
    return leaf if leaf is None or isinstance(leaf, jax.Array) else jnp.asarray(leaf)


def _leaves_like(treedef: Any, tree: Any, what: str) -> list[Any]:
    """The leaves of a tree with the structure of the state; None for a missing leaf."""
    try:
        leaves: list[Any] = treedef.flatten_up_to(tree)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{what} does not have the structure of the parameters: {error}\n"
            f"  parameters: {treedef}\n  {what}: {jax.tree.structure(tree)}"
        ) from error
    return leaves


def _require_none(treedef: Any, index: int, grad: Any) -> None:
    dtype = getattr(grad, "dtype", type(grad).__name__)
    if grad is not None and dtype != jax.dtypes.float0:
        path = leaf_path(treedef, index)
        raise TypeError(
            f"grads{path} has dtype {dtype}, but params{path} is not trained, since it is neither "
            "floating point nor complex: its gradient must be None or float0"
        )


def _require_alike(treedef: Any, index: int, what: str, to: str, named: dict[str, Any]) -> None:
    leaf, target = named[what], named[to]
    if leaf is None:
        return
    if leaf.shape != target.shape:
        path = leaf_path(treedef, index)
        raise ValueError(
            f"{what}{path} has shape {leaf.shape}, but {to}{path} has shape {target.shape}"
        )
    same_kind = jnp.iscomplexobj(leaf) == jnp.iscomplexobj(target)
    if not same_kind or not (is_trained(leaf) and is_trained(target)):
        path = leaf_path(treedef, index)
        raise TypeError(
            f"{what}{path} has dtype {leaf.dtype}, but {to}{path} has dtype {target.dtype}"
        )
