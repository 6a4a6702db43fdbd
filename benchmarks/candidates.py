"""What is timed: each candidate built as a user would, on parameters of its own."""

import importlib.util
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ml_dtypes
import numpy as np
import torch
from limit import limit
from shapes import Shapes
from torch import Tensor
from turns import Step

import adamax_core
import adamax_fused
import adamax_torch

LR = 2e-3
_NUMPY: dict[str, Any] = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16}


@dataclass
class Problem:
    """Parameters to step, and their gradients."""

    shapes: Shapes
    dtype: str = "float32"

    @cached_property
    def grads(self) -> list[Tensor]:
        """Shared by all that steps tensors, none of which writes to them: memory is not endless."""
        return self.tensors(1)

    def tensors(self, seed: int = 0) -> list[Tensor]:
        """Normal numbers."""
        generator = torch.Generator().manual_seed(seed)
        dtype = getattr(torch, self.dtype)
        return [torch.randn(shape, generator=generator, dtype=dtype) for shape in self.shapes]

    def parameters(self) -> list[torch.nn.Parameter]:
        """The same as parameters, with gradients."""
        params = [torch.nn.Parameter(tensor) for tensor in self.tensors()]
        for param, grad in zip(params, self.grads, strict=True):
            param.grad = grad
        return params

    def arrays(self, seed: int = 0) -> list[Any]:
        """The same for NumPy."""
        rng = np.random.default_rng(seed)
        return [
            rng.standard_normal(shape, np.float32).astype(_NUMPY[self.dtype], copy=False)
            for shape in self.shapes
        ]


def _ours(problem: Problem) -> Step:
    return adamax_torch.Adamax(problem.parameters(), lr=LR).step


def _step_(problem: Problem) -> Step:
    params, grads = problem.arrays(), problem.arrays(1)
    hyperparameters = adamax_core.Hyperparameters(lr=LR)
    held = [adamax_core.init(params)]

    def step() -> None:
        held[0] = adamax_fused.step_(params, grads, held[0], hyperparameters)

    return step


def _torch_loop(problem: Problem) -> Step:
    return torch.optim.Adamax(problem.parameters(), lr=LR, foreach=False).step


def _torch_foreach(problem: Problem) -> Step:
    return torch.optim.Adamax(problem.parameters(), lr=LR, foreach=True).step


def _torch_compiled(problem: Problem) -> Step:
    # It says of each optimizer that its profiling is not compiled.
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
    # Else it gives up, in silence, once it has compiled the same method for eight optimizers.
    torch.compiler.reset()
    optimizer = torch.optim.Adamax(problem.parameters(), lr=LR)
    # The number of threads is written into the code, and no part of what it is cached by.
    options: dict[str, Any] = {"cpp.threads": torch.get_num_threads()}
    compiled: Step = torch.compile(optimizer.step, options=options)
    return compiled


def _torch_adam(problem: Problem) -> Step:
    return torch.optim.Adam(problem.parameters(), lr=LR, fused=True).step


def _optax(problem: Problem) -> Step:
    import jax  # noqa: PLC0415 - may be missing
    import optax  # noqa: PLC0415 - as above

    optimizer = optax.adamax(LR)
    # Copies, since what is NumPy's cannot be donated.
    params, grads = (
        [jax.numpy.array(each, copy=True) for each in problem.arrays(seed)] for seed in (0, 1)
    )
    held = [(params, jax.jit(optimizer.init)(params))]
    del params

    def whole(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    advance: Any = jax.jit(whole, donate_argnums=(0, 1))
    ready: Any = jax.block_until_ready  # not typed

    def step() -> None:
        held.append(ready(advance(*held.pop(), grads)))

    return step


def _keras(problem: Problem) -> Step:
    # Of its backends the one that the others here can be compared with: nothing is compiled, and
    # it has a form of its own for PyTorch, of one call for many tensors.
    os.environ["KERAS_BACKEND"] = "torch"
    import keras  # noqa: PLC0415 - may be missing, and reads the line above

    params = [keras.Variable(each, dtype=problem.dtype) for each in problem.tensors()]
    optimizer = keras.optimizers.Adamax(LR)
    grads = problem.grads

    def step() -> None:
        optimizer.apply(grads, params)

    return step


def _torchopt(problem: Problem) -> Step:
    import torchopt  # noqa: PLC0415 - may be missing

    optimizer = torchopt.Adamax(problem.parameters(), lr=LR)

    def step() -> None:
        optimizer.step()

    return step


def _limit(problem: Problem) -> Step:
    params = problem.tensors()
    moments = [[torch.ones_like(each) for each in params] for _ in range(2)]
    return limit(list(zip(params, problem.grads, *moments, strict=True)), problem.dtype)


CANDIDATES: dict[str, Callable[[Problem], Step]] = {
    "ours": _ours,
    "step_": _step_,
    "torch loop": _torch_loop,
    "torch foreach": _torch_foreach,
    "torch compiled": _torch_compiled,
    "torch Adam fused": _torch_adam,
    "optax": _optax,
    "keras": _keras,
    "torchopt": _torchopt,
    "limit": _limit,
}
"""By name, in the order of the tables; `optax` is jitted and donated, `keras` on its PyTorch."""

_NEEDS = {"optax": ("jax", "optax"), "keras": ("keras",), "torchopt": ("torchopt",)}


def missing(name: str) -> list[str]:
    """The packages that a candidate needs and that are not installed."""
    return [each for each in _NEEDS.get(name, ()) if importlib.util.find_spec(each) is None]
