"""Glue for families of implementations: any torch.optim.Optimizer, any optax transformation."""
