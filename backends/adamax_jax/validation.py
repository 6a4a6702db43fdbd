"""What `adamax_transform` refuses, in one place, before anything is computed (H, S-8, S-10)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adamax_core.hyperparameters import require
from adamax_jax.rule import Scalar
from adamax_jax.state import AdamaxState


def require_number(name: str, value: Any, below: float = np.inf) -> Scalar:
    """A Python number as a float, an array as a 0-d array; a 0-d tracer may hold anything.

    Raises:
        ValueError: it is not a number, or is outside ``0 <= value < below``.
        TypeError: it cannot be compared with a number.
    """
    if np.ndim(value):
        raise ValueError(f"{name} has shape {np.shape(value)}; it is a number or a 0-d array")
    if isinstance(value, jax.core.Tracer):
        return value
    number = np.asarray(value).item() if hasattr(value, "dtype") else value
    require(name, number, below=below)
    return jnp.asarray(value) if isinstance(value, jax.Array | np.ndarray) else float(number)


def require_parameters(params: Any) -> None:
    """Raise a TypeError that names the first leaf that is not floating point or complex."""
    for path, leaf in jax.tree.leaves_with_path(params):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            raise TypeError(
                f"params{jax.tree_util.keystr(path)} has dtype {jnp.result_type(leaf)}; "
                "parameters are floating point or complex"
            )


def require_state(state: Any) -> None:
    """Raise a TypeError unless it is the state of this transformation (S-8)."""
    if not isinstance(state, AdamaxState):
        raise TypeError(
            f"the state is {type(state).__name__}, not AdamaxState: use the state that init of "
            "this transformation gave; that of another optimizer, such as Adam, means other things"
        )


def matched(
    updates: Any, state: AdamaxState, params: Any
) -> tuple[Any, list[Any], list[Any], list[Any], list[Any]]:
    """The structure of the state, and the leaves of gradients, parameters and moments in it.

    Where there are no parameters the first moments stand for them.

    Raises:
        TypeError: a leaf is of another kind, such as an integer.
        ValueError: a tree has another structure, or a leaf has another shape.
    """
    treedef: Any = jax.tree.structure(state.mu)
    mus, nus = jax.tree.leaves(state.mu), _leaves_like(treedef, state.nu, "state.nu")
    if jnp.shape(state.count) != (len(mus),):
        raise ValueError(
            f"state.count has shape {jnp.shape(state.count)}, but there are {len(mus)} parameters"
        )
    targets = mus if params is None else _leaves_like(treedef, params, "params")
    grads = _leaves_like(treedef, updates, "grads")
    _require_fit(treedef, "params", targets, "state.mu", mus)
    _require_fit(treedef, "params", targets, "state.nu", nus)
    _require_fit(treedef, "grads", grads, "params", targets)
    return treedef, grads, targets, mus, nus


def decayed(mask: Any, tree: Any) -> bool | tuple[bool, ...]:
    """What the mask says of each leaf, or of all where there is none.

    Raises:
        ValueError: the mask is not a prefix of the parameters, or not of booleans.
    """
    if mask is None:
        return True
    chosen = mask(tree) if callable(mask) else mask
    try:
        spread = jax.tree.map(lambda keep, part: [keep] * len(jax.tree.leaves(part)), chosen, tree)
    except ValueError as error:
        raise ValueError(f"mask is not a prefix of the parameters: {error}") from error
    flags = jax.tree.leaves(spread)
    if bad := [flag for flag in flags if not isinstance(flag, bool | np.bool_)]:
        raise ValueError(f"mask has {bad[0]!r} for a leaf; it has True or False")
    return tuple(bool(flag) for flag in flags)


def leaf_path(treedef: Any, index: int) -> str:
    """The way to a leaf, for an error: nobody waits for it otherwise."""
    numbered = treedef.unflatten(range(treedef.num_leaves))
    return jax.tree_util.keystr(jax.tree.leaves_with_path(numbered)[index][0])


def _leaves_like(treedef: Any, tree: Any, what: str) -> list[Any]:
    """The leaves of a tree of the structure of the state, None for a missing one."""
    try:
        leaves: list[Any] = treedef.flatten_up_to(tree)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{what} does not have the structure of the parameters: {error}\n"
            f"  parameters: {treedef}\n  {what}: {jax.tree.structure(tree)}"
        ) from error
    if what != "grads" and any(leaf is None for leaf in leaves):
        raise ValueError(f"{what} has None where the state has a parameter")
    return [None if leaf is None else jnp.asarray(leaf) for leaf in leaves]


def _require_fit(treedef: Any, what: str, leaves: list[Any], to: str, targets: list[Any]) -> None:
    """Raise unless each leaf that is there has the shape and the kind of its target."""
    for index, (leaf, target) in enumerate(zip(leaves, targets, strict=True)):
        if leaf is None:
            continue
        if leaf.shape != target.shape:
            path = leaf_path(treedef, index)
            raise ValueError(
                f"{what}{path} has shape {leaf.shape}, but {to}{path} has shape {target.shape}"
            )
        same_kind = jnp.iscomplexobj(leaf) == jnp.iscomplexobj(target)
        if not same_kind or not all(
            jnp.issubdtype(each.dtype, jnp.inexact) for each in (leaf, target)
        ):
            path = leaf_path(treedef, index)
            raise TypeError(
                f"{what}{path} has dtype {leaf.dtype}, but {to}{path} has dtype {target.dtype}"
            )
