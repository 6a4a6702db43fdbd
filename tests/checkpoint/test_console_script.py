"""The console script says what to install if the package cannot be imported."""

import subprocess
import sys

import pytest


def run(source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys\n{source}\nimport adamax_checkpoint_cli as c\nc.main()",
        ],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("package", ["safetensors", "ml_dtypes", "typer"])
def test_without_its_extra_it_says_what_to_install(package: str) -> None:
    result = run(f"sys.modules[{package!r}] = None")
    assert result.returncode == 2
    assert result.stderr.startswith(f"adamax-checkpoint needs {package}, which is not installed")
    assert "'.[checkpoint]'" in result.stderr


def test_it_runs_the_command() -> None:
    result = run("sys.argv = ['adamax-checkpoint', 'inspect', 'nothing']")
    assert result.returncode == 2
    assert "No such file or directory: 'nothing'" in result.stderr
