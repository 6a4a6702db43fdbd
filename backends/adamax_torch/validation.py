"""Validation of hyperparameters, gradients and state, before a step changes anything."""

import math
import warnings
from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from adamax_core.hyperparameters import as_float, known, require
from adamax_torch.precision import STEP_DTYPE, real_dtype

MOMENTS = ("exp_avg", "exp_inf")

_STOCK = {
    "lr": "Invalid learning rate",
    "eps": "Invalid epsilon value",
    "beta1": "Invalid beta parameter at index 0",
    "beta2": "Invalid beta parameter at index 1",
    "weight_decay": "Invalid weight_decay value",
}
"""The beginnings of torch.optim's messages, which users match."""


def require_hyperparameters(group: Mapping[str, Any]) -> dict[str, Tensor]:
    """Validate the hyperparameters of a group; return those that are tensors, by name.

    Raises:
        ValueError: shows value and domain, or the shape of a tensor of several elements.
        TypeError: a hyperparameter is not a number, or `state_dtype` not a floating-point dtype.
        RuntimeError: options exclude each other.
    """
    tensors = require_scalars(group["lr"], group["betas"], group["eps"], group["weight_decay"])
    fused, foreach = group["fused"], group["foreach"]
    if fused or foreach:
        path = "fused" if fused else "foreach"
        if group["differentiable"]:
            raise RuntimeError(f"`{path}` does not support `differentiable`: leave {path} out")
        if fused and foreach:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        if fused and group["capturable"]:
            raise RuntimeError("`fused` does not support `capturable`: leave fused out")
    if group["state_dtype"] is not None:
        real_dtype(group["state_dtype"])
    return tensors


def require_scalars(lr: Any, betas: Any, eps: Any, weight_decay: Any) -> dict[str, Tensor]:
    """Validate the hyperparameters; return those that are tensors, by name.

    A value that cannot be read without waiting for a device passes unchecked.

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
    tensors = {}
    scalars = {"lr": lr, "eps": eps, "beta1": beta1, "beta2": beta2, "weight_decay": weight_decay}
    for name, value in scalars.items():
        below = _BELOW[name]
        # The usual case; torch.compile can trace it for a number that changes.
        if type(value) in (float, int) and 0 <= value < below:
            continue
        number = value
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise ValueError(f"Tensor {name} must be 1-element, has shape {tuple(value.shape)}")
            tensors[name], number = value, value.reshape(())
        try:
            require(name, number, below=below)
            if name not in tensors:
                as_float(name, number, below=below)
        except ValueError as error:
            raise ValueError(f"{_STOCK[name]}: {number} ({error})") from None
    return tensors


_BELOW = {"lr": math.inf, "eps": math.inf, "beta1": 1, "beta2": 1, "weight_decay": math.inf}


def gradient(param: Tensor) -> Tensor | None:
    """The gradient, also of a parameter that is not a leaf (``differentiable``)."""
    if param.is_leaf:
        return param.grad
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
        return param.grad


def require_near(param: Tensor, tensors: Mapping[str, Tensor], where: str) -> None:
    """Raise unless these tensors are on the CPU or on the parameter's device.

    Raises:
        ValueError: names the parameter, the hyperparameter and both devices.
    """
    for name, tensor in tensors.items():
        if tensor.device.type not in ("cpu", param.device.type):
            raise ValueError(
                f"{where} is on {param.device}, but {name} is on {tensor.device}: move it to the "
                "CPU or to the device of the parameter"
            )


def require_steppable(where: str, param: Any, instead: type[Exception] | None = None) -> None:
    """Raise unless `param` is a dense floating-point or complex tensor.

    Args:
        where: the name of the parameter for the error.
        param: the parameter.
        instead: raise this class instead, as torch.optim does.

    Raises:
        TypeError: it is not a dense tensor of a floating-point or complex dtype; names it.
    """
    error = instead or TypeError
    if not isinstance(param, Tensor):
        raise error(f"{where}: only tensors can take steps, not {type(param).__name__}")
    if not (param.is_floating_point() or param.is_complex()):
        raise error(
            f"{where}: only floating-point and complex tensors can take steps, not "
            f"the parameter {param.dtype}"
        )
    if param.layout != torch.strided:
        raise error(f"{where}: only dense tensors can take steps, not {param.layout}")


def require_in_place(where: str, param: Tensor) -> None:
    """Raise unless a tensor can change in place, element by element.

    Raises:
        RuntimeError: names the parameter and the remedy.
    """
    strides = zip(param.stride(), param.shape, strict=True)
    if param.numel() and any(step == 0 and size > 1 for step, size in strides):
        raise RuntimeError(
            f"{where}: the elements of an expanded tensor share memory, so it cannot change in "
            "place; pass its clone()"
        )
    # The flag is not known in a captured graph.
    if not torch.compiler.is_compiling() and param.is_conj():
        raise RuntimeError(
            f"{where}: a lazily conjugated tensor cannot change in place; pass its resolve_conj()"
        )


def require_fit(
    param: Tensor, grad: Any, where: str, instead: type[Exception] | None = None
) -> None:
    """Raise unless a gradient matches its parameter.

    Args:
        param: the parameter.
        grad: its gradient.
        where: the name of the parameter for the error.
        instead: raise this class instead, as torch.optim does.

    Raises:
        ValueError: the shapes differ; names the parameter and both shapes.
        TypeError: it is not a dense tensor, or the dtype kinds differ; names the parameter and
            both dtypes.
    """
    wrong_kind = instead or TypeError
    if not isinstance(grad, Tensor):
        raise wrong_kind(f"{where}: the gradient is {type(grad).__name__}, not a tensor")
    if grad.layout != torch.strided:
        raise wrong_kind(f"Adamax does not support sparse gradients ({where})")
    if grad.shape != param.shape:
        raise (instead or ValueError)(
            f"{where}: the gradient has shape {tuple(grad.shape)}, "
            f"the parameter {tuple(param.shape)}"
        )
    if grad.is_complex() != param.is_complex() or not (
        grad.is_complex() or grad.is_floating_point()
    ):
        raise wrong_kind(
            f"{where}: the gradient has dtype {grad.dtype}, the parameter {param.dtype}"
        )


def require_moment(
    name: str, moment: Any, param: Tensor, where: str, instead: type[Exception] | None = None
) -> None:
    """Raise unless a moment matches its parameter.

    Args:
        name: the name of the moment.
        moment: the moment.
        param: its parameter.
        where: the name of the parameter for the error.
        instead: raise this class instead of TypeError, for loaded state.

    Raises:
        ValueError: the shapes differ; names the parameter, the moment and both shapes.
        TypeError: it is not a dense tensor, or the dtype kinds differ; names the same.
    """
    wrong_kind = instead or TypeError
    if (
        not isinstance(moment, Tensor)
        or not (moment.is_floating_point() or moment.is_complex())
        or moment.layout != torch.strided
    ):
        raise wrong_kind(
            f"the state of {where} has {name} = {moment!r}, not a dense floating-point or complex "
            "tensor"
        )
    if moment.is_complex() != param.is_complex():
        raise wrong_kind(
            f"the state of {where} has {name} of {moment.dtype}, the parameter is {param.dtype}"
        )
    if moment.shape != param.shape:
        raise ValueError(
            f"the state of {where} has {name} of shape {tuple(moment.shape)}, "
            f"the parameter has shape {tuple(param.shape)}"
        )


def require_own_moment(name: str, moment: Any, param: Tensor, where: str) -> None:
    """Raise unless a moment matches its parameter, is on its device, and can change in place.

    Raises:
        ValueError: names the parameter, the moment and the mismatch.
        RuntimeError: its elements share memory, or it is lazily conjugated; names both.
    """
    require_moment(name, moment, param, where, ValueError)
    if moment.device != param.device:
        raise ValueError(
            f"{where} is on {param.device}, but its {name} is on {moment.device}: move it to the "
            "device of the parameter"
        )
    require_in_place(f"{name} of {where}", moment)


def counted(step: Any, where: str, *, read: bool = True) -> Tensor:
    """Convert a count to a zero-dimensional float64 tensor.

    Args:
        step: a number, or a one-element tensor.
        where: the name of the parameter for the error.
        read: read the value of a tensor, to check that it is not negative.

    Raises:
        ValueError: it is outside its domain; names the parameter and shows the value.

    >>> counted(5, "parameter 0")
    tensor(5., dtype=torch.float64)
    """
    if isinstance(step, Tensor) and step.numel() == 1 and not step.is_complex():
        if not read or not step.is_cpu or known("step", step.reshape(())) >= 0:
            is_count = step.dtype == STEP_DTYPE and not step.dim()
            return step if is_count else step.reshape(()).to(STEP_DTYPE)
    elif isinstance(step, Real) and 0 <= float(step) < math.inf:
        return torch.tensor(float(step), dtype=STEP_DTYPE, device="cpu")
    raise ValueError(
        f"the state of {where} has step = {step!r}, not a finite number >= 0: set it to one, or to "
        "a one-element tensor"
    )


def require_count(step: Any, where: str) -> None:
    """Raise unless `step` is a zero-dimensional float64 tensor.

    Raises:
        ValueError: it has dimensions; names the parameter.
        TypeError: it is not a float64 tensor; names the parameter and shows the value.
    """
    remedy = "use the state that init or a step returned"
    if not isinstance(step, Tensor) or step.dtype != STEP_DTYPE:
        raise TypeError(
            f"the state of {where} has step = {step!r}, not a {STEP_DTYPE} tensor: {remedy}"
        )
    if step.dim():
        raise ValueError(
            f"the state of {where} has step of shape {tuple(step.shape)}, not (): {remedy}"
        )


def require_no_leaf(param: Tensor, where: str) -> None:
    """Raise if the parameter is a leaf, which autograd does not let change in place.

    Raises:
        RuntimeError: names the alternatives.
    """
    if param.is_leaf and param.requires_grad:
        raise RuntimeError(
            f"{where}: differentiable=True cannot step a leaf that requires a gradient, since "
            "autograd does not allow it to change in place; use adamax_torch.functional.step "
            "with torch.func.functional_call, or pass param.clone() to the optimizer"
        )
