"""One of two processes that step one sharded parameter; started by test_sharding.py."""

import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

from adamax_jax import adamax_transform


def step(optimizer: Any, params: Any, grads: Any, state: Any) -> Any:
    updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state


def main(port: str, rank: str, path: str) -> None:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # type: ignore[no-untyped-call]  # not typed
    jax.config.update("jax_num_cpu_devices", 2)  # type: ignore[no-untyped-call]  # not typed
    jax.distributed.initialize(f"localhost:{port}", 2, int(rank))
    mesh = jax.make_mesh((4,), ("x",))
    jax.set_mesh(mesh)
    sharding = NamedSharding(mesh, PartitionSpec("x"))  # type: ignore[no-untyped-call]  # not typed
    whole = np.arange(16, dtype=np.float32) / 7 - 1
    params = jax.make_array_from_callback((16,), sharding, lambda index: whole[index])
    optimizer = adamax_transform(0.1, weight_decay=0.1)
    if rank == "0":
        # Outside jit, init sends nothing: the other process is not needed.
        assert optimizer.init(params).mu.sharding == sharding
    state = jax.jit(optimizer.init)(params)
    for _ in range(3):
        # The gradient of a sum over all processes; it is 1 - p, exactly.
        grads = jax.jit(jax.grad(lambda p: -jnp.sum((1 - p) ** 2) / 2))(params)
        params, state = jax.jit(partial(step, optimizer))(params, grads, state)

    def local(array: jax.Array) -> np.ndarray[Any, Any]:
        shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start or 0)
        return np.concatenate([np.asarray(shard.data) for shard in shards])

    np.savez(
        path,
        params=local(params),
        mu=local(state.mu),
        nu=local(state.nu),
        steps=np.asarray(state.steps[0].addressable_data(0)),
    )
    jax.distributed.shutdown()  # type: ignore[no-untyped-call]  # not typed


if __name__ == "__main__":
    main(*sys.argv[1:])
