"""`adamax_core` imports only NumPy and optree; the check fails for other imports."""

import subprocess
import sys
from pathlib import Path

import pytest

FRAMEWORKS = ("torch", "jax", "optax", "tensorflow", "safetensors", "adamax_conformance")
CHECK = f"""
import sys
found = [name for name in {FRAMEWORKS} if name in sys.modules]
sys.exit("adamax_core imported " + ", ".join(found) if found else 0)
"""


def run(source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False
    )


def test_the_core_imports_no_framework() -> None:
    result = run("import adamax_core" + CHECK)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_check_notices_a_framework(framework: str, tmp_path: Path) -> None:
    (tmp_path / f"{framework}.py").touch()
    stub = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport {framework}, adamax_core"
    result = run(stub + CHECK)
    assert result.returncode == 1
    assert result.stderr.strip() == f"adamax_core imported {framework}"
