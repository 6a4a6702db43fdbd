"""A bridge imports its framework alone; the format, the names and the dialects import none."""

import subprocess
import sys

import pytest

ALONE = {
    "adamax_checkpoint": set[str](),
    "adamax_checkpoint.dialects": set[str](),
    "adamax_checkpoint.keras": set[str](),
    "adamax_checkpoint.kinds": set[str](),
    "adamax_checkpoint.names": set[str](),
    "adamax_checkpoint.trees": set[str](),
    "adamax_checkpoint.torch": {"torch"},
    "adamax_checkpoint.layouts": {"torch"},
    "adamax_checkpoint.optax": {"jax", "optax"},
}


@pytest.mark.parametrize("module", ALONE)
def test_a_module_imports_the_framework_that_it_needs(module: str) -> None:
    names = ("torch", "jax", "optax", "keras", "flax", "adamax_conformance")
    source = f"import sys, {module}\nprint(*sorted(set({names}) & set(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", source],
        env={"PYTHONPATH": ":".join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert set(ran.stdout.split()) == ALONE[module]
