"""Files of Flax's serialization (MessagePack) with the state of optax.adamax or optax.adamaxw.

Read what `write` saves with ``flax.serialization``: ``msgpack_restore`` gives a dict, and
``from_state_dict(optax.adamax(lr).init(params), restored["optimizer"])`` the state.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from flax import serialization, traverse_util

from adamax_checkpoint.atomic import replacing
from adamax_checkpoint.checkpoint import (
    Array,
    Checkpoint,
    CheckpointError,
    Group,
    as_count,
    require_canonical,
    require_int32_count,
)
from adamax_checkpoint.metadata import KEY, groups_of, parsed, sealed, unsealed
from adamax_checkpoint.optax import from_optax, require_one_rule
from adamax_checkpoint.trees import unique
from adamax_core import Hyperparameters, State

OPTIMIZER, PARAMS = "optimizer", "params"
"""The keys of the dict that `write` saves, beside `metadata.KEY`."""


def read(
    path: str | os.PathLike[str],
    hyperparameters: Hyperparameters | Group | Iterable[Group] | None = None,
) -> Checkpoint:
    """The checkpoint of a file of ``flax.serialization.to_bytes(state)``, or of one of `write`.

    What `write` saved is compared with its checksums.

    Args:
        path: the file.
        hyperparameters: those of the optimizer; a file of `write` has them.

    Raises:
        CheckpointError: the file is not valid, has no state of Adamax or more than one, or no
            hyperparameters; or counts differ.
        OSError: the file cannot be read.
    """
    data = Path(path).read_bytes()
    try:
        return _checkpoint(serialization.msgpack_restore(data), hyperparameters)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # of a corrupt file msgpack and Flax raise classes of all kinds
        raise CheckpointError(
            f"{path}: not a valid file of Flax's serialization ({error})"
        ) from error


def _checkpoint(
    content: Any, hyperparameters: Hyperparameters | Group | Iterable[Group] | None
) -> Checkpoint:
    if isinstance(content, Mapping) and isinstance(seal := content.get(KEY), str):
        return _unsealed(content, seal)
    nodes = list(_nodes(content))
    if len(nodes) != 1:
        raise CheckpointError(
            f"{len(nodes) or 'no'} states of optax.adamax, which have count, mu and nu: save one, "
            "as flax.serialization.to_bytes(state)"
        )
    if hyperparameters is None:
        raise CheckpointError(
            "the state of optax has no hyperparameters: give those of the optimizer"
        )
    node = nodes[0]
    given = _flat(node["steps"]).values() if "steps" in node else [node["count"]]
    counts = {as_count("the state", count) for count in given}
    if len(counts) > 1:
        raise CheckpointError(
            "parameters have taken different numbers of steps, whose order is not in the file: "
            "convert the state itself, with adamax_checkpoint.optax.from_optax"
        )
    mu, nu = (_nested(_flat(node[part])) for part in ("mu", "nu"))
    with jax.enable_x64(True):
        state = optax.ScaleByAdamState(np.int32(counts.pop()), mu, nu)
        params = _nested(_flat(content[PARAMS])) if content.get(PARAMS) else None
        return from_optax(state, hyperparameters, params)


def _unsealed(content: Mapping[str, Any], seal: str) -> Checkpoint:
    """The checkpoint that `write` saved. Its values are not judged: betas may have changed."""
    node, groups = content[OPTIMIZER]["0"], groups_of(parsed({KEY: seal}))
    mu, nu, params = (_flat(tree) for tree in (node["mu"], node["nu"], content[PARAMS]))
    counts = dict.fromkeys(mu, as_count("the state", node["count"]))
    return unsealed(Checkpoint(State(counts, mu, nu), groups, params or None), seal)


def write(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Save the state of optax.adamax, or of optax.adamaxw if decay is decoupled.

    The file is replaced at once, see `adamax_checkpoint.atomic`.

    Raises:
        CheckpointError: the state is not canonical, counts, betas or eps differ, a parameter is
            complex, or a name is a part of another.
        OSError: the file cannot be written; nothing has changed.
    """
    require_canonical(checkpoint)
    require_one_rule(checkpoint, checkpoint.names)
    counts = {*checkpoint.state.step.values()} or {0}
    if len(counts) > 1:
        raise CheckpointError(
            f"parameters have taken different numbers of steps, {sorted(counts)}, and optax has "
            "one count: load the checkpoint into adamax_transform, with to_optax"
        )
    if any(array.dtype.kind == "c" for array in checkpoint.state.exp_inf.values()):
        raise CheckpointError(
            "optax's norm of a complex parameter is of the modulus: load the checkpoint into "
            "adamax_transform, with to_optax"
        )
    (count,) = counts
    require_int32_count(count)
    adam = {
        "count": np.array(count, np.int32),
        "mu": _nested(checkpoint.state.exp_avg),
        "nu": _nested(checkpoint.state.exp_inf),
    }
    decoupled = any(group.hyperparameters.decoupled_weight_decay for group in checkpoint.groups)
    rest: dict[str, Any] = {str(index): {} for index in range(1, 3 if decoupled else 2)}
    content = {
        OPTIMIZER: {"0": adam, **rest},
        PARAMS: _nested(checkpoint.params or {}),
        KEY: sealed(checkpoint),
    }
    with replacing(path) as file:
        file.write(serialization.msgpack_serialize(content))


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(tree, Mapping):
        if {"count", "mu", "nu"} <= tree.keys():
            yield tree
        else:
            for each in tree.values():
                yield from _nodes(each)


def _flat(tree: Any) -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        return {"params": tree}
    flat: Any = traverse_util.flatten_dict(tree)  # type: ignore[no-untyped-call]  # not typed
    return dict(zip(unique(map(".".join, flat)), flat.values(), strict=True))


def _nested(arrays: Mapping[str, Array]) -> dict[str, Any]:
    paths = {
        tuple(name.split(".")): np.ascontiguousarray(a).reshape(a.shape)
        for name, a in arrays.items()
    }
    inner = {path[:n] for path in paths for n in range(1, len(path))}
    if clashing := sorted(".".join(path) for path in inner & paths.keys()):
        raise CheckpointError(
            f"{', '.join(clashing)}: the name of a parameter and the beginning of another's, "
            "which a tree cannot hold: rename one"
        )
    nested: dict[str, Any] = traverse_util.unflatten_dict(paths)  # type: ignore[no-untyped-call]  # not typed
    return nested
