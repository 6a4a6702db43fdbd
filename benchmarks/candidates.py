"""The candidates, each built as a user would, on its own parameters."""

import importlib.util
import logging
import os
from collections.abc import Callable
from typing import Any

import torch
from limit import limit
from problem import Problem
from torch.optim import Optimizer
from turns import Step

import adamax_core
import adamax_fused
import adamax_torch

LR = 2e-3


def _torch(make: Callable[..., Optimizer], **options: Any) -> Callable[[Problem], Step]:
    """A builder for a PyTorch optimizer with these options."""

    def build(problem: Problem) -> Step:
        return problem.stepper(make(problem.parameters(), lr=LR, **options))

    return build


def _step_(problem: Problem) -> Step:
    params, grads = problem.arrays(), problem.arrays(1)
    hyperparameters = adamax_core.Hyperparameters(lr=LR)
    state = adamax_fused.init(params)
    threads = torch.get_num_threads()

    def step() -> None:
        adamax_fused.step_(params, grads, state, hyperparameters, threads=threads)

    return step


def _torch_compiled(problem: Problem) -> Step:
    # Silences a warning for each optimizer that its profiling is not compiled.
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
    # Else it silently stops compiling after eight optimizers with the same method.
    torch.compiler.reset()
    optimizer = torch.optim.Adamax(problem.parameters(), lr=LR)
    # The generated code contains the number of threads, but the cache key does not.
    options: dict[str, Any] = {"cpp.threads": torch.get_num_threads()}
    compiled: Step = torch.compile(optimizer.step, options=options)
    return compiled


def _optax(problem: Problem) -> Step:
    import jax  # noqa: PLC0415 - may be missing
    import optax  # noqa: PLC0415 - as above

    optimizer = optax.adamax(LR)
    # Copies, since memory of NumPy cannot be donated.
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
    # The backend that is comparable to the others: it compiles nothing, and uses foreach
    # operations.
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
    "ours": _torch(adamax_torch.Adamax),
    "ours loop": _torch(adamax_torch.Adamax, foreach=False, fused=False),
    "ours foreach": _torch(adamax_torch.Adamax, foreach=True),
    "step_": _step_,
    "torch loop": _torch(torch.optim.Adamax, foreach=False),
    "torch foreach": _torch(torch.optim.Adamax, foreach=True),
    "torch compiled": _torch_compiled,
    "torch Adam fused": _torch(torch.optim.Adam, fused=True),
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
