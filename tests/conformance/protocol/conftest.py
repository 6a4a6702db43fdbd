"""The misbehaving program, as a backend and as a name on the command line."""

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adamax_conformance.protocol import skeletons
from adamax_conformance.protocol.client import ProgramBackend

# It is a program; to look for doctests would run it.
collect_ignore = ["misbehaving.py"]

SKELETONS = Path(skeletons.__file__).parent
PROGRAM = Path(__file__).with_name("misbehaving.py")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """The file into which the program writes the ids of its processes."""
    return tmp_path / "notes"


@pytest.fixture
def command(notes: Path) -> Callable[[str], str]:
    """Return the name of a backend that misbehaves in this way."""
    return lambda how: (
        "cmd:" + shlex.join([sys.executable, str(PROGRAM), how, str(notes), str(SKELETONS)])
    )


@pytest.fixture
def program(command: Callable[[str], str]) -> Iterator[Callable[..., Any]]:
    """Return a backend that misbehaves in this way; it is closed after the test."""
    made: list[ProgramBackend] = []

    def make(how: str, timeout: float = 60.0) -> ProgramBackend:
        made.append(ProgramBackend.of(command(how), timeout))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


def _runs(pid: int) -> bool:
    """Does a process run, and is it not a zombie?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def survivors(notes: Path) -> Callable[[], list[int]]:
    """Return the noted processes that still run, after a moment for killed ones to end."""

    def still() -> list[int]:
        pids = [int(word) for word in notes.read_text().split()]
        assert pids
        for _ in range(500):
            if not any(map(_runs, pids)):
                break
            time.sleep(0.01)
        return [pid for pid in pids if _runs(pid)]

    return still
