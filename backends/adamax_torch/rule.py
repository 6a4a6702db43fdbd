"""The rule for one tensor, out of place, so that autograd can go through it any number of times.

The clauses are those of docs/spec.md. Half precision is computed in float32 and stored once by who
calls (N-1); complex tensors come as pairs of reals (A-9).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

Scalar = float | Tensor
"""A hyperparameter; a tensor where it is differentiated or changed without recompiling."""


class Hyper(NamedTuple):
    """The hyperparameters of one group."""

    lr: Scalar
    beta1: Scalar
    beta2: Scalar
    eps: Scalar
    weight_decay: Scalar
    maximize: bool
    decoupled: bool

    def decays(self) -> bool:
        """Whether there is weight decay; a tensor may always be differentiated."""
        return isinstance(self.weight_decay, Tensor) or self.weight_decay != 0


def scalar(value: Scalar) -> Scalar:
    """A float, or a tensor of no dimension in float64: no digit is lost, nothing is promoted.

    >>> scalar(0.5), scalar(torch.tensor([0.5]))
    (0.5, tensor(0.5000, dtype=torch.float64))
    """
    if isinstance(value, Tensor):
        return value.reshape(()).to(torch.float64)
    return float(value)  # also of NumPy's, which would compute in their own precision


def bias_correction(beta1: Scalar, step: float | Tensor) -> Scalar:
    """A-6: ``1 - beta1^t``, to the last places for every beta1 (N-3), differentiable at zero."""
    if isinstance(beta1, Tensor):
        beta = beta1.to(torch.float64)
    elif isinstance(step, Tensor):
        # A product, in which torch.compile lets a number change; a new tensor would keep its value.
        beta = torch.ones_like(step, dtype=torch.float64) * beta1
    else:
        return -math.expm1(step * math.log(beta1)) if beta1 >= 0.5 else 1 - beta1**step  # noqa: PLR2004 - below one half the subtraction loses nothing
    return torch.where(
        beta >= 0.5,  # noqa: PLR2004 - as above
        -torch.expm1(step * torch.log(beta.clamp(min=0.5))),
        1 - beta**step,
    )


def quotient(m: Tensor, u: Tensor) -> Tensor:
    """``m / u``, whose derivatives of every order stay in range.

    PyTorch's second derivative, backwards twice, divides by u squared, which in float32 is zero or
    infinite unless u is between 1e-19 and 1e19. Gradients outside are ordinary (N-7).

    >>> def share(scale):
    ...     return quotient(torch.tensor(1e-30), scale * 1e-30)
    >>> torch.func.grad(torch.func.grad(share))(torch.tensor(1.0))
    tensor(2.)
    """
    if not torch.is_grad_enabled():
        return m / u
    held = u.detach()
    # By a constant and by one; 0 / 0 and inf / inf must leave the first quotient as it is.
    return (m / held) / (u / held).nan_to_num(1.0)


def adamax(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_inf: Tensor,
    step: float | Tensor,
    hyper: Hyper,
) -> tuple[Tensor, Tensor, Tensor]:
    """What to add to the parameter, the new first moment and infinity norm; `step` counts this one.

    Real tensors of one shape and dtype, of one dimension or more: a tensor of none would take the
    dtype of a hyperparameter. Nothing that is given is changed.

    >>> hyper = Hyper(0.125, 0.75, 0.875, 0.0, 0.0, maximize=False, decoupled=False)
    >>> zero = torch.zeros(1)
    >>> adamax(zero, torch.ones(1), zero, zero, 1, hyper)
    (tensor([-0.1250]), tensor([0.2500]), tensor([1.]))
    """
    lr, beta1, beta2, eps, weight_decay, maximize, decoupled = hyper
    g = -grad if maximize else grad
    if hyper.decays() and not decoupled:
        g = g + weight_decay * param
    m = beta1 * exp_avg + (1 - beta1) * g
    u = torch.maximum(beta2 * exp_inf, g.abs() + eps)
    step_size = lr / bias_correction(beta1, step)
    update = -step_size * quotient(m, u)
    if hyper.decays() and decoupled:
        update = update - lr * weight_decay * param
    return update, m, u
