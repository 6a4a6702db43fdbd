"""The state of Keras's Adamax, which is of the dialect ``eps=outside``: pure functions on stores.

A store is what ``optimizer.save_own_variables(store)`` fills and ``load_own_variables`` reads: the
count, the learning rate, and the two moments of each variable, by their positions. Keras itself is
not needed here.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from adamax_checkpoint.checkpoint import (
    EPS_OUTSIDE,
    Array,
    Checkpoint,
    CheckpointError,
    Group,
    as_count,
    require_checkpoint,
    require_int32_count,
    require_same,
)
from adamax_checkpoint.trees import unique
from adamax_core import Hyperparameters, State

_HYPERPARAMETERS = ("beta_1", "beta_2", "epsilon", "weight_decay")


def from_keras(
    store: Mapping[str, Array],
    config: Mapping[str, Any],
    names: Iterable[str],
    params: Mapping[str, Array] | None = None,
) -> Checkpoint:
    """A checkpoint of the optimizer's variables; the one count becomes one for each parameter.

    Args:
        store: filled by ``optimizer.save_own_variables(store)``.
        config: ``optimizer.get_config()``. If its learning rate is a schedule, the store has none:
            put a number in its place, as in ``config | {"learning_rate": 1e-3}``.
        names: of the variables in order, as in ``[v.path for v in model.trainable_variables]``.
        params: the variables themselves by name, to save them too.

    Raises:
        CheckpointError: it is the state of another optimizer, does not have as many variables, or
            has no learning rate.

    >>> store = dict(zip("0123", (np.int32(5), np.float32(0.5), np.ones(2), np.ones(2))))
    >>> config = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": None}
    >>> checkpoint = from_keras(store, config, ["dense/kernel"])
    >>> checkpoint.state.step, checkpoint.dialect
    ({'dense/kernel': 5}, 'eps=outside')
    """
    found = unique(names)
    _require_adamax(config)
    scalars = len(store) - 2 * len(found)
    if scalars not in (1, 2) or {*store} != {*map(str, range(len(store)))}:
        raise CheckpointError(
            f"{len(store)} variables for {len(found)} names: Adamax has a count, a learning rate "
            "that is no schedule, and two moments for each; give the names of the trainable "
            "variables, and leave use_ema out"
        )
    arrays = [np.asarray(store[str(index)]) for index in range(len(store))]
    moments = arrays[scalars:]
    lr = config.get("learning_rate") if scalars == 1 else arrays[1]
    if not isinstance(lr, int | float | np.ndarray):
        raise CheckpointError(
            "the learning rate is a schedule, whose value the store has not: pass config | "
            "{'learning_rate': its last value}"
        )
    decay = config["weight_decay"] or 0.0
    hp = Hyperparameters(
        float(lr),
        (config["beta_1"], config["beta_2"]),
        config["epsilon"],
        decay,
        decoupled_weight_decay=bool(decay),
    )
    return Checkpoint(
        State(
            dict.fromkeys(found, as_count("the optimizer", arrays[0])),
            dict(zip(found, moments[::2], strict=True)),
            dict(zip(found, moments[1::2], strict=True)),
        ),
        (Group(found, hp),),
        params,
        EPS_OUTSIDE,
    )


def _require_adamax(config: Mapping[str, Any]) -> None:
    # Lamb has the variables and the options of Adamax.
    name = config.get("name", "adamax")
    if "amsgrad" in config or not str(name).startswith("adamax"):
        raise CheckpointError(
            f"by its {'amsgrad' if 'amsgrad' in config else 'name'} this looks like the optimizer "
            f"{name}: save the state of Adamax; if it is one, put 'adamax' in place of its name"
        )
    if missing := [option for option in _HYPERPARAMETERS if option not in config]:
        raise CheckpointError(
            f"the config has no {', '.join(missing)}, as that of Adamax: pass "
            "optimizer.get_config()"
        )


def to_keras(
    checkpoint: Checkpoint, names: Iterable[str], like: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """A store for ``optimizer.load_own_variables(store)``; arrays are copies.

    Build the optimizer before (``optimizer.build(model.trainable_variables)``), with the
    hyperparameters of the checkpoint.

    Args:
        checkpoint: of the dialect ``eps=outside``.
        names: of the variables in order, as for `from_keras`.
        like: what the optimizer itself saves, by ``optimizer.save_own_variables(like)``. Keras
            rounds moments to the dtypes of its variables when it loads them; with `like` another
            dtype or shape raises, and a schedule in place of a learning rate is known.

    Raises:
        CheckpointError: the state is canonical, names are missing or left over, or Keras cannot
            hold what the checkpoint has: different counts or hyperparameters, of which it has one
            for all, `maximize`, coupled decay, complex moments, a count too large for int32, or, by
            `like`, another shape or dtype.
    """
    require_checkpoint(checkpoint)
    found = unique(names)
    require_same(found, checkpoint.names, "the variables", "the checkpoint")
    if checkpoint.dialect != EPS_OUTSIDE:
        raise CheckpointError(
            f"the state is {checkpoint.dialect}, but Keras has eps outside of the maximum: convert "
            f"it with adamax_checkpoint.dialects.to_dialect(checkpoint, {EPS_OUTSIDE!r})"
        )
    step, exp_avg, exp_inf = checkpoint.state
    hyperparameters = [group.hyperparameters for group in checkpoint.groups if group.names]
    for what, values in (
        ("counts of steps", sorted({*step.values()})),
        ("hyperparameters", list(dict.fromkeys(hyperparameters))),
    ):
        if len(values) > 1:
            raise CheckpointError(
                f"parameters have different {what}, {values}, but Keras has one for all: "
                "move them to an optimizer each"
            )
    hp = hyperparameters[0] if hyperparameters else Hyperparameters()
    if hp.maximize or (hp.weight_decay and not hp.decoupled_weight_decay):
        raise CheckpointError(f"Keras only minimizes, with decoupled decay, and has no {hp}")
    if lost := [name for name in found if exp_avg[name].dtype.kind == "c"]:
        raise CheckpointError(f"Keras has no complex variables, as {', '.join(lost)}")
    most = max(step.values(), default=0)
    require_int32_count(most)
    with np.errstate(over="ignore"):
        lr = np.array(hp.lr, np.float32)
    if not np.isfinite(lr):
        raise CheckpointError(f"lr = {hp.lr} is above the most of float32, in which Keras keeps it")
    moments = [tree[name].copy() for name in found for tree in (exp_avg, exp_inf)]
    has_rate = like is None or len(like) % 2 == 0
    arrays = [np.array(most, np.int32), *([lr] if has_rate else []), *moments]
    store = {str(index): array for index, array in enumerate(arrays)}
    if like is not None:
        _require_like(store, like)
    return store


def _require_like(store: Mapping[str, Array], like: Mapping[str, Array]) -> None:
    require_same(like, store, "the optimizer", "the checkpoint")
    for key, array in list(store.items())[len(store) % 2 or 2 :]:
        theirs = np.asarray(like[key])
        if (array.dtype, array.shape) != (theirs.dtype, theirs.shape):
            raise CheckpointError(
                f"the variable {key} of the optimizer is {theirs.dtype} of shape {theirs.shape}, "
                f"and the moment {array.dtype} of shape {array.shape}: build the model of this "
                "training, in its dtype"
            )
