"""JAX keeps the programs that it compiles in pytest's cache, for all workers and later runs."""

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Set the variables that JAX, also in a child process, reads when it is imported."""
    if config.cache is not None:
        os.environ |= {
            "JAX_COMPILATION_CACHE_DIR": str(config.cache.mkdir("jax")),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
