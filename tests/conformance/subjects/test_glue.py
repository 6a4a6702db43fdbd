"""Glue for families of implementations: it passes what is offered, and nothing else."""

from collections.abc import Collection
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import torch

from adamax_conformance import Status, check
from adamax_conformance.subjects.glue.optax import OptaxBackend
from adamax_conformance.subjects.glue.torch import TorchBackend
from adamax_core import Hyperparameters


class Bare(torch.optim.Adamax):
    """An optimizer whose constructor has the arguments of the algorithm alone."""

    def __init__(self, params: Any, lr: float, betas: tuple[float, float], eps: float) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps)


def test_optimizer_of_pytorch_gets_the_options_that_it_offers() -> None:
    bare: Any = TorchBackend("bare", Bare, offers=[])
    report = check(bare, clauses=["A-1", "A-2", "A-5"], dtypes=["float32"])
    status = {result.case: result.status for result in report.results}
    assert report.broken == ""
    assert set(status.values()) == {Status.PASS, Status.UNSUPPORTED}
    assert status["A-1/maximize"] is status["A-2/coupled"] is Status.UNSUPPORTED
    assert status["A-2/absent-without-decay"] is Status.PASS


HP = Hyperparameters(lr=0.5)


def transformation(seen: list[Any], features: Collection[str] = (), **options: Any) -> OptaxBackend:
    """Return a backend of plain descent, which records what `update` and `make` are given."""

    def make(hp: Hyperparameters, **asked: Any) -> optax.GradientTransformation:
        def update(grads: Any, state: Any, params: Any = None) -> Any:
            seen.append((asked, grads, params))
            steps = {k: -hp.lr * (0 * params[k] if g is None else g) for k, g in grads.items()}
            return steps, state

        return optax.GradientTransformation(lambda _params: (), update)

    return OptaxBackend(
        "descent", make, lambda _state: None, lambda state, _saved: state, features, **options
    )


def test_optax_gets_a_leaf_of_none_for_a_missing_gradient() -> None:
    seen: list[Any] = []
    backend = transformation(seen, jit=False)
    params = {k: np.ones(2, np.float32) for k in "ab"}
    stepped, _ = backend.step(params, {"a": params["a"]}, backend.init(params, HP), HP)
    ((_, grads, _),) = seen
    assert grads["b"] is None
    assert {k: v.tolist() for k, v in stepped.items()} == {"a": [0.5, 0.5], "b": [1.0, 1.0]}


def test_optax_gets_the_options_that_are_asked_for_alone() -> None:
    seen: list[Any] = []
    backend = transformation(seen, ["undecayed"], jit=False)
    params = {"w": np.ones(2, np.float32)}
    for options in ({}, {"undecayed": ("w",)}):
        backend.step(params, params, backend.init(params, HP, **options), HP)
    assert [asked for asked, _, _ in seen] == [{}, {"undecayed": ("w",)}]


def test_optax_computes_in_64_bits_for_parameters_of_64_bits_or_where_it_is_asked_to() -> None:
    for x64, dtype, wide in (
        (None, np.float64, True), (None, np.float32, False), (True, np.float32, True),
        (False, np.float64, False),
    ):  # fmt: skip
        seen: list[Any] = []
        backend = transformation(seen, x64=x64, jit=False)
        params = {"w": np.ones(2, dtype)}
        backend.step(params, {"w": np.ones(2)}, backend.init(params, HP), HP)
        ((_, grads, _),) = seen
        assert (grads["w"].dtype == jnp.float64) is wide, (x64, dtype)


def test_optax_takes_other_hyperparameters_in_each_step_and_may_hide_its_state() -> None:
    backend: Any = transformation([])
    params = {"w": np.ones(2, np.float32)}
    state = backend.init(params, HP)
    assert backend.moments(state) is None
    for lr in (0.5, 0.25):
        stepped, state = backend.step(params, params, state, Hyperparameters(lr=lr))
        assert stepped["w"].tolist() == [1 - lr, 1 - lr]
