"""What is refused before anything is changed: hyperparameters and gradients that do not fit."""

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from adamax_core.hyperparameters import require
from adamax_torch.precision import STEP_DTYPE

MOMENTS = ("exp_avg", "exp_inf")

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
        RuntimeError: two ways of stepping that exclude each other.
    """
    require_scalars(group["lr"], group["betas"], group["eps"], group["weight_decay"])
    for path in ("fused", "foreach"):
        if group[path] and group["differentiable"]:
            raise RuntimeError(f"`{path}` does not support `differentiable`: leave {path} out")
    if group["fused"] and group["foreach"]:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    if group["fused"] and group["capturable"]:
        raise RuntimeError("`fused` does not support `capturable`: leave fused out")
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
    try:
        beta1, beta2 = betas
    except (TypeError, ValueError):
        raise ValueError(f"betas = {betas!r} is not a pair (beta1, beta2)") from None
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
        if not isinstance(value, Real):
            raise TypeError(f"{name} = {value!r} is not a number")
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


def require_step(param: Tensor, grad: Tensor, slot: Mapping[str, Any] | None, where: str) -> None:
    """Raise unless a parameter can take a step with this gradient, from this state.

    Raises:
        RuntimeError: the parameter cannot change in place, or the gradient is sparse or does not
            fit; names the parameter.
        ValueError: the state does not fit.
    """
    require_steppable(where, param)
    _require_in_place(where, param)
    require_fit(param, grad, where)
    if slot:
        for name in MOMENTS:
            require_moment(name, slot.get(name), param, where)


def require_near(param: Tensor, tensors: Mapping[str, Tensor], where: str) -> None:
    """Raise unless these hyperparameters are on the host, or where the parameter is.

    Raises:
        ValueError: names the parameter, the hyperparameter and both devices.
    """
    for name, tensor in tensors.items():
        if tensor.device.type not in ("cpu", param.device.type):
            raise ValueError(f"{where} is on {param.device}, and {name} on {tensor.device}")


def require_steppable(where: str, param: Any) -> None:
    """Raise unless this is a tensor of a kind that can take steps.

    Raises:
        TypeError: it is no tensor; names it.
        RuntimeError: names the parameter and its dtype, or how it lies in memory.
    """
    if not isinstance(param, Tensor):
        raise TypeError(f"{where}: only tensors can take steps, not {type(param).__name__}")
    if not (param.is_floating_point() or param.is_complex()):
        raise RuntimeError(
            f"{where}: only floating-point and complex tensors can take steps, not "
            f"the parameter {param.dtype}"
        )
    if param.layout != torch.strided:
        raise RuntimeError(f"{where}: only dense tensors can take steps, not {param.layout}")


def _require_in_place(where: str, param: Tensor) -> None:
    """Raise unless the elements of a tensor can change each by itself."""
    strides = zip(param.stride(), param.shape, strict=True)
    if param.numel() and any(step == 0 and size > 1 for step, size in strides):
        raise RuntimeError(f"{where}: an expanded tensor has several elements in one place")
    # In a graph that is captured there is no telling.
    if not torch.compiler.is_compiling() and param.is_conj():
        raise RuntimeError(
            f"{where}: a lazily conjugated tensor cannot change in place; give its resolve_conj()"
        )


def require_fit(param: Tensor, grad: Tensor, where: str) -> None:
    """Raise unless a gradient fits its parameter.

    Raises:
        RuntimeError: names the parameter and both shapes or dtypes.
    """
    if grad.layout != torch.strided:
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
    if (
        not isinstance(moment, Tensor)
        or not (moment.is_floating_point() or moment.is_complex())
        or moment.layout != torch.strided
    ):
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


def require_count(step: Any, where: str) -> None:
    """Raise unless this can count steps exactly.

    Raises:
        ValueError: names the parameter, and shows what it has.
    """
    if not isinstance(step, Tensor) or step.shape or step.dtype != STEP_DTYPE:
        raise ValueError(
            f"the state of {where} has step = {step!r}, which is no {STEP_DTYPE} tensor of no "
            "dimension"
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
