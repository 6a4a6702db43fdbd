"""Names and layouts: the name of a parameter, and the order of its axes, in another framework.

A layout says for each parameter its `Place` on the other side. `moved` applies one to a checkpoint,
moments and parameters alike, and `reversed_` gives the layout back.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from adamax_checkpoint.checkpoint import (
    Array,
    Checkpoint,
    CheckpointError,
    Group,
    require_checkpoint,
    require_same,
)
from adamax_checkpoint.trees import unique
from adamax_core import State

Renaming = Callable[[str], str] | Mapping[str, str] | Sequence[tuple[str, str]]
"""A function of names, a dict, or pairs of a regular expression and a replacement.

The first expression that matches a whole name replaces it, with groups as in `re.sub`. A name that
is not in the dict, or that no expression matches, stays.
"""


def _same(array: Array) -> Array:
    return array


class Place(NamedTuple):
    """Where a parameter is on the other side.

    Attributes:
        name: its name there.
        forth: function of an array here that returns it as it lies there.
        back: the inverse.
    """

    name: str
    forth: Callable[[Array], Array] = _same
    back: Callable[[Array], Array] = _same


Layout = Mapping[str, Place]
"""The `Place` of each parameter by its name here."""


def transposed(name: str, *axes: int) -> Place:
    """A place with the axes in another order.

    >>> transposed("kernel", 2, 1, 0).forth(np.zeros((8, 3, 5))).shape
    (5, 3, 8)
    """
    forth, back = (partial(np.transpose, axes=order) for order in (axes, np.argsort(axes)))
    return Place(name, forth, back)


def flattened(name: str, channels: int, *sizes: int) -> Place:
    """The place of a linear layer behind a flattened convolution.

    PyTorch flattens channels first, Flax and Keras last, so the inputs are in another order.

    >>> flattened("kernel", 2, 4, 4).forth(np.zeros((10, 32))).shape
    (32, 10)
    """
    axes = (*range(2, 2 + len(sizes)), 1, 0)

    def forth(array: Array) -> Array:
        whole = array.reshape(-1, channels, *sizes)
        return whole.transpose(axes).reshape(-1, array.shape[0])

    def back(array: Array) -> Array:
        whole = array.reshape(*sizes, channels, -1)
        return whole.transpose(np.argsort(axes)).reshape(array.shape[1], -1)

    return Place(name, forth, back)


def renamed(renaming: Renaming, name: str) -> str:
    r"""The new name.

    >>> renamed([(r"layers\.(\d+)\.(.*)", r"Dense_\1.\2")], "layers.0.kernel")
    'Dense_0.kernel'
    """
    if callable(renaming):
        return renaming(name)
    if isinstance(renaming, Mapping):
        return renaming.get(name, name)
    for pattern, replacement in renaming:
        if match := re.fullmatch(pattern, name):
            return match.expand(replacement)
    return name


def rename(checkpoint: Checkpoint, renaming: Renaming) -> Checkpoint:
    """The checkpoint with other names.

    Raises:
        CheckpointError: two parameters get one name.
    """
    require_checkpoint(checkpoint)
    return moved(checkpoint, {name: Place(renamed(renaming, name)) for name in checkpoint.names})


def moved(checkpoint: Checkpoint, layout: Layout) -> Checkpoint:
    """The checkpoint as the other side names its parameters and lays them out; arrays are views.

    Raises:
        CheckpointError: a parameter has no place, or a place no parameter: lists both sides; or two
            parameters have one place.

    >>> from adamax_core import Hyperparameters
    >>> state = State({"weight": 1}, {"weight": np.ones((2, 3))}, {"weight": np.ones((2, 3))})
    >>> checkpoint = Checkpoint(state, (Group(("weight",), Hyperparameters()),))
    >>> moved(checkpoint, {"weight": transposed("kernel", 1, 0)}).state.exp_avg["kernel"].shape
    (3, 2)
    """
    require_checkpoint(checkpoint)
    require_same(checkpoint.names, layout, "the checkpoint", "the layout")
    unique(place.name for place in layout.values())

    def laid(tree: Mapping[str, Array]) -> dict[str, Array]:
        return {layout[name].name: layout[name].forth(array) for name, array in tree.items()}

    step, exp_avg, exp_inf = checkpoint.state
    counts = {layout[name].name: count for name, count in step.items()}
    groups = tuple(
        Group(tuple(layout[name].name for name in group.names), group.hyperparameters)
        for group in checkpoint.groups
    )
    try:
        return replace(
            checkpoint,
            state=State(counts, laid(exp_avg), laid(exp_inf)),
            groups=groups,
            params=None if checkpoint.params is None else laid(checkpoint.params),
            verified="",
        )
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"the layout does not fit the shapes: {error}") from error


def reversed_(layout: Layout) -> dict[str, Place]:
    """The layout from the other side to this one."""
    return {place.name: Place(name, place.back, place.forth) for name, place in layout.items()}
