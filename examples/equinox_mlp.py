"""Equinox: `adamax_transform` under `filter_jit`, for a module with leaves that are not arrays.

python examples/equinox_mlp.py

Install: pip install -c constraints.txt '.[dev]'
"""

from typing import Any

from extras import needs

with needs("dev"):
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import optax
    from sklearn.datasets import load_digits

    from adamax_jax import adamax_transform

OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), adamax_transform(1e-2))


@eqx.filter_jit
def step(model: eqx.nn.MLP, state: Any, x: Any, y: Any) -> tuple[eqx.nn.MLP, Any]:
    """Train on one batch; leaves that are not arrays are None in gradients and parameters."""

    def loss(model: eqx.nn.MLP) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(model)(x), y).mean()

    grads = eqx.filter_grad(loss)(model)  # type: ignore[no-untyped-call]  # not typed
    updates, state = OPTIMIZER.update(grads, state, eqx.filter(model, eqx.is_inexact_array))
    return eqx.apply_updates(model, updates), state


def main() -> None:
    """Train on three quarters of the digits, and print the accuracy on the others."""
    images, labels = load_digits(return_X_y=True)
    x, y = jnp.asarray(images / 16, jnp.float32), jnp.asarray(labels)
    model = eqx.nn.MLP(64, 10, 32, 1, jnp.tanh, key=jax.random.key(0))
    state = OPTIMIZER.init(eqx.filter(model, eqx.is_inexact_array))
    for index in range(210):
        start = index * 64 % 1344
        model, state = step(model, state, x[start : start + 64], y[start : start + 64])
    scores = jax.vmap(model)(x[1344:])
    read = jnp.mean(scores.argmax(-1) == y[1344:])
    print(f"step {optax.tree.get(state, 'count')}: {read:.1%} of the digits read")


if __name__ == "__main__":
    main()
