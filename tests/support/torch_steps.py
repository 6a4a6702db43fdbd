"""Parameters, gradients, steps and bits that the tests of `Adamax` share."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from adamax_torch import Adamax

W = Fraction(1, 2**53)
DTYPES = [
    torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64, torch.complex128,
]  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {},
    {"weight_decay": 0.1},
    {"weight_decay": 0.1, "decoupled_weight_decay": True},
    {"maximize": True, "weight_decay": 0.1, "betas": (0.3, 0.5), "eps": 1e-3},
]


def bits(tensor: Tensor) -> bytes:
    whole = tensor.detach().resolve_conj().resolve_neg()
    flat = whole.clone(memory_format=torch.contiguous_format).reshape(-1)
    return bytes(flat.view(torch.uint8).tolist())


def snapshot(*optimizers: Optimizer) -> list[Any]:
    """The bits of all parameters and all state, in order."""
    return [
        (name, bits(value))
        for optimizer in optimizers
        for group in optimizer.param_groups
        for param in group["params"]
        for name, value in [("param", param), *sorted(optimizer.state.get(param, {}).items())]
    ]


def make_parameters(dtype: torch.dtype = torch.float64, seed: int = 0) -> list[Parameter]:
    """Parameters of several shapes, 0-d, empty and not contiguous among them."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(3, 2), (), (0, 2), (5,)]
    values = [torch.randn(shape, dtype=torch.complex128, generator=generator) for shape in shapes]
    values.append(torch.randn((2, 3), dtype=torch.complex128, generator=generator).t())
    return [Parameter((value if dtype.is_complex else value.real).to(dtype)) for value in values]


def set_gradients(params: list[Parameter], seed: int) -> None:
    """Seeded gradients; in odd steps the first parameter has none."""
    for param, value in zip(params, make_parameters(params[0].dtype, seed), strict=True):
        param.grad = value.detach()
    if seed % 2:
        params[0].grad = None


def same(both: tuple[Adamax, Adamax]) -> bool:
    """Do two optimizers have the same bits?"""
    return snapshot(both[0]) == snapshot(both[1])


def advance(
    both: tuple[Adamax, Adamax], seed: int, change: Callable[[Tensor], Tensor] = lambda grad: grad
) -> None:
    """Take a step with new gradient objects, as after `zero_grad`."""
    for optimizer in both:
        generator = torch.Generator().manual_seed(seed)
        for group in optimizer.param_groups:
            for param in group["params"]:
                grad = torch.randn(param.shape, generator=generator, dtype=torch.float64)
                param.grad = change(grad.to(param.dtype))
        optimizer.step()


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
