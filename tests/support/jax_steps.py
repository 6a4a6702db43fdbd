"""Transformations, steps and bits that the tests of `adamax_transform` share."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adamax_core import Hyperparameters
from adamax_jax import adamax_transform

SETTINGS = [
    Hyperparameters(),
    Hyperparameters(0.25, (0.5, 0.75), 0.125, 0.01),
    Hyperparameters(0.1, (0.3, 0.999), 1e-3, 0.01, maximize=True),
    Hyperparameters(0.1, (0.0, 0.0), 1e-3, 0.1, decoupled_weight_decay=True),
]


class Layer(NamedTuple):
    weight: Any
    bias: Any


def transform(hp: Hyperparameters, **options: Any) -> optax.GradientTransformationExtraArgs:
    return adamax_transform(
        hp.lr,
        *hp.betas,
        hp.eps,
        weight_decay=hp.weight_decay,
        decoupled_weight_decay=hp.decoupled_weight_decay,
        maximize=hp.maximize,
        **options,
    )


def run(optimizer: Any, params: Any, *grads: Any) -> tuple[Any, Any]:
    """The parameters and the state after a step for each of the gradients."""
    state = optimizer.init(params)
    for grad in grads:
        updates, state = optimizer.update(grad, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def bits(tree: Any) -> list[bytes]:
    """The bits of the leaves alone, to compare trees of different structures or dtypes."""
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def named_bits(tree: Any) -> list[tuple[str, Any, bytes]]:
    return [
        (jax.tree_util.keystr(path), leaf.dtype, np.asarray(leaf).tobytes())
        for path, leaf in jax.tree.leaves_with_path(tree)
    ]


def example(dtype: Any = jnp.float32) -> dict[str, Any]:
    return {
        "layer": Layer(jnp.array([[1, -2], [0.5, 3]], dtype), jnp.array(-1, dtype)),
        "rest": [jnp.zeros((0, 2), dtype), (jnp.array([4], dtype),)],
    }
