"""Implementations that are not ours, each with the deviations that it is known for."""
