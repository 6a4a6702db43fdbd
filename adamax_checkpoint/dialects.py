"""Conversion of state between dialects, and of the counts that they keep.

The canonical rule has eps inside of the maximum. Of the same gradients, its norm U and the norm V
of the rule with eps outside satisfy ``V <= U <= V + eps``. So ``V + eps`` and ``max(U - eps, 0)``
are each at most eps from the norm of the other rule; they are rounded once. Where the last gradient
is the largest, they are exact.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np

from adamax_checkpoint.checkpoint import (
    CANONICAL,
    DIALECTS,
    EPS_OUTSIDE,
    REFUSED,
    Array,
    Checkpoint,
    CheckpointError,
    require_checkpoint,
)


def to_dialect(checkpoint: Checkpoint, dialect: str) -> Checkpoint:
    """The state as another dialect keeps it; each norm is at most eps from that dialect's own.

    Moments and counts stay. A parameter that has not taken a step has a norm of zero in both.

    Args:
        checkpoint: of ``canonical`` or ``eps=outside``.
        dialect: one of these.

    Raises:
        CheckpointError: state cannot be converted to this dialect; gives the reason.

    >>> from adamax_checkpoint import Group
    >>> from adamax_core import Hyperparameters, State
    >>> state = State({"w": 1}, {"w": np.ones(2)}, {"w": np.array([0.0, 1.0])})
    >>> hp = Hyperparameters(eps=0.25)
    >>> checkpoint = Checkpoint(state, (Group(("w",), hp),), dialect="eps=outside")
    >>> to_dialect(checkpoint, "canonical").state.exp_inf["w"]
    array([0.25, 1.25])
    """
    require_checkpoint(checkpoint)
    if dialect not in DIALECTS:
        reason = REFUSED.get(dialect, f"choose {' or '.join(DIALECTS)}")
        raise CheckpointError(f"state cannot be converted to the dialect {dialect!r}: {reason}")
    if dialect == checkpoint.dialect:
        return checkpoint
    change = {CANONICAL: _plus, EPS_OUTSIDE: _minus}[dialect]
    norms = {
        name: _changed(checkpoint.state.exp_inf[name], change, float(group.hyperparameters.eps))
        if checkpoint.state.step[name]
        else checkpoint.state.exp_inf[name]
        for group in checkpoint.groups
        for name in group.names
    }
    state = checkpoint.state._replace(exp_inf=norms)
    return replace(checkpoint, state=state, dialect=dialect, verified="")


def count_of_product(product: Any, beta1: float) -> int:
    """The count of steps of an optimizer that keeps the product ``beta1^t`` instead, as Paddle.

    Args:
        product: a NumPy number or 0-d array of the dtype that the optimizer multiplied in.
        beta1: the decay rate, ``0 < beta1 < 1``.

    Raises:
        CheckpointError: the count cannot be recovered; gives the reason.

    >>> count_of_product(np.float32(0.9) ** 50, 0.9)
    50
    >>> count_of_product(np.float32(0.0), 0.9)
    Traceback (most recent call last):
    adamax_checkpoint.checkpoint.CheckpointError: beta1^t = 0.0 has underflowed, so the count of \
steps t is lost: give it
    """
    value = float(product)
    info: Any = ml_dtypes.finfo(np.asarray(product).dtype)  # type: ignore[no-untyped-call]  # not typed
    if not 0 < beta1 < 1 or not 0 <= value <= 1:
        raise CheckpointError(
            f"beta1 = {beta1} and beta1^t = {value} do not tell the count of steps t: give it"
        )
    if value < float(info.smallest_normal):
        raise CheckpointError(
            f"beta1^t = {value} has underflowed, so the count of steps t is lost: give it"
        )
    found = math.log(value) / math.log(beta1)
    # Each of t products is rounded once, and beta1 in it: by half an eps each, t < found + 1.
    error = (found + 1) * float(info.eps) * (1 + float(info.eps))
    if error / -math.log(beta1) >= 0.5:  # noqa: PLR2004 - half a step
        raise CheckpointError(
            f"beta1^t = {value} is about t = {found:.0f}, but has been rounded too often to tell "
            "t from its neighbours: give the count of steps"
        )
    return round(found)


def _plus(norm: Array, eps: float) -> Array:
    return norm + eps


def _minus(norm: Array, eps: float) -> Array:
    return np.maximum(norm - eps, 0)


def _changed(norm: Array, change: Callable[[Array, float], Array], eps: float) -> Array:
    """Change each real part in float64, and round once."""
    parts = np.ascontiguousarray(norm).reshape(-1)
    parts = parts.view(norm.real.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        changed = change(parts.astype(np.float64), eps).astype(parts.dtype)
    return changed.view(norm.dtype).reshape(norm.shape)
