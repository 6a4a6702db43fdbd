"""Backends for other projects' implementations, with known deviations, and for the reference."""
