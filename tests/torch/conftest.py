"""Fixtures: a dispatch mode that records operations, and two optimizers after a step."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from adamax_torch import Adamax
from torch_steps import advance

collect_ignore = ["processes.py", "ranks.py"]
"""Folder of the scripts that `test_processes.py` and `test_distributed.py` run."""


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
    advance(both, 0)
    return both
