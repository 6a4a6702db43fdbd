"""Fuzzing: judge random examples, drawn by Hypothesis, as cases are judged.

``fuzz`` draws and judges; `arrays`, `runs` and `sessions` define the examples.
"""

from adamax_conformance.fuzz.engine import Fuzzed, fuzz

__all__ = ["Fuzzed", "fuzz"]
