"""Benchmarks are scripts: a test runs one as people do."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="session")
def ran() -> Callable[..., subprocess.CompletedProcess[str]]:
    def ran(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, BENCHMARKS / program, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return ran
