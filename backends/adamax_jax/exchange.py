"""Conversion of state to and from `optax.adamax`.

optax uses one class, `optax.ScaleByAdamState`, and the same shapes for the states of Adamax and
Adam; only the values distinguish them. A norm ``u`` is at least ``b2^k`` times the
gradient of ``k`` steps ago, so that for ``b1 < b2`` a state of Adamax after ``t`` steps has

    ``|m| <= (1 - b1) (1 + r + ... + r^(t-1)) u``    where ``r = b1 / b2``,

at most 1.01 u at the defaults; any other state raises. Adam's ``nu`` is an average of squares: for
gradients well below one it is far below ``|mu|``, which is detected, as is the state after a few
steps of larger gradients. The check can miss Adam's state after many steps of gradients of about
one or more with a small average, and cannot classify a zero state.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamax_core.hyperparameters import require
from adamax_jax.state import AdamaxState
from adamax_jax.validation import leaf_path


def from_optax_state(
    optax_state: Any, fresh: Any, *, b1: float = 0.9, b2: float = 0.999, grad_dtype: Any = None
) -> Any:
    """`fresh` with the moments and counts of a state of `optax.adamax` or `optax.adamaxw`.

    Args:
        optax_state: any tree that contains one `optax.ScaleByAdamState`; if it contains the state
            of a schedule, ours continues from its count.
        fresh: the result of `init` of the new optimizer: an `AdamaxState`, or any tree that
            contains one, such as the state of a chain. It decides the dtypes and devices of the
            moments.
        b1: the decay rate that made the first moments, ``0 <= b1 < 1``.
        b2: the decay rate that made the infinity norms, ``0 <= b2 < 1``.
        grad_dtype: dtype of the gradients, if less precise than the moments: optax rounds
            ``(1 - b1) g`` and ``|g| + eps`` to it.

    Returns:
        A tree like `fresh`, with copies of the arrays.

    Raises:
        ValueError: the tree does not contain exactly one such state, it is Adam's, or its moments
            have another structure or shape.
        TypeError: its moments are complex: optax uses the modulus, the specification the parts.

    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> theirs = optax.adamax(1e-3)
    >>> _, state = theirs.update(params, theirs.init(params))
    >>> from adamax_jax import adamax_transform
    >>> from_optax_state(state, adamax_transform(1e-3).init(params)).count
    Array(1, dtype=int32)
    """
    require("b1", b1, below=1)
    require("b2", b2, below=1)
    adam = _only(optax_state, optax.ScaleByAdamState, "an optax.adamax state")
    mine = _only(fresh, AdamaxState, "a state of adamax_transform")
    mu, nu = _as_in(adam.mu, mine.mu, "mu"), _as_in(adam.nu, mine.nu, "nu")
    _require_one_model(adam.count)
    _require_adamax(adam, b1, b2, grad_dtype)
    counts = [each.count for each in _all(optax_state, optax.ScaleByScheduleState)]
    state = AdamaxState(
        count=jnp.array((counts or [adam.count])[0], jnp.int32),
        mu=mu,
        nu=nu,
        steps=jax.tree.map(lambda _: jnp.array(adam.count, jnp.int32), mine.steps),
    )
    return _replaced(fresh, {AdamaxState: lambda: state})


def to_optax_state(state: Any, fresh: Any) -> Any:
    """`fresh` with the moments and the count of a state of `adamax_transform`.

    Args:
        state: an `AdamaxState`, or any tree that contains one.
        fresh: the result of `init` of the optax optimizer. It decides the dtypes and devices of the
            moments; its schedules continue from our count.

    Returns:
        A tree like `fresh`, with copies of the arrays.

    Raises:
        ValueError: the tree does not contain exactly one such state, its moments have another
            structure or shape, or parameters have taken different numbers of steps.
        TypeError: its moments are complex, as for `from_optax_state`.

    >>> from adamax_jax import adamax_transform
    >>> ours, params = adamax_transform(1e-3), {"w": jnp.array([1.0, 2.0])}
    >>> _, state = ours.update(params, ours.init(params))
    >>> to_optax_state(state, optax.adamax(1e-3).init(params))[0].count
    Array(1, dtype=int32)
    """
    mine = _only(state, AdamaxState, "a state of adamax_transform")
    adam = _only(fresh, optax.ScaleByAdamState, "an optax.adamax state")
    _require_one_model(mine.count)
    steps = [int(each) for each in jax.tree.leaves(mine.steps)]
    if other := next((index for index, each in enumerate(steps) if each != steps[0]), None):
        treedef = jax.tree.structure(mine.mu)
        raise ValueError(
            f"parameter {leaf_path(treedef, 0)} has taken {steps[0]} steps and "
            f"{leaf_path(treedef, other)} {steps[other]}; optax has one count for all"
        )
    changed = adam._replace(
        count=jnp.array(steps[0], jnp.int32),
        mu=_as_in(mine.mu, adam.mu, "mu"),
        nu=_as_in(mine.nu, adam.nu, "nu"),
    )
    return _replaced(
        fresh,
        {
            optax.ScaleByAdamState: lambda: changed,
            optax.ScaleByScheduleState: lambda: optax.ScaleByScheduleState(jnp.array(mine.count)),
        },
    )


def _all(tree: Any, kind: type[Any]) -> list[Any]:
    leaves = jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, kind))
    return [leaf for leaf in leaves if isinstance(leaf, kind)]


def _only(tree: Any, kind: type[Any], what: str) -> Any:
    found = _all(tree, kind)
    if len(found) != 1:
        raise ValueError(
            f"this is not {what}: it contains {len(found) or 'no'} {kind.__name__}, not one:\n"
            f"  {jax.tree.structure(tree)}"
        )
    return found[0]


def _replaced(tree: Any, by: dict[type[Any], Callable[[], Any]]) -> Any:
    kinds = tuple(by)
    return jax.tree.map(
        lambda node: by[type(node)]() if isinstance(node, kinds) else node,
        tree,
        is_leaf=lambda node: isinstance(node, kinds),
    )


def _require_one_model(count: Any) -> None:
    if jnp.ndim(count):
        raise ValueError(
            f"the count has shape {jnp.shape(count)}: the state of several models, from vmap; "
            "convert one model at a time"
        )


def _as_in(given: Any, wanted: Any, name: str) -> Any:
    """Cast and place the moments like `wanted`."""
    structures: Any = (jax.tree.structure(given), jax.tree.structure(wanted))
    if structures[0] != structures[1]:
        raise ValueError(
            f"{name} does not have the structure of the target state (optax loses the moments of "
            f"a parameter that had no gradient):\n  {structures[0]}\n  {structures[1]}"
        )

    def one(path: Any, leaf: Any, like: Any) -> jax.Array:
        where = f"{name}{jax.tree_util.keystr(path)}"
        if jnp.shape(leaf) != like.shape:
            raise ValueError(f"{where} has shape {jnp.shape(leaf)}, its parameter {like.shape}")
        if jnp.iscomplexobj(leaf) or jnp.iscomplexobj(like):
            raise TypeError(
                f"{where} is complex: optax's norm is of the modulus, the specification's of the "
                "real and imaginary parts, and neither determines the other"
            )
        copy = jnp.array(leaf, like.dtype)
        return jax.device_put(copy, like.sharding) if like.committed else copy

    return jax.tree.map_with_path(one, given, wanted)


def _require_adamax(adam: Any, b1: float, b2: float, grad_dtype: Any) -> None:
    """Raise if a first moment exceeds Adamax's bound (see the module docstring)."""
    leaves = zip(jax.tree.leaves_with_path(adam.mu), jax.tree.leaves(adam.nu), strict=True)
    for (path, mu), nu in leaves:
        info, grad_info = (_info(dtype) for dtype in (mu.dtype, grad_dtype or mu.dtype))
        unit, grad_unit = float(info.eps), float(grad_info.eps)
        # Each step rounds the first moment at most four times and the norm twice.
        ratio = b1 * (1 + 4 * unit) / (b2 * (1 - 2 * unit)) if b2 else np.inf
        if ratio >= 1:
            continue  # a moment that decays more slowly than the norm is unbounded
        most = (1 - b1) * (1 - ratio ** int(adam.count)) / (1 - ratio)
        # Each gradient term is rounded once, in the dtype of the gradients.
        most *= 1 + 8 * unit + 4 * grad_unit
        # Underflow below the smallest normal number, while the norm remembers it.
        lost = max(float(info.tiny), float(grad_info.tiny)) * (1 + most) / (1 - b2)
        m, u = (np.asarray(each).astype(np.float64) for each in (mu, nu))
        if (too_large := np.abs(m) > most * u + lost).any():
            at = tuple(int(i) for i in np.unravel_index(too_large.argmax(), m.shape))
            where = jax.tree_util.keystr(path) + (str(list(at)) if at else "")
            raise ValueError(
                f"this is not the state of an Adamax with b1 = {b1}, b2 = {b2}: mu{where} = "
                f"{m[at]:g} and nu{where} = {u[at]:g}, where |mu| <= {most:.4g} nu. It looks like "
                "Adam's, whose nu is an average of squares. (If gradients were less precise than "
                "the moments, give their dtype as grad_dtype.)"
            )


def _info(dtype: Any) -> Any:
    return jnp.finfo(dtype)  # type: ignore[no-untyped-call]  # not typed
