"""Trees of NumPy arrays, such as the state of `adamax_core`: pure functions to and from them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import optree

from adamax_checkpoint.checkpoint import (
    Checkpoint,
    CheckpointError,
    Group,
    as_count,
    one_group,
    require_checkpoint,
    require_same,
)
from adamax_core import Hyperparameters, State

Tree = Any


def names_of(tree: Tree) -> tuple[str, ...]:
    """The name of each leaf, in order: its path, joined by dots; ``params`` for a single array.

    Raises:
        CheckpointError: two leaves have one name.

    >>> names_of({"layers": [{"w": 1.0}, {"w": 2.0}]})
    ('layers.0.w', 'layers.1.w')
    """
    return unique(".".join(map(str, path)) or "params" for path in optree.tree_paths(tree))


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """The names; raises a CheckpointError if two are equal."""
    found = tuple(names)
    if twice := [name for name, times in Counter(found).items() if times > 1]:
        raise CheckpointError(
            f"two parameters have the name {', '.join(twice)}: rename one, since parts of a name "
            "are joined by dots"
        )
    return found


def from_state(
    state: State,
    hyperparameters: Hyperparameters | Group | Iterable[Group],
    params: Tree | None = None,
) -> Checkpoint:
    """A checkpoint of a state of `adamax_core` or `adamax_fused`; arrays are shared, not copied.

    Args:
        state: trees like the parameters.
        hyperparameters: those of all parameters, or of each group of names.
        params: the parameters, to save them too.

    Raises:
        CheckpointError: the trees differ, or see `Checkpoint`.

    >>> from adamax_core import init
    >>> from_state(init([np.zeros(2), np.zeros(())]), Hyperparameters()).state.step
    {'0': 0, '1': 0}
    """
    names = names_of(state.exp_avg)
    trees = {**state._asdict(), **({} if params is None else {"params": params})}
    flat: dict[str, dict[str, Any]] = {}
    for what, tree in trees.items():
        require_same(names, names_of(tree), "exp_avg", what)
        flat[what] = dict(zip(names_of(tree), optree.tree_leaves(tree), strict=True))
    arrays = {
        what: {name: np.asarray(leaf) for name, leaf in leaves.items()}
        for what, leaves in flat.items()
        if what != "step"
    }
    return Checkpoint(
        State(
            {name: as_count(name, count) for name, count in flat["step"].items()},
            arrays["exp_avg"],
            arrays["exp_inf"],
        ),
        one_group(names, hyperparameters),
        arrays.get("params"),
    )


def to_state(checkpoint: Checkpoint, params: Tree) -> State:
    """The state in trees like these parameters; arrays are copies.

    Raises:
        CheckpointError: the names differ, or a shape does; lists what is left over on each side.

    >>> state = State([3], [np.ones(2)], [np.ones(2)])
    >>> to_state(from_state(state, Hyperparameters()), [np.zeros(2)])
    State(step=[3], exp_avg=[array([1., 1.])], exp_inf=[array([1., 1.])])
    """
    require_checkpoint(checkpoint)
    names = names_of(params)
    require_same(names, checkpoint.names, "the parameters", "the checkpoint")
    leaves, treedef = optree.tree_flatten(params)
    require_shapes(checkpoint, dict(zip(names, map(np.shape, leaves), strict=True)))
    step, exp_avg, exp_inf = checkpoint.state
    return State(
        optree.tree_unflatten(treedef, [step[name] for name in names]),
        optree.tree_unflatten(treedef, [exp_avg[name].copy() for name in names]),
        optree.tree_unflatten(treedef, [exp_inf[name].copy() for name in names]),
    )


def require_shapes(checkpoint: Checkpoint, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise a CheckpointError that names the first parameter of another shape."""
    for name, shape in shapes.items():
        found = checkpoint.state.exp_avg[name].shape
        if found != tuple(shape):
            raise CheckpointError(
                f"{name} has shape {tuple(shape)}, in the checkpoint {found}: give the parameters "
                "of this training, or a layout (adamax_checkpoint.names)"
            )
