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

from collections import Counter
from typing import Any, NamedTuple

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
    """Convert a state that contains `optax.adamax` or `optax.adamaxw` to `adamax_transform`.

    Args:
        optax_state: the state to convert: any tree with one `optax.ScaleByAdamState` for each
            `AdamaxState` of `fresh`. If its learning rate follows a schedule, the schedule's count
            becomes `AdamaxState.count`.
        fresh: the result of `init` of the new optimizer: an `AdamaxState`, or a tree that contains
            some, such as the state of a chain, of `optax.MultiSteps` or of
            `optax.multi_transform`. It gives the dtypes and the devices.
        b1: the decay rate that the first moments were computed with, ``0 <= b1 < 1``.
        b2: the decay rate that the infinity norms were computed with, ``0 <= b2 < 1``.
        grad_dtype: the dtype of the gradients, if it is less precise than that of the moments:
            optax rounds ``(1 - b1) g`` and ``|g| + eps`` to it.

    Returns:
        A tree like `fresh`, of new arrays. Every leaf comes from `optax_state`, also those of other
        transformations: accumulated gradients, averages, injected hyperparameters.

    Raises:
        ValueError: the numbers of states differ, a state is Adam's, moments differ in structure or
            shape, or another leaf has no counterpart; the message names the leaf.
        TypeError: moments are complex: optax's norm is of the modulus, the specification's of the
            real and imaginary parts.

    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> theirs = optax.adamax(1e-3)
    >>> _, state = theirs.update(params, theirs.init(params))
    >>> from adamax_jax import adamax_transform
    >>> from_optax_state(state, adamax_transform(1e-3).init(params)).count
    Array(1, dtype=int32)
    """
    require("b1", b1, below=1)
    require("b2", b2, below=1)
    given, wanted = _parts(optax_state), _parts(fresh)
    _require_as_many(given.adams, wanted.adamaxes)
    schedules = _own_schedules(given, wanted)

    def converted(adam: Any, mine: AdamaxState, schedule: Any) -> AdamaxState:
        mu, nu = _as_in(adam.mu, mine.mu, "mu"), _as_in(adam.nu, mine.nu, "nu")
        _require_one_model(adam.count)
        _require_adamax(adam, b1, b2, grad_dtype)
        return AdamaxState(
            count=jnp.array((schedule or adam).count, jnp.int32),
            mu=mu,
            nu=nu,
            steps=jax.tree.map(lambda _: jnp.array(adam.count, jnp.int32), mine.steps),
        )

    rows = zip(given.adams.values(), wanted.adamaxes.values(), schedules, strict=True)
    states = [converted(*row) for row in rows]
    others = _carried(given.without(schedules), wanted)
    return wanted.filled(dict(zip(wanted.adamaxes, states, strict=True)) | others)


def to_optax_state(state: Any, fresh: Any) -> Any:
    """Convert a state that contains `adamax_transform` to `optax.adamax` or `optax.adamaxw`.

    Args:
        state: the state to convert: an `AdamaxState`, or any tree that contains some.
        fresh: the result of `init` of the optax optimizer. It gives the dtypes and the devices. If
            its learning rate follows a schedule, `AdamaxState.count` becomes the schedule's count.

    Returns:
        A tree like `fresh`, of new arrays; every leaf comes from `state`.

    Raises:
        ValueError: the numbers of states differ, moments differ in structure or shape, parameters
            have taken different numbers of steps (optax has one count), or another leaf has no
            counterpart; the message names the leaf.
        TypeError: moments are complex, as for `from_optax_state`.

    >>> from adamax_jax import adamax_transform
    >>> ours, params = adamax_transform(1e-3), {"w": jnp.array([1.0, 2.0])}
    >>> _, state = ours.update(params, ours.init(params))
    >>> to_optax_state(state, optax.adamax(1e-3).init(params))[0].count
    Array(1, dtype=int32)
    """
    given, wanted = _parts(state), _parts(fresh)
    _require_as_many(wanted.adams, given.adamaxes)
    schedules = _own_schedules(wanted, given)
    found: dict[Path, Any] = {}
    for (path, adam), mine, schedule in zip(
        wanted.adams.items(), given.adamaxes.values(), schedules, strict=True
    ):
        _require_one_model(mine.count)
        found[path] = adam._replace(
            count=jnp.array(_one_count(mine), jnp.int32),
            mu=_as_in(mine.mu, adam.mu, "mu"),
            nu=_as_in(mine.nu, adam.nu, "nu"),
        )
        if schedule is not None:
            [own] = (p for p, node in wanted.schedules.items() if node is schedule)
            found[own] = optax.ScaleByScheduleState(jnp.array(mine.count))
    others = _carried(given, wanted.without(schedules))
    return wanted.filled(found | others)


Path = tuple[Any, ...]
"""Of a leaf or a node, as `jax.tree_util` gives it."""

_KINDS = (optax.ScaleByAdamState, AdamaxState, optax.ScaleByScheduleState)


class _Parts(NamedTuple):
    """A state in parts, each by its path, in order."""

    tree: Any
    adams: dict[Path, Any]
    adamaxes: dict[Path, AdamaxState]
    schedules: dict[Path, Any]
    others: dict[Path, Any]

    def without(self, schedules: list[Any]) -> "_Parts":
        """The parts without these schedules."""
        kept = {
            path: node
            for path, node in self.schedules.items()
            if not any(node is schedule for schedule in schedules)
        }
        return self._replace(schedules=kept)

    def filled(self, values: dict[Path, Any]) -> Any:
        """The tree with these values in the places of its parts."""
        return jax.tree.map_with_path(lambda path, _: values[path], self.tree, is_leaf=_is_node)


def _is_node(node: Any) -> bool:
    return isinstance(node, _KINDS)


def _parts(tree: Any) -> _Parts:
    parts: _Parts = _Parts(tree, {}, {}, {}, {})
    kinds: dict[type[Any], dict[Path, Any]] = dict(zip(_KINDS, parts[1:], strict=False))
    for path, node in jax.tree.leaves_with_path(tree, is_leaf=_is_node):
        kinds.get(type(node), parts.others)[path] = node
    return parts


def _require_as_many(adams: dict[Path, Any], adamaxes: dict[Path, Any]) -> None:
    if not adams or len(adams) != len(adamaxes):
        raise ValueError(
            f"this is not a state of optax.adamax beside one of adamax_transform: it has "
            f"{len(adams) or 'no'} ScaleByAdamState for {len(adamaxes) or 'no'} AdamaxState"
        )


def _own_schedules(theirs: _Parts, ours: _Parts) -> list[Any]:
    """For each state of optax.adamax the schedule of its learning rate, or None.

    That is the first one behind it. Where both trees have as many, they are of other
    transformations, and are carried as these are.
    """
    own = []
    order = [*jax.tree.leaves(theirs.tree, is_leaf=_is_node)]
    for adam in theirs.adams.values():
        behind = order[next(i for i, node in enumerate(order) if node is adam) + 1 :]
        nodes = (node for node in behind if type(node) in _KINDS)
        first = next(nodes, None)
        own.append(first if isinstance(first, optax.ScaleByScheduleState) else None)
    return own if len(theirs.schedules) > len(ours.schedules) else [None] * len(own)


def _carried(given: _Parts, wanted: _Parts) -> dict[Path, Any]:
    """What is neither Adamax's nor a schedule of its own, by its path in `wanted`.

    Positions in a chain may differ, since optax.adamax is a chain itself; names may not.

    Raises:
        ValueError: a leaf has no counterpart, or one of another shape; names it.
    """
    count = jax.tree_util.GetAttrKey("count")
    sides: list[dict[Path, Any]] = []
    for parts in (given, wanted):
        counts = {(*path, count): node.count for path, node in parts.schedules.items()}
        sides.append({**parts.others, **counts})
    named: list[dict[tuple[str, int], Path]] = [
        {(_named(path), n): path for n, path in _numbered(side)} for side in sides
    ]
    from_given, from_fresh = named
    for side, other, what in (
        (from_given, from_fresh, "the state that is given"),
        (from_fresh, from_given, "`fresh`"),
    ):
        if lost := [path for key, path in side.items() if key not in other]:
            raise ValueError(
                f"{what} holds {_written(lost[0])}, which has no counterpart in the other state: "
                "make both with the same transformations around Adamax"
            )
    found: dict[Path, Any] = {}
    for key, path in from_fresh.items():
        leaf, like = sides[0][from_given[key]], sides[1][path]
        if jnp.shape(leaf) != jnp.shape(like):
            raise ValueError(
                f"{_written(path)} has shape {jnp.shape(leaf)}, and {jnp.shape(like)} in `fresh`"
            )
        found[path] = _copied(leaf, like)
    for path, node in wanted.schedules.items():
        found[path] = node._replace(count=found.pop((*path, count)))
    return found


def _numbered(side: dict[Path, Any]) -> list[tuple[int, Path]]:
    """Each path with how many of its name are before it: two averages in a chain are in order."""
    seen: Counter[str] = Counter()
    numbered = []
    for path in side:
        numbered.append((seen[_named(path)], path))
        seen[_named(path)] += 1
    return numbered


def _named(path: Path) -> str:
    """A path without positions in tuples."""
    return _written(tuple(key for key in path if not isinstance(key, jax.tree_util.SequenceKey)))


def _written(path: Path) -> str:
    return jax.tree_util.keystr(path)


def _copied(leaf: Any, like: Any) -> Any:
    """A leaf in memory of its own, of the dtype and in the place of another."""
    if not isinstance(like, jax.Array):
        return leaf
    copy = jnp.array(leaf, like.dtype)
    return jax.device_put(copy, like.sharding) if like.committed else copy


def _one_count(state: AdamaxState) -> int:
    steps = [int(each) for each in jax.tree.leaves(state.steps)]
    if other := next((index for index, each in enumerate(steps) if each != steps[0]), None):
        treedef = jax.tree.structure(state.mu)
        raise ValueError(
            f"parameter {leaf_path(treedef, 0)} has taken {steps[0]} steps and "
            f"{leaf_path(treedef, other)} {steps[other]}; optax has one count for all"
        )
    return steps[0]


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
        copy: jax.Array = _copied(leaf, like)
        return copy

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
