"""Parameters and gradients in the form that each candidate needs."""

import functools
import itertools
from dataclasses import dataclass
from typing import Any, Literal

import ml_dtypes
import numpy as np
import torch
from shapes import Shapes
from torch import Tensor
from torch.distributed import HashStore  # type: ignore[attr-defined]  # it has
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.optim import Optimizer
from turns import Step

_NUMPY: dict[str, Any] = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16}

Odd = Literal["", "missing", "transposed", "sharded"]
"""A deviation from the usual case: one gradient is missing in every other step, one gradient is
transposed, or all parameters are DTensors, sharded over one process."""


@dataclass
class Problem:
    """Parameters and their gradients.

    Attributes:
        shapes: shapes of the parameters; the first is square if a gradient is transposed.
        dtype: dtype of parameters and gradients.
        odd: the deviation from the usual case; candidates that step arrays ignore it.
    """

    shapes: Shapes
    dtype: str = "float32"
    odd: Odd = ""

    @functools.cached_property
    def grads(self) -> list[Tensor]:
        """Gradients, shared by all candidates that step tensors to save memory; read-only."""
        first, *others = self.tensors(1)
        return [first.t() if self.odd == "transposed" else first, *others]

    def tensors(self, seed: int = 0) -> list[Tensor]:
        """Tensors of normally distributed numbers."""
        generator = torch.Generator().manual_seed(seed)
        dtype = getattr(torch, self.dtype)
        made = [torch.randn(shape, generator=generator, dtype=dtype) for shape in self.shapes]
        if self.odd == "sharded":
            return [distribute_tensor(each, _mesh(), [Shard(0)]) for each in made]
        return made

    def parameters(self) -> list[torch.nn.Parameter]:
        """The same tensors as parameters, with gradients."""
        params = [torch.nn.Parameter(tensor) for tensor in self.tensors()]
        for param, grad in zip(params, self.grads, strict=True):
            param.grad = grad
        return params

    def stepper(self, optimizer: Optimizer) -> Step:
        """A function that takes a step of an optimizer of `parameters`."""
        if self.odd != "missing":
            return optimizer.step
        param = optimizer.param_groups[0]["params"][0]
        grads = itertools.cycle((param.grad, None))

        def step() -> None:
            param.grad = next(grads)
            optimizer.step()

        return step

    def arrays(self, seed: int = 0) -> list[Any]:
        """NumPy arrays of normally distributed numbers."""
        rng = np.random.default_rng(seed)
        return [
            rng.standard_normal(shape, np.float32).astype(_NUMPY[self.dtype], copy=False)
            for shape in self.shapes
        ]


@functools.cache
def _mesh() -> DeviceMesh:
    """A mesh of this process alone, with the process group that PyTorch requires."""
    torch.distributed.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    return init_device_mesh("cpu", (1,))
