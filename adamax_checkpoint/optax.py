"""The state of `adamax_jax.adamax_transform`, optax.adamax and optax.adamaxw, anywhere in a chain.

Pure functions. The state of optax does not hold its hyperparameters, so they are an argument.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamax_checkpoint.checkpoint import (
    Checkpoint,
    CheckpointError,
    Group,
    one_group,
    require_canonical,
    require_int32_count,
    require_same,
)
from adamax_checkpoint.trees import require_shapes, unique
from adamax_core import Hyperparameters, State
from adamax_jax import AdamaxState, from_optax_state, to_optax_state
from adamax_jax.state import zero_state

_ADAMAX = (AdamaxState, optax.ScaleByAdamState)


def from_optax(
    state: Any,
    hyperparameters: Hyperparameters | Group | Iterable[Group],
    params: Any = None,
    *,
    grad_dtype: Any = None,
) -> Checkpoint:
    """A checkpoint of the state of an optimizer that holds Adamax, once or for parts of the tree.

    The one count of optax becomes one for each parameter. Names are paths, joined by dots.

    Args:
        state: `AdamaxState` or the state of optax.adamax or optax.adamaxw, or any tree with some.
        hyperparameters: those that the optimizer was made with, or groups of names with theirs.
        params: the parameters, to save them too.
        grad_dtype: the dtype of gradients that are less precise than the moments of optax, see
            `adamax_jax.from_optax_state`.

    Raises:
        CheckpointError: there is no state of Adamax, it is Adam's, or see `Checkpoint`.
        TypeError: the moments of optax are complex: its norm is of the modulus.

    >>> params = {"layer": {"w": jnp.ones(2)}}
    >>> state = optax.chain(optax.clip(1.0), optax.adamax(1e-3)).init(params)
    >>> from_optax(state, Hyperparameters(1e-3)).state.step
    {'layer.w': 0}
    """
    nodes = _nodes(state)
    names = unique(name for node in nodes for name in names_of(node.mu))
    groups = one_group(names, hyperparameters)
    of = {name: group.hyperparameters for group in groups for name in group.names}
    require_same(names, of, "the state", "the groups")
    trees = State({}, {}, {})
    for node in nodes:
        ours = _ours(node, of, grad_dtype)
        own, moments = names_of(ours.mu), (jax.tree.leaves(ours.mu), jax.tree.leaves(ours.nu))
        trees.step.update(zip(own, map(int, jax.tree.leaves(ours.steps)), strict=False))
        for tree, leaves in zip(trees[1:], moments, strict=True):
            tree.update(zip(own, map(np.asarray, leaves), strict=True))
    kept = None if params is None else arrays_of(params)
    return Checkpoint(trees, groups, kept)


def to_optax(checkpoint: Checkpoint, fresh: Any) -> Any:
    """The state of an optimizer with the state of the checkpoint in it; arrays are copies.

    Counts of updates (of `AdamaxState`, of schedules and injected hyperparameters) become the
    largest count of a parameter. What else transformations hold stays as in `fresh`. Make the
    optimizer with the hyperparameters of the checkpoint, which its state does not hold; where they
    differ by group, with a mask or with optax.multi_transform.

    Args:
        checkpoint: of canonical state.
        fresh: the result of `init` of the optimizer.

    Raises:
        CheckpointError: names are missing or left over, a shape or a dtype differs, or a count is
            too large for int32; or one Adamax of the optimizer would need several counts, betas or
            eps.
        TypeError: the moments are complex, and the optimizer is optax's.

    >>> params = {"w": jnp.ones(2)}
    >>> state = State({"w": 3}, {"w": np.ones(2, np.float32)}, {"w": np.ones(2, np.float32)})
    >>> checkpoint = Checkpoint(state, (Group(("w",), Hyperparameters(1e-3)),))
    >>> to_optax(checkpoint, optax.adamax(1e-3).init(params))[0].count
    Array(3, dtype=int32)
    """
    require_canonical(checkpoint)
    nodes = _nodes(fresh)
    wanted = {name: leaf for node in nodes for name, leaf in _named(node.mu).items()}
    require_same(wanted, checkpoint.names, "the optimizer", "the checkpoint")
    require_shapes(checkpoint, {name: leaf.shape for name, leaf in wanted.items()})
    for node in nodes:
        require_one_rule(checkpoint, names_of(node.mu))
    for name, leaf in wanted.items():
        dtype = checkpoint.state.exp_avg[name].dtype
        if dtype != leaf.dtype or checkpoint.state.exp_inf[name].dtype != leaf.dtype:
            raise CheckpointError(
                f"{name}: the moments are {dtype}, in the optimizer {leaf.dtype}: make it with "
                "adamax_transform(state_dtype=...), or for 64 bits under jax.enable_x64()"
            )
    most = max(checkpoint.state.step.values(), default=0)
    require_int32_count(most)
    return _filled(fresh, checkpoint, jnp.array(most, jnp.int32))


def require_one_rule(checkpoint: Checkpoint, names: Iterable[str]) -> None:
    """Raise a CheckpointError if parameters of one Adamax of optax have other betas or eps."""
    of = {name: group.hyperparameters for group in checkpoint.groups for name in group.names}
    rules = {(of[name].betas, of[name].eps): name for name in names}
    if len(rules) > 1:
        listed = ", ".join(f"{name} {betas}, {eps}" for (betas, eps), name in rules.items())
        raise CheckpointError(
            f"parameters of one Adamax of optax have different betas and eps ({listed}): make the "
            "optimizer with optax.multi_transform, a label for each"
        )


def names_of(tree: Any) -> tuple[str, ...]:
    """The names of the leaves of a tree of JAX, as `adamax_checkpoint.trees.names_of`.

    >>> names_of({"layers": [{"w": 1.0}, {"w": 2.0}]})
    ('layers.0.w', 'layers.1.w')
    """
    paths = (path for path, _ in jax.tree.leaves_with_path(tree))
    return unique(
        jax.tree_util.keystr(path, simple=True, separator=".") or "params" for path in paths
    )


def arrays_of(tree: Any) -> dict[str, Any]:
    """The floating-point and complex leaves of a tree of JAX as NumPy arrays by their names."""
    return {
        name: np.asarray(leaf)
        for name, leaf in _named(tree).items()
        if jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.inexact)
    }


def tree_of(arrays: Mapping[str, Any], like: Any) -> Any:
    """A tree of JAX arrays like another, copies of the arrays that have the names of its leaves.

    Raises:
        CheckpointError: the names differ, listing what is left over on each side; a shape does, or
            JAX would round an array.
        TypeError: `arrays` is no dict, such as the params of a checkpoint without them.
    """
    if not isinstance(arrays, Mapping):
        raise TypeError(
            f"arrays is {arrays!r}, not a dict of arrays by name: save the checkpoint with params"
        )
    names = names_of(like)
    require_same(names, arrays, "the tree", "the arrays")
    leaves, treedef = jax.tree.flatten(like)
    made = [_whole(n, arrays[n], leaf) for n, leaf in zip(names, leaves, strict=True)]
    return jax.tree.unflatten(treedef, made)


def _whole(name: str, array: Any, leaf: Any) -> jax.Array:
    if jnp.shape(array) != jnp.shape(leaf):
        raise CheckpointError(
            f"{name} has shape {jnp.shape(array)}, in the tree {jnp.shape(leaf)}: give a tree of "
            "this training, or move through a layout (adamax_checkpoint.names)"
        )
    made = jnp.array(array)
    if made.dtype != array.dtype:
        raise CheckpointError(
            f"{name} is {array.dtype}, which JAX would round to {made.dtype}: set jax_enable_x64"
        )
    return made


def _named(tree: Any) -> dict[str, Any]:
    return dict(zip(names_of(tree), jax.tree.leaves(tree), strict=True))


def _nodes(state: Any) -> list[Any]:
    nodes = [node for node in _leaves(state) if isinstance(node, _ADAMAX)]
    if not nodes:
        raise CheckpointError(
            "the state holds neither AdamaxState nor ScaleByAdamState: pass the state of "
            "adamax_transform, optax.adamax or optax.adamaxw, or of a chain with one"
        )
    return nodes


def _is_node(node: Any) -> bool:
    return isinstance(node, (*_ADAMAX, optax.InjectStatefulHyperparamsState)) or _is_counter(node)


def _is_counter(node: Any) -> bool:
    """Whether a state is a count of updates alone, as that of a schedule."""
    return getattr(node, "_fields", ()) == ("count",)


def _leaves(tree: Any) -> Iterator[Any]:
    """The leaves of a state, and its nodes of `_ADAMAX`, also inside of injected ones."""
    for node in jax.tree.leaves(tree, is_leaf=_is_node):
        if isinstance(node, optax.InjectStatefulHyperparamsState):
            yield from _leaves(node.inner_state)
        else:
            yield node


def _ours(node: Any, of: Mapping[str, Hyperparameters], grad_dtype: Any) -> AdamaxState:
    if jnp.ndim(node.count):
        raise CheckpointError(
            f"the count has shape {jnp.shape(node.count)}: the state of several models, from "
            "vmap; convert one model at a time"
        )
    if isinstance(node, AdamaxState):
        return node
    b1, b2 = next((of[name].betas for name in names_of(node.mu)), (0.9, 0.999))
    fresh = zero_state(node.mu, None)
    try:
        found: AdamaxState = from_optax_state(node, fresh, b1=b1, b2=b2, grad_dtype=grad_dtype)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    return found


def _filled(tree: Any, checkpoint: Checkpoint, most: jax.Array) -> Any:
    def one(node: Any) -> Any:
        if isinstance(node, _ADAMAX):
            return _node(node, checkpoint, most)
        if isinstance(node, optax.InjectStatefulHyperparamsState):
            inner = _filled(node.inner_state, checkpoint, most)
            schedules = _filled(node.hyperparams_states, checkpoint, most)
            return node._replace(count=most, inner_state=inner, hyperparams_states=schedules)
        return node._replace(count=most) if _is_counter(node) else node

    return jax.tree.map(one, tree, is_leaf=_is_node)


def _placed(array: Any, like: jax.Array) -> jax.Array:
    """A copy of the array, on the devices of the leaf that it replaces."""
    copy = jnp.array(array)
    # A leaf of jax.eval_shape has no place.
    return jax.device_put(copy, like.sharding) if getattr(like, "committed", False) else copy


def _node(node: Any, checkpoint: Checkpoint, most: jax.Array) -> Any:
    step, exp_avg, exp_inf = checkpoint.state
    names, treedef = names_of(node.mu), jax.tree.structure(node.mu)
    mu, nu = (
        jax.tree.unflatten(treedef, [_placed(tree[name], like) for name, like in row])
        for tree, row in ((exp_avg, _named(node.mu).items()), (exp_inf, _named(node.nu).items()))
    )
    steps = tuple(jnp.array(step[name], jnp.int32) for name in names)
    ours = AdamaxState(most, mu, nu, steps or jnp.array(0, jnp.int32))
    if isinstance(node, AdamaxState):
        return ours
    try:
        return to_optax_state(ours, node)
    except ValueError as error:
        raise CheckpointError(f"{error}: use adamax_transform, which has a count each") from error
