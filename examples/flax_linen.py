"""Flax Linen: `adamax_transform` in a `TrainState`, on handwritten digits.

python examples/flax_linen.py

Install: pip install -c constraints.txt '.[dev]'
"""

from typing import Any

from extras import needs

with needs("dev"):
    import jax
    import jax.numpy as jnp
    import optax
    from flax import linen as nn
    from flax.training.train_state import TrainState
    from sklearn.datasets import load_digits

    from adamax_jax import adamax_transform


@jax.jit
def step(state: Any, x: Any, y: Any) -> Any:
    """Train on one batch."""

    def loss(params: Any) -> Any:
        scores = state.apply_fn({"params": params}, x)
        return optax.softmax_cross_entropy_with_integer_labels(scores, y).mean()

    return state.apply_gradients(grads=jax.grad(loss)(state.params))


def main() -> None:
    """Train on three quarters of the digits, and print the accuracy on the others."""
    images, labels = load_digits(return_X_y=True)
    x, y = jnp.asarray(images / 16, jnp.float32), jnp.asarray(labels)
    model = nn.Sequential([nn.Dense(32), nn.tanh, nn.Dense(10)])
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), adamax_transform(1e-2))
    params = model.init(jax.random.key(0), x[:1])["params"]
    create: Any = TrainState.create  # not typed
    state = create(apply_fn=model.apply, params=params, tx=optimizer)
    for index in range(210):
        start = index * 64 % 1344
        state = step(state, x[start : start + 64], y[start : start + 64])
    scores = state.apply_fn({"params": state.params}, x[1344:])
    print(f"step {state.step}: {jnp.mean(scores.argmax(-1) == y[1344:]):.1%} of the digits read")


if __name__ == "__main__":
    main()
