"""Fuzzing: examples that nobody has thought of, drawn by Hypothesis and judged as cases are.

``fuzz`` draws and judges; what is drawn is in `arrays`, `runs` and `sessions`.
"""

from adamax_conformance.fuzz.engine import Fuzzed, fuzz

__all__ = ["Fuzzed", "fuzz"]
