"""The console script says what to install if the judge cannot be imported."""

import subprocess
import sys
from pathlib import Path

import pytest

import adamax_conformance_cli

FOLDER = Path(adamax_conformance_cli.__file__).parent


def run(source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("package", ["gmpy2", "rich", "typer"])
def test_without_its_extra_it_says_what_to_install(package: str) -> None:
    absent = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); sys.modules[{package!r}] = None\n"
    result = run(absent + "import adamax_conformance_cli; adamax_conformance_cli.main()")
    assert result.returncode == 2
    assert f"needs {package}" in result.stderr
    assert "'.[conformance]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_package_runs_as_a_module() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "adamax_conformance", "list", "features"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "state_dtype" in result.stdout
