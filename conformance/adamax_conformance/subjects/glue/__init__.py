"""Glue for families of implementations: optimizers of PyTorch, transformations of optax."""
