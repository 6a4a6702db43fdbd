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
    require_checkpoint,
    require_same,
)
from adamax_checkpoint.trees import unique
from adamax_core import Hyperparameters, State

_MOST = 2**31 - 1


def from_keras(
    store: Mapping[str, Array],
    config: Mapping[str, Any],
    names: Iterable[str],
    params: Mapping[str, Array] | None = None,
) -> Checkpoint:
    """A checkpoint of the optimizer's variables; the one count becomes one for each parameter.

    Args:
        store: filled by ``optimizer.save_own_variables(store)``.
        config: ``optimizer.get_config()``.
        names: of the variables in order, as in ``[v.path for v in model.trainable_variables]``.
        params: the variables themselves by name, to save them too.

    Raises:
        CheckpointError: it is the state of another optimizer, or does not have as many variables.

    >>> store = dict(zip("0123", (np.int32(5), np.float32(0.5), np.ones(2), np.ones(2))))
    >>> config = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": None}
    >>> checkpoint = from_keras(store, config, ["dense/kernel"])
    >>> checkpoint.state.step, checkpoint.dialect
    ({'dense/kernel': 5}, 'eps=outside')
    """
    found = unique(names)
    if "amsgrad" in config:
        raise CheckpointError("by its amsgrad this looks like Adam: save the state of Adamax")
    if len(store) != 2 + 2 * len(found):
        raise CheckpointError(
            f"{len(store)} variables for {len(found)} names: Adamax has a count, a learning rate "
            "and two moments for each; give the names of the trainable variables, and leave "
            "use_ema out"
        )
    count, lr, *moments = (np.asarray(store[str(index)]) for index in range(len(store)))
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
            dict.fromkeys(found, int(count)),
            dict(zip(found, moments[::2], strict=True)),
            dict(zip(found, moments[1::2], strict=True)),
        ),
        (Group(found, hp),),
        params,
        EPS_OUTSIDE,
    )


def to_keras(checkpoint: Checkpoint, names: Iterable[str]) -> dict[str, Array]:
    """A store for ``optimizer.load_own_variables(store)``; arrays are copies.

    Build the optimizer before (``optimizer.build(model.trainable_variables)``), with the
    hyperparameters of the checkpoint.

    Raises:
        CheckpointError: the state is canonical, names are missing or left over, parameters have
            taken different numbers of steps or have different learning rates, of which Keras has
            one, or the count is too large for int32.
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
    rates = {float(group.hyperparameters.lr) for group in checkpoint.groups}
    for what, values in (("counts of steps", {*step.values()}), ("learning rates", rates)):
        if len(values) > 1:
            raise CheckpointError(
                f"parameters have different {what}, {sorted(values)}, but Keras has one for all: "
                "move them to an optimizer each"
            )
    if (most := max(step.values(), default=0)) > _MOST:
        raise CheckpointError(f"a count of {most} steps is above 2**31 - 1, the most of int32")
    moments = [tree[name].copy() for name in found for tree in (exp_avg, exp_inf)]
    scalars = (np.array(most, np.int32), np.array(next(iter(rates), 0.0), np.float32))
    return {str(index): array for index, array in enumerate((*scalars, *moments))}
