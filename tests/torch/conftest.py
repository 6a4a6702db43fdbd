"""Fixtures: parameters with gradients, and comparison of bits."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from adamax_torch import Adamax

collect_ignore = ["processes.py", "ranks.py"]
"""Folder of the scripts that `test_processes.py` and `test_distributed.py` run."""


def _bits(tensor: Tensor) -> bytes:
    whole = tensor.detach().resolve_conj().resolve_neg()
    flat = whole.clone(memory_format=torch.contiguous_format).reshape(-1)
    return bytes(flat.view(torch.uint8).tolist())


def _snapshot(*optimizers: Optimizer) -> list[Any]:
    """The bits of all parameters and all state, in order."""
    return [
        (name, _bits(value))
        for optimizer in optimizers
        for group in optimizer.param_groups
        for param in group["params"]
        for name, value in [("param", param), *sorted(optimizer.state.get(param, {}).items())]
    ]


def _parameters(dtype: torch.dtype = torch.float64, seed: int = 0) -> list[torch.nn.Parameter]:
    """Parameters of several shapes, 0-d, empty and not contiguous among them."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(3, 2), (), (0, 2), (5,)]
    values = [torch.randn(shape, dtype=torch.complex128, generator=generator) for shape in shapes]
    values.append(torch.randn((2, 3), dtype=torch.complex128, generator=generator).t())
    return [
        torch.nn.Parameter((value if dtype.is_complex else value.real).to(dtype))
        for value in values
    ]


@pytest.fixture(scope="session")
def bits() -> Callable[[Tensor], bytes]:
    return _bits


@pytest.fixture(scope="session")
def snapshot() -> Callable[..., list[Any]]:
    return _snapshot


@pytest.fixture(scope="session")
def make_parameters() -> Callable[..., list[torch.nn.Parameter]]:
    return _parameters


@pytest.fixture(scope="session")
def set_gradients() -> Callable[[list[torch.nn.Parameter], int], None]:
    def set_gradients(params: list[torch.nn.Parameter], seed: int) -> None:
        """Seeded gradients; in odd steps the first parameter has none."""
        for param, value in zip(params, _parameters(params[0].dtype, seed), strict=True):
            param.grad = value.detach()
        if seed % 2:
            params[0].grad = None

    return set_gradients


@pytest.fixture(scope="session")
def same() -> Callable[[tuple[Adamax, Adamax]], bool]:
    """Do two optimizers have the same bits?"""
    return lambda both: _snapshot(both[0]) == _snapshot(both[1])


def _advance(
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


@pytest.fixture(scope="session")
def advance() -> Callable[..., None]:
    return _advance


class _Operations(TorchDispatchMode):
    """Record the names of the operations called inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # not typed
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


@pytest.fixture
def operations() -> _Operations:
    """A dispatch mode that records operations."""
    return _Operations()


@pytest.fixture
def pair() -> tuple[Adamax, Adamax]:
    """Two optimizers after a step each: the default, which uses the kernel, and the loop."""
    optimizers = []
    for fused in (None, False):
        generator = torch.Generator().manual_seed(0)
        params = [torch.nn.Parameter(torch.randn(n, n, generator=generator)) for n in (3, 1, 4)]
        params.append(torch.nn.Parameter(torch.randn((), generator=generator)))
        optimizers.append(Adamax(params, 0.1, fused=fused, weight_decay=0.1))
    both = optimizers[0], optimizers[1]
    _advance(both, 0)
    return both
