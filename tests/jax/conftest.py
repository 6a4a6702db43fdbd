"""Eight devices, so that sharding is tested on JAX's own engine."""

import jax

jax.config.update("jax_num_cpu_devices", 8)  # type: ignore[no-untyped-call]  # not typed
