"""Benchmarks are scripts: tests run them as users do, or import their modules in a new process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(BENCHMARKS), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="session")
def ran() -> Callable[..., subprocess.CompletedProcess[str]]:
    def ran(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return _run(BENCHMARKS / program, *arguments)

    return ran


@pytest.fixture(scope="session")
def evaluated() -> Callable[..., Any]:
    """Run code that can import the benchmark modules; return its `answer`."""

    def evaluated(code: str) -> Any:
        done = _run("-c", f"{code}\nimport json\nprint(json.dumps(answer))")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return evaluated


@pytest.fixture(scope="session")
def called(evaluated: Callable[[str], Any]) -> Callable[..., list[Any]]:
    """The exit status and all output of a program for several lists of arguments.

    Called in one process, since to start another takes seconds. What is `before` is done first.
    """

    def called(module: str, calls: list[list[str]], before: str = "") -> list[Any]:
        answer: list[Any] = evaluated(f"""
import typer, {module}
from typer.testing import CliRunner
{before}
app = typer.Typer()
app.command()({module}.main)
done = [CliRunner().invoke(app, arguments) for arguments in {calls!r}]
answer = [(each.exit_code, " ".join(each.output.split())) for each in done]
""")
        return answer

    return called
