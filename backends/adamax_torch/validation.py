"""What is refused before anything is changed: hyperparameters and gradients that do not fit."""

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
"""How torch.optim begins its messages, which people match."""


def require_hyperparameters(group: Mapping[str, Any]) -> dict[str, Tensor]:
    """The hyperparameters of a group that are tensors, by name, once all are inside their domains.

    Raises:
        ValueError: shows value and domain, or the shape of a tensor of several elements.
        TypeError: a hyperparameter is not a number, or `state_dtype` not a floating-point dtype.
        RuntimeError: two ways of stepping that exclude each other.
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
    """Those that are tensors, by name, once each is inside its domain.

    What cannot be read without waiting is taken as it is.

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
        # The usual case, which torch.compile can trace for a number that changes.
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
    """The gradient; a differentiable optimizer's parameter has one though it is no leaf."""
    if param.is_leaf:
        return param.grad
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
        return param.grad


def require_near(param: Tensor, tensors: Mapping[str, Tensor], where: str) -> None:
    """Raise unless these hyperparameters are on the host, or where the parameter is.

    Raises:
        ValueError: names the parameter, the hyperparameter and both devices.
    """
    for name, tensor in tensors.items():
        if tensor.device.type not in ("cpu", param.device.type):
            raise ValueError(f"{where} is on {param.device}, and {name} on {tensor.device}")


def require_steppable(where: str, param: Any, instead: type[Exception] | None = None) -> None:
    """Raise unless this is a tensor of a kind that can take steps.

    Args:
        where: names the parameter in the error.
        param: what to look at.
        instead: the class of error that torch.optim raises; as below when None.

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
    """Raise unless the elements of a tensor can change each by itself.

    Raises:
        RuntimeError: names the parameter, and the remedy.
    """
    strides = zip(param.stride(), param.shape, strict=True)
    if param.numel() and any(step == 0 and size > 1 for step, size in strides):
        raise RuntimeError(f"{where}: an expanded tensor has several elements in one place")
    # In a graph that is captured there is no telling.
    if not torch.compiler.is_compiling() and param.is_conj():
        raise RuntimeError(
            f"{where}: a lazily conjugated tensor cannot change in place; give its resolve_conj()"
        )


def require_fit(
    param: Tensor, grad: Any, where: str, instead: type[Exception] | None = None
) -> None:
    """Raise unless a gradient fits its parameter.

    Args:
        param: the parameter.
        grad: its gradient.
        where: names the parameter in the error.
        instead: the class of error that torch.optim raises; as below when None.

    Raises:
        ValueError: it has another shape; names the parameter and both.
        TypeError: it is not a dense tensor, or of another dtype kind; names the parameter and both.
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
    """Raise unless a moment fits its parameter.

    Args:
        name: which moment.
        moment: what to look at.
        param: its parameter.
        where: names the parameter in the error.
        instead: the class of error for a state that is loaded; as below when None.

    Raises:
        ValueError: it has another shape; names the parameter, the moment and both.
        TypeError: it is not a dense tensor, or of another dtype kind; names the same.
    """
    wrong_kind = instead or TypeError
    if (
        not isinstance(moment, Tensor)
        or not (moment.is_floating_point() or moment.is_complex())
        or moment.layout != torch.strided
    ):
        raise wrong_kind(f"the state of {where} has {name} = {moment!r}, which is no moment")
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
    """Raise unless a moment fits its parameter, and can change in place beside it.

    Raises:
        ValueError: names the parameter, the moment and what does not fit.
        RuntimeError: its elements share memory, or it is lazily conjugated; names both.
    """
    require_moment(name, moment, param, where, ValueError)
    if moment.device != param.device:
        raise ValueError(f"{where} is on {param.device}, and its {name} on {moment.device}")
    require_in_place(f"{name} of {where}", moment)


def is_count(step: Any) -> bool:
    """Whether this counts steps as it is: a float64 tensor of no dimension."""
    return isinstance(step, Tensor) and step.dtype == STEP_DTYPE and not step.dim()


def counted(step: Any, where: str, *, read: bool = True) -> Tensor:
    """The count of steps as a float64 tensor of no dimension, whatever number it is given as.

    Args:
        step: a number, or a tensor of one.
        where: the parameter that it is of.
        read: whether a tensor may be read, to see that it is not negative.

    Raises:
        ValueError: it is no count; names the parameter, and shows what it has.

    >>> counted(5, "parameter 0")
    tensor(5., dtype=torch.float64)
    """
    if isinstance(step, Tensor) and step.numel() == 1 and not step.is_complex():
        if not read or not step.is_cpu or known("step", step.reshape(())) >= 0:
            return step if is_count(step) else step.reshape(()).to(STEP_DTYPE)
    elif isinstance(step, Real) and 0 <= float(step) < math.inf:
        return torch.tensor(float(step), dtype=STEP_DTYPE, device="cpu")
    raise ValueError(
        f"the state of {where} has step = {step!r}, which is no count: set it to a number that is "
        "not negative, or to a tensor of one"
    )


def require_count(step: Any, where: str) -> None:
    """Raise unless this can count steps exactly.

    Raises:
        ValueError: it has dimensions; names the parameter.
        TypeError: it is not a float64 tensor; names the parameter, and shows what it has.
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
