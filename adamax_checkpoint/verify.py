"""Proof that a state has been moved: the same bits, and right steps from it on both sides.

Each side steps from its own copy of the state with the same gradients; the judge
(`adamax_conformance`) compares each step with the exact rule and its derived bounds. The rule is
elementwise, so a sample of the elements of each parameter shows what all of them would.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from adamax_checkpoint.checkpoint import (
    Array,
    Checkpoint,
    CheckpointError,
    Group,
    NotVerifiedError,
    require_alike,
    require_checkpoint,
)
from adamax_conformance import Moments
from adamax_conformance.dialects import Dialect
from adamax_conformance.judging.finding import Finding, Violation
from adamax_conformance.judging.judge import judge
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.registry import BackendBrokenError, BackendNotFoundError, find
from adamax_conformance.subject.watched import BackendError, Watched

SIDES = ("torch", "jax")

_MOST_ELEMENTS = 4096
"""Elements in a sample of all parameters, of which each has one at least: exact steps are slow."""


@dataclass(frozen=True)
class Verified:
    """How a state was verified; ``str`` of it is a sentence.

    Attributes:
        sides: the backends that stepped from the state.
        steps: the number of steps.
        gradients: ``recorded``, or ``drawn from the seed N``.
        elements: the number of elements in the sample.
        used: the largest error over its bound, at most 1.
        params: whether the parameters were compared and stepped too, or drawn.
    """

    sides: tuple[str, ...]
    steps: int
    gradients: str
    elements: int
    used: float
    params: bool

    def __str__(self) -> str:
        bits = "same bits" if self.params else "same bits of the state alone"
        sides = " and ".join(self.sides)
        return (
            f"{bits}; {sides} took {self.steps} steps with gradients {self.gradients}, "
            f"{self.elements} elements each; largest error {self.used:.2f} of its derived bound"
        )


@np.errstate(all="ignore")  # NaN and overflow are numbers to judge
def verify(
    checkpoint: Checkpoint,
    other: Checkpoint | None = None,
    *,
    sides: Sequence[str] = SIDES,
    gradients: Sequence[Mapping[str, Array]] | None = None,
    steps: int = 3,
    seed: int = 0,
) -> Verified:
    """Verify that two checkpoints are one, and that steps from it are right on both sides.

    Args:
        checkpoint: the state that was moved.
        other: the state as it was read back from where it was moved to, with the same names and
            layout; None means the same.
        sides: a backend of `adamax_conformance` for each of both, by its name. The first steps from
            `checkpoint`, the second from `other`.
        gradients: recorded ones, an array of the shape of its parameter by name for each step;
            None draws them, of the size of the norms.
        steps: the number of steps, if gradients are drawn.
        seed: decides the gradients and the sample. Parameters are drawn too if they are not saved.

    Raises:
        CheckpointError: a recorded gradient fits no parameter, there is no step to take, or a side
            is not installed.
        NotVerifiedError: the states differ, or a step is outside of its bounds; says where.

    >>> from adamax_core import Hyperparameters, init
    >>> params = {"w": np.ones(2)}
    >>> checkpoint = Checkpoint(init(params), (Group(("w",), Hyperparameters()),), params)
    >>> verify(checkpoint, sides=("numpy", "numpy"), steps=1).elements
    2
    """
    require_checkpoint(checkpoint)
    if other is not None:
        require_checkpoint(other)
        require_same_state(checkpoint, other)
    rng = np.random.default_rng(seed)
    share = max(1, _MOST_ELEMENTS // max(1, len(checkpoint.names)))
    chosen = {
        name: rng.choice(array.size, min(share, array.size), replace=False)
        for name, array in checkpoint.state.exp_avg.items()
    }
    if gradients is None:
        series = [_drawn(checkpoint, chosen, rng) for _ in range(steps)]
    else:
        for grads in gradients:
            _require_gradients(checkpoint, grads)
        series = [_sampled(grads, chosen) for grads in gradients]
    if not series:
        raise CheckpointError("there is no step to take: give gradients, or steps of 1 or more")
    params = _params(checkpoint, chosen, rng)
    finding = Finding()
    for side, state in zip(sides, (checkpoint, other or checkpoint), strict=True):
        for group in (group for group in state.groups if group.names):
            finding += _judged(side, state, group, params, series, chosen)
    return Verified(
        tuple(sides),
        len(series),
        f"drawn from the seed {seed}" if gradients is None else "recorded",
        sum(map(len, chosen.values())),
        finding.used,
        checkpoint.params is not None,
    )


def recorded(path: str | os.PathLike[str]) -> list[dict[str, Array]]:
    """The gradients of a safetensors file, whose tensors are ``0.NAME``, ``1.NAME`` and so on.

    Raises:
        CheckpointError: the file is not valid, or a tensor has another name.
    """
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a valid file ({error})") from error
    series: dict[int, dict[str, Array]] = {}
    for key, array in tensors.items():
        number, _, name = key.partition(".")
        if not number.isdecimal():
            raise CheckpointError(f"{path}: {key} is not a number of a step and a name, as in 0.w")
        series.setdefault(int(number), {})[name] = array
    return [series[number] for number in sorted(series)]


def require_same_state(one: Checkpoint, other: Checkpoint) -> None:
    """Raise a NotVerifiedError that names the first difference, unless all bits are the same."""
    if one.groups != other.groups or one.dialect != other.dialect:
        raise NotVerifiedError(
            f"the hyperparameters or the dialect differ: {one.dialect} {one.groups} and "
            f"{other.dialect} {other.groups}: move both alike"
        )
    arrays, others = one.arrays(), other.arrays()
    for key in sorted(arrays.keys() | others.keys()):
        pair = arrays.get(key), others.get(key)
        kinds = [None if each is None else (str(each.dtype), each.shape) for each in pair]
        if kinds[0] != kinds[1]:
            raise NotVerifiedError(f"{key} is {kinds[0]}, and {kinds[1]} on the other side")
        mine, theirs = (np.ascontiguousarray(each).reshape(-1).view(np.uint8) for each in pair)
        if not np.array_equal(mine, theirs):
            raise NotVerifiedError(f"{key} has other bits on the other side: the states differ")


def _sampled(arrays: Mapping[str, Array], chosen: Mapping[str, Any]) -> dict[str, Array]:
    return {name: array.reshape(-1)[chosen[name]] for name, array in arrays.items()}


def _require_gradients(checkpoint: Checkpoint, grads: Mapping[str, Array]) -> None:
    for name, grad in grads.items():
        if name not in checkpoint.names:
            raise CheckpointError(
                f"there is a gradient of {name}, which is no parameter: give those of "
                f"{', '.join(checkpoint.names)}"
            )
        require_alike(name, {"exp_avg": checkpoint.state.exp_avg[name], "the gradient": grad})


def _drawn(
    checkpoint: Checkpoint, chosen: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, Array]:
    """Gradients up to twice the norm, so that both sides of the maximum are taken."""
    drawn = {}
    for name, norm in _sampled(checkpoint.state.exp_inf, chosen).items():
        parts = norm.view(norm.real.dtype)
        sizes = np.where(np.isfinite(parts) & (parts != 0), parts, 1).astype(np.float64)
        grad = (2 * sizes * rng.uniform(-1, 1, sizes.shape)).astype(parts.dtype)
        drawn[name] = grad.view(norm.dtype)
    return drawn


def _params(
    checkpoint: Checkpoint, chosen: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, Array]:
    """The parameters, in the dtypes of their moments."""
    params = {}
    for name, moment in _sampled(checkpoint.state.exp_avg, chosen).items():
        if checkpoint.params is not None:
            params[name] = checkpoint.params[name].reshape(-1)[chosen[name]].astype(moment.dtype)
        else:
            parts = moment.view(moment.real.dtype)
            params[name] = rng.uniform(-1, 1, parts.shape).astype(parts.dtype).view(moment.dtype)
    return params


def _judged(
    side: str,
    checkpoint: Checkpoint,
    group: Group,
    params: Mapping[str, Array],
    series: Sequence[Mapping[str, Array]],
    chosen: Mapping[str, Any],
) -> Finding:
    step, exp_avg, exp_inf = checkpoint.state
    names = group.names
    m, u = (_sampled({name: tree[name] for name in names}, chosen) for tree in (exp_avg, exp_inf))
    run = Run(
        {name: params[name] for name in names},
        [{name: grads[name] for name in names if name in grads} for grads in series],
        group.hyperparameters,
        {name: Moments(step[name], m[name], u[name]) for name in names},
    )
    try:
        backend = find(side)
    except (BackendNotFoundError, BackendBrokenError) as error:
        raise CheckpointError(str(error)) from error
    try:
        return judge(Watched(backend, Dialect.of(checkpoint.dialect)), Trial(run))
    except (Violation, BackendError) as error:
        raise NotVerifiedError(f"{side} does not go on from this state: {error}") from error
