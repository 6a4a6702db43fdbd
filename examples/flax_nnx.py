"""Flax NNX: `adamax_transform` in an `nnx.Optimizer`, on handwritten digits.

python examples/flax_nnx.py

Install: pip install -c constraints.txt '.[dev]'
"""

from typing import Any

from extras import needs

with needs("dev"):
    import jax.numpy as jnp
    import optax
    from flax import nnx
    from sklearn.datasets import load_digits

    from adamax_jax import adamax_transform


@nnx.jit
def step(model: nnx.Module, optimizer: nnx.Optimizer[Any], x: Any, y: Any) -> None:
    """Train on one batch."""

    def loss(model: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()

    optimizer.update(model, nnx.grad(loss)(model))


def main() -> None:
    """Train on three quarters of the digits, and print the accuracy on the others."""
    images, labels = load_digits(return_X_y=True)
    x, y = jnp.asarray(images / 16, jnp.float32), jnp.asarray(labels)
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.Linear(64, 32, rngs=rngs), nnx.tanh, nnx.Linear(32, 10, rngs=rngs))
    transform = optax.chain(optax.clip_by_global_norm(1.0), adamax_transform(1e-2))
    optimizer = nnx.Optimizer(model, transform, wrt=nnx.Param)
    for index in range(210):
        start = index * 64 % 1344
        step(model, optimizer, x[start : start + 64], y[start : start + 64])
    scores = model(x[1344:])
    read = jnp.mean(scores.argmax(-1) == y[1344:])
    print(f"step {optimizer.step.get_value()}: {read:.1%} of the digits read")


if __name__ == "__main__":
    main()
