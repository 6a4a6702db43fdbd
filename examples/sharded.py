"""Sharded training: parameters over a mesh, and an optimizer step without communication.

    python examples/sharded.py --devices 8 --mesh 4x2

The weights are split over the mesh, the moments follow them, and the update compiles to no
collective: whatever is sent belongs to the gradients. It runs on as many processors as are asked
for; on accelerators, leave --devices out.

Install: pip install -c constraints.txt '.[jax,docs]'
"""

import argparse
import re
from typing import Any

from extras import needs

with needs("jax,docs"):
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax
    from jax.sharding import AxisType, NamedSharding, PartitionSpec
    from sklearn.datasets import load_digits

    from adamax_jax import adamax_transform

OPTIMIZER = optax.chain(optax.clip(1.0), adamax_transform(1e-2))
COLLECTIVE = re.compile(r"\b(all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)\b")


def main() -> None:
    """Shard the parameters, train, and print the collectives and the accuracy."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--devices", type=int, help="make so many processors of this one")
    parser.add_argument("--mesh", default="4x2", help="rows x columns of the mesh (default: 4x2)")
    parser.add_argument("--steps", type=int, default=210, help="steps to take (default: 210)")
    options = parser.parse_args()
    shape = re.fullmatch(r"(\d+)x(\d+)", options.mesh)
    if not shape:
        parser.error(f"--mesh {options.mesh} is not rows x columns, such as 4x2")
    rows, columns = map(int, shape.groups())
    if options.devices:
        jax.config.update("jax_num_cpu_devices", options.devices)  # type: ignore[no-untyped-call]
    if not 0 < rows * columns <= jax.device_count():
        parser.error(f"a mesh of {rows}x{columns} needs {rows * columns} devices; there are "
                     f"{jax.device_count()} (--devices {rows * columns} makes them)")  # fmt: skip
    if 32 % rows or 32 % columns:
        parser.error(f"32 hidden units cannot be split into {rows} or {columns} equal parts")
    train(rows, columns, options.steps)


def train(rows: int, columns: int, steps: int) -> None:
    """Train on a mesh of rows and columns."""
    axes = (AxisType.Auto, AxisType.Auto)
    mesh = jax.make_mesh((rows, columns), ("rows", "columns"), axis_types=axes)
    split: Any = PartitionSpec
    specs = {
        "w1": split(None, "columns"),
        "b1": split("columns"),
        "w2": split("columns", None),
        "b2": split(),
    }
    rng = np.random.default_rng(0)
    values = {
        "w1": rng.normal(size=(64, 32)) / 8,
        "b1": np.zeros(32),
        "w2": rng.normal(size=(32, 10)) / 6,
        "b2": np.zeros(10),
    }
    params = {
        name: jax.device_put(jnp.asarray(value, jnp.float32), NamedSharding(mesh, specs[name]))
        for name, value in values.items()
    }
    state = jax.jit(OPTIMIZER.init)(params)
    for name, leaf in optax.tree.get(state, "mu").items():
        print(
            f"{name}: {leaf.shape}, of which a device holds {leaf.addressable_shards[0].data.shape}"
        )
    update = jax.jit(OPTIMIZER.update).lower(params, state, params).compile()
    print(f"collectives in the update: {len(COLLECTIVE.findall(update.as_text() or ''))}")

    images, labels = load_digits(return_X_y=True)
    x, y = (images / 16).astype(np.float32), labels
    spread = NamedSharding(mesh, split("rows"))
    for index in range(steps):
        start = index * 64 % 1344
        batch = jax.device_put((x[start : start + 64], y[start : start + 64]), spread)
        # One step at a time: on CPU the devices share a thread pool, and several programs with
        # collectives in flight can deadlock by occupying all threads.
        params, state = jax.block_until_ready(step(params, state, *batch))  # type: ignore[no-untyped-call]  # not typed
    right = np.asarray(jax.jit(scores)(params, x[1344:]).argmax(-1)) == y[1344:]
    print(f"after {steps} steps {right.mean():.1%} of the digits read")


def scores(params: Any, x: Any) -> Any:
    """A network of one hidden layer."""
    hidden = jnp.tanh(x @ params["w1"] + params["b1"])
    return hidden @ params["w2"] + params["b2"]


@jax.jit
def step(params: Any, state: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Train on one batch."""

    def loss(params: Any) -> jax.Array:
        losses = optax.softmax_cross_entropy_with_integer_labels(scores(params, x), y)
        return jnp.mean(losses)

    updates, state = OPTIMIZER.update(jax.grad(loss)(params), state, params)
    return optax.apply_updates(params, updates), state


if __name__ == "__main__":
    main()
