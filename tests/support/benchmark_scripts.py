"""Benchmarks are scripts: a test runs one as users do, or calls its command."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import typer
from typer.testing import CliRunner

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
WIDE = {"COLUMNS": "200"}


def ran(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever its exit status."""
    return subprocess.run(
        [sys.executable, BENCHMARKS / program, *map(str, arguments)],
        env=os.environ | WIDE,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def called(module: ModuleType, *arguments: str) -> tuple[int, str]:
    """The exit status and all output of a command, called in this process."""
    app = typer.Typer()
    app.command()(module.main)
    done = CliRunner().invoke(app, arguments, env=WIDE)
    return done.exit_code, " ".join(done.output.split())
