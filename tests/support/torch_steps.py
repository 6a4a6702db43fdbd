"""Parameters and steps that the tests of `Adamax` share."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch
from torch.nn import Parameter

from adamax_torch import Adamax

W = Fraction(1, 2**53)
MakeParameters = Callable[..., list[Parameter]]
SetGradients = Callable[[list[Parameter], int], None]
Snapshot = Callable[..., list[Any]]


def parameter(*values: complex, dtype: torch.dtype = torch.float64) -> Parameter:
    return Parameter(torch.tensor(values, dtype=dtype))


def stepped(optimizer: Adamax, *grads: Any) -> Parameter:
    """The one parameter of an optimizer, after a step for each of the gradients."""
    (param,) = optimizer.param_groups[0]["params"]
    for grad in grads:
        given = None if grad is None else torch.as_tensor(grad, dtype=param.dtype)
        param.grad = None if given is None else given.expand_as(param)
        optimizer.step()
    return param  # type: ignore[no-any-return]
