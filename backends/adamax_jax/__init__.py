"""The Adamax specification as an optax gradient transformation: `adamax_transform`."""

from adamax_jax.exchange import from_optax_state, to_optax_state
from adamax_jax.state import AdamaxState
from adamax_jax.transform import adamax_transform

__all__ = ["AdamaxState", "adamax_transform", "from_optax_state", "to_optax_state"]
