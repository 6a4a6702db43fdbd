"""What is refused before anything is changed: hyperparameters and gradients that do not fit."""

from typing import Any

import torch
from torch import Tensor

from adamax_core.hyperparameters import require_all


def require_hyperparameters(group: dict[str, Any]) -> None:
    """Raise unless the hyperparameters of a group, numbers or tensors, are inside their domains.

    Raises:
        ValueError: shows value and domain, or the shape of a tensor of several elements.
        RuntimeError: ``foreach`` with ``differentiable``, or ``fused``.
    """
    betas = group["betas"]
    pair = isinstance(betas, (tuple, list))
    require_all(
        lr=_number("lr", group["lr"]),
        betas=tuple(_number("beta", beta) for beta in betas) if pair else betas,
        eps=_number("eps", group["eps"]),
        weight_decay=_number("weight_decay", group["weight_decay"]),
    )
    if group["foreach"] and group["differentiable"]:
        raise RuntimeError("foreach=True does not support differentiable=True: leave foreach out")
    if group["fused"]:
        raise RuntimeError("fused=True: this version has no fused kernel; use fused=None or False")
    dtype = group["state_dtype"]
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"state_dtype = {dtype!r} is not a real floating-point torch.dtype")


def _number(name: str, value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    if value.numel() != 1:
        raise ValueError(f"Tensor {name} must be 1-element, has shape {tuple(value.shape)}")
    # Reading it would wait for the device, or break a graph that is being captured.
    unread = value.device.type != "cpu" or torch.compiler.is_compiling()
    return 0.0 if unread else value.item()


def require_fit(param: Tensor, where: str, *, differentiable: bool) -> None:
    """Raise unless the gradient of a parameter, if there is one, fits it.

    Raises:
        RuntimeError: names the parameter and both shapes or dtypes; or autograd cannot go through a
            step of it.
    """
    if differentiable and param.is_leaf and param.requires_grad:
        raise RuntimeError(
            f"{where}: differentiable=True cannot step a leaf that requires a gradient, since "
            "autograd does not go through its change in place; give the optimizer param.clone()"
        )
    # A non-leaf parameter of a differentiable optimizer has its gradient set by hand.
    grad = param.grad
    if grad is None:
        return
    if not (param.is_floating_point() or param.is_complex()):
        raise RuntimeError(
            f"{where}: only floating-point and complex tensors can take steps, not "
            f"the parameter {param.dtype}"
        )
    if grad.is_sparse:
        raise RuntimeError(f"Adamax does not support sparse gradients ({where})")
    if grad.shape != param.shape:
        raise RuntimeError(
            f"{where}: the gradient has shape {tuple(grad.shape)}, "
            f"the parameter {tuple(param.shape)}"
        )
    if grad.is_complex() != param.is_complex() or not (
        grad.is_complex() or grad.is_floating_point()
    ):
        raise RuntimeError(
            f"{where}: the gradient has dtype {grad.dtype}, the parameter {param.dtype}"
        )


def require_group(group: dict[str, Any], where: str) -> None:
    """Raise unless the saved options of a group are Adamax's; their domains are not looked at.

    Raises:
        ValueError: names the group and what is missing, or whose it looks like.
    """
    names = ("lr", "betas", "eps", "weight_decay")
    if missing := [name for name in names if name not in group]:
        raise ValueError(f"the saved {where} has no {', '.join(missing)}: it is not Adamax's")
    if "amsgrad" in group:
        raise ValueError(f"the saved {where} has amsgrad: this looks like Adam or AdamW")


def require_slot(slot: dict[str, Any], param: Tensor | None, where: str) -> None:
    """Raise unless the saved state of a parameter is Adamax's and fits the parameter.

    Raises:
        ValueError: names the parameter, what is saved, and what that looks like.
    """
    if set(slot) != {"step", "exp_avg", "exp_inf"}:
        raise ValueError(
            f"the state of {where} has {', '.join(sorted(slot))}; Adamax has step, exp_avg and "
            f"exp_inf{_looks_like(set(slot))}"
        )
    step = slot["step"]
    count = step.item() if isinstance(step, Tensor) and step.numel() == 1 else step
    if not isinstance(count, (int, float)) or not 0 <= count < float("inf"):
        raise ValueError(f"the state of {where} has step = {step!r}, which is not a count")
    for name in ("exp_avg", "exp_inf"):
        moment = slot[name]
        if not isinstance(moment, Tensor) or not (
            moment.is_floating_point() or moment.is_complex()
        ):
            raise ValueError(f"the state of {where} has {name} = {moment!r}, which is no moment")
        if param is not None and moment.is_complex() != param.is_complex():
            raise ValueError(
                f"the state of {where} has {name} of {moment.dtype}, the parameter is {param.dtype}"
            )
        if param is not None and moment.shape != param.shape:
            raise ValueError(
                f"the state of {where} has {name} of shape {tuple(moment.shape)}, "
                f"the parameter has shape {tuple(param.shape)}"
            )


def _looks_like(keys: set[str]) -> str:
    known = {
        "Adam, AdamW or RAdam": {"step", "exp_avg", "exp_avg_sq"},
        "Adam or AdamW with amsgrad": {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
        "SGD": {"momentum_buffer"},
        "NAdam": {"step", "exp_avg", "exp_avg_sq", "mu_product"},
        "Adagrad": {"step", "sum"},
        "Lion": {"exp_avg"},
    }
    for name, fields in known.items():
        if keys == fields:
            return f": this looks like {name}"
    return ""
