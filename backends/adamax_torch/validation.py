"""What is refused before anything is changed: hyperparameters and gradients that do not fit."""

import math
from typing import Any

import torch
from torch import Tensor

from adamax_core.hyperparameters import require

_STOCK = {
    "lr": "Invalid learning rate",
    "eps": "Invalid epsilon value",
    "beta1": "Invalid beta parameter at index 0",
    "beta2": "Invalid beta parameter at index 1",
    "weight_decay": "Invalid weight_decay value",
}
"""How torch.optim begins its messages, which people match."""


def require_hyperparameters(group: dict[str, Any]) -> None:
    """Raise unless the hyperparameters of a group, numbers or tensors, are inside their domains.

    Raises:
        ValueError: shows value and domain, or the shape of a tensor of several elements.
        RuntimeError: ``foreach`` with ``differentiable``, or ``fused``.
    """
    require_scalars(group["lr"], group["betas"], group["eps"], group["weight_decay"])
    for path in ("fused", "foreach"):
        if group[path] and group["differentiable"]:
            raise RuntimeError(f"`{path}` does not support `differentiable`: leave {path} out")
    if group["fused"]:
        raise RuntimeError("fused=True: this version has no fused kernel; use fused=None or False")
    require_state_dtype(group["state_dtype"])


def require_scalars(lr: Any, betas: Any, eps: Any, weight_decay: Any) -> None:
    """Raise unless each is inside its domain; what cannot be read without waiting is taken as is.

    Raises:
        ValueError: shows value and domain, or the shape of a tensor of several elements.
        TypeError: a value is not a number.

    >>> require_scalars(torch.tensor(-1.0), (0.9, 0.999), 1e-8, 0)
    Traceback (most recent call last):
    ValueError: Invalid learning rate: -1.0 (lr = -1.0 is outside its domain 0 <= lr < inf)
    """
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:  # noqa: PLR2004 - a pair has two
        raise ValueError(f"betas = {betas!r} is not a pair (beta1, beta2)")
    beta1, beta2 = betas
    scalars = {"lr": lr, "eps": eps, "beta1": beta1, "beta2": beta2, "weight_decay": weight_decay}
    for name, given in scalars.items():
        value = _number(name, given)
        try:
            require(name, value, below=1 if name.startswith("beta") else math.inf)
        except ValueError as error:
            raise ValueError(f"{_STOCK[name]}: {value} ({error})") from None


def _number(name: str, value: Any) -> Any:
    """What can be compared; zero, which is inside every domain, where a tensor does not tell."""
    if not isinstance(value, Tensor):
        return value
    if value.numel() != 1:
        raise ValueError(f"Tensor {name} must be 1-element, has shape {tuple(value.shape)}")
    # Reading it would wait for the device, or break a graph that is being captured.
    if value.device.type != "cpu" or torch.compiler.is_compiling():
        return 0.0
    try:
        return value.item()
    except RuntimeError:
        # Under vmap it has many values, and a fake tensor has none.
        return 0.0


def require_state_dtype(dtype: Any) -> None:
    """Raise unless it is None or a dtype that moments can have.

    Raises:
        ValueError: shows the value.
    """
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"state_dtype = {dtype!r} is not a real floating-point torch.dtype")


def require_steppable(where: str, param: Tensor) -> None:
    """Raise unless the tensor is of a kind that can take steps.

    Raises:
        RuntimeError: names the parameter and its dtype.
    """
    if not (param.is_floating_point() or param.is_complex()):
        raise RuntimeError(
            f"{where}: only floating-point and complex tensors can take steps, not "
            f"the parameter {param.dtype}"
        )


def require_fit(param: Tensor, grad: Tensor, where: str) -> None:
    """Raise unless a gradient fits its parameter.

    Raises:
        RuntimeError: names the parameter and both shapes or dtypes.
    """
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


def require_moment(name: str, moment: Any, param: Tensor, where: str) -> None:
    """Raise unless a moment fits its parameter.

    Raises:
        ValueError: names the parameter, the moment and both shapes or dtypes.
    """
    if not isinstance(moment, Tensor) or not (moment.is_floating_point() or moment.is_complex()):
        raise ValueError(f"the state of {where} has {name} = {moment!r}, which is no moment")
    if moment.is_complex() != param.is_complex():
        raise ValueError(
            f"the state of {where} has {name} of {moment.dtype}, the parameter is {param.dtype}"
        )
    if moment.shape != param.shape:
        raise ValueError(
            f"the state of {where} has {name} of shape {tuple(moment.shape)}, "
            f"the parameter has shape {tuple(param.shape)}"
        )


def require_no_leaf(param: Tensor, where: str) -> None:
    """Raise if autograd could not go through a step of this parameter, which is one in place.

    Raises:
        RuntimeError: says what to do instead.
    """
    if param.is_leaf and param.requires_grad:
        raise RuntimeError(
            f"{where}: differentiable=True cannot step a leaf that requires a gradient, since "
            "autograd does not go through its change in place; use adamax_torch.functional.step "
            "with torch.func.functional_call, or give the optimizer param.clone()"
        )
