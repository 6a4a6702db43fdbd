"""Collect and validate the tensors of a group, at every step."""

import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from adamax_torch.precision import STEP_DTYPE, moment_dtype
from adamax_torch.tensors import Columns, Kind, is_memory, look
from adamax_torch.validation import (
    MOMENTS,
    counted,
    gradient,
    require_fit,
    require_hyperparameters,
    require_in_place,
    require_near,
    require_no_leaf,
    require_own_moment,
    require_steppable,
)

Slots = dict[Tensor, dict[str, Any]]
"""State by parameter."""


def gather(
    name: str, group: Mapping[str, Any], state: Mapping[Tensor, Any]
) -> tuple[Columns, set[Kind], Slots]:
    """The parameters of a group that have gradients, with their state; their kinds; new state.

    Changes nothing. Creates the state of parameters that take their first step, and converts counts
    to float64 tensors; the caller stores this new state.

    Raises:
        RuntimeError: a parameter cannot change in place, or a gradient is sparse or does not match;
            names the parameter.
        ValueError: the state does not match, or a hyperparameter is outside its domain or on
            another device; shows the value and the domain, or names both devices.
    """
    columns = Columns([], [], [], [], [])
    found: set[Kind] = set()
    new: Slots = {}
    last: Kind | None = None  # usually all rows have one kind
    params, grads, exp_avgs, exp_infs, steps = columns
    tensors, differentiable = require_hyperparameters(group), group["differentiable"]
    capturable = group["capturable"]
    for position, param in enumerate(group["params"]):
        grad = gradient(param) if differentiable else param.grad
        if grad is None:
            continue
        slot = state.get(param)
        if not slot:
            require_steppable(f"{name}, parameter {position}", param, RuntimeError)
            slot = new[param] = fresh(param, group)
        exp_avg: Any = slot.get("exp_avg")
        exp_inf: Any = slot.get("exp_inf")
        step: Any = slot.get("step")
        try:
            kind = look(param), look(grad), look(exp_avg), look(exp_inf)
            alike = param.shape == grad.shape == exp_avg.shape == exp_inf.shape
            plain = (
                param.is_contiguous()
                and exp_avg.is_contiguous()
                and exp_inf.is_contiguous()
                and not (param.is_complex() and any(map(Tensor.is_conj, (param, exp_avg, exp_inf))))
                and step.dtype == STEP_DTYPE
                and not step.dim()
                and (capturable or (step.is_cpu and step.item() >= 0))
            )
        except (AttributeError, RuntimeError):  # an object is not a tensor, or is sparse
            alike = plain = False
            kind = None
        fits = alike and plain and (kind == last or (kind is not None and _fits(kind)))
        if differentiable or not fits:
            # The slow path: check everything, to name what does not match.
            where = f"{name}, parameter {position}"
            require_steppable(where, param, RuntimeError)
            require_in_place(where, param)
            require_fit(param, grad, where, RuntimeError)
            for field in MOMENTS:
                require_own_moment(field, slot.get(field), param, where)
            if differentiable:
                require_no_leaf(param, where)
            count = counted(step, where, read=not capturable)
            require_near(param, {"step": count}, where)
            if count is not step:
                step = count
                new.setdefault(param, {})["step"] = count
            kind = look(param), look(grad), look(exp_avg), look(exp_inf)
        if kind is not None and kind != last:
            require_near(param, tensors, f"{name}, parameter {position}")
            found.add(kind)
            last = kind
        params.append(param)
        grads.append(grad)
        exp_avgs.append(exp_avg)
        exp_infs.append(exp_inf)
        steps.append(step)
    return columns, found, new


@functools.cache
def _fits(kind: Kind) -> bool:
    """Can tensors of this kind and of equal shapes take a step together?"""
    _, dtype, device, _ = kind[0]
    return all(
        layout == torch.strided
        and where == device
        and each.is_complex == dtype.is_complex
        and (each.is_complex or each.is_floating_point)
        for _, each, where, layout in kind
    )


def fresh(param: Tensor, group: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state of a parameter before its first step: all zero (S-1).

    >>> fresh(torch.ones(2), {"capturable": False, "state_dtype": torch.float64})["exp_inf"]
    tensor([0., 0.], dtype=torch.float64)
    """
    device = param.device if group["capturable"] else "cpu"
    # torch.tensor, not zeros: a fake tensor would not know the value of zeros.
    slot = {"step": torch.tensor(0.0, dtype=STEP_DTYPE, device=device)}
    dtype = moment_dtype(param, group["state_dtype"])
    return {**slot, **{name: _zeros(param, dtype) for name in MOMENTS}}


def _zeros(like: Tensor, dtype: torch.dtype) -> Tensor:
    if not is_memory(type(like)) or like.device.type != "cpu" or like.numel() <= GRAIN:
        return torch.zeros_like(like, dtype=dtype, memory_format=torch.preserve_format)
    # In parts, so that PyTorch does not start OpenMP threads: a child forked after they started
    # hangs at its first parallel operation.
    zeros = torch.empty_like(like, dtype=dtype, memory_format=torch.preserve_format)
    for part in torch.split(zeros.as_strided((zeros.numel(),), (1,)), GRAIN):
        part.zero_()
    return zeros


GRAIN = 2**15
"""PyTorch uses several threads for operations on more elements than this."""
