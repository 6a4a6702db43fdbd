"""A program as a backend: names, states, messages, and its end."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adamax_conformance.cases.case import PLAIN
from adamax_conformance.judging.run import Run
from adamax_conformance.protocol.client import ProgramBackend, RefusedError
from adamax_conformance.registry import BackendNotFoundError, find
from adamax_conformance.subject.backend import LostError, Moments
from adamax_conformance.subject.printable import LONGEST, printable
from adamax_conformance.subjects.reference import backend as reference

ONES = {"w": np.ones(3, np.float32)}
MAIN = [sys.executable, "-c", "from adamax_conformance.cli import app; app()"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cmd:", "the command is empty: write cmd:./program arguments"),
        ("cmd:''", "the command is empty"),
        ("cmd:no-such-program --fast", "program 'no-such-program' not found"),
        ("cmd:./a 'b", "cannot parse the command: No closing quotation"),
        ("cmd:/etc/passwd", "program '/etc/passwd' not found"),
    ],
)
def test_command_that_cannot_be_run_is_refused(name: str, message: str) -> None:
    with pytest.raises(BackendNotFoundError, match=message):
        find(name)


def test_file_that_is_not_a_program_is_a_broken_adapter(tmp_path: Path) -> None:
    file = tmp_path / "program"
    file.write_bytes(b"\x7fnothing")
    file.chmod(0o755)
    backend = find(f"cmd:{file}")
    with pytest.raises(Exception, match=r"hello: the program cannot be started: .*Exec format"):
        backend.init(ONES, PLAIN)


def test_program_is_called_by_the_name_it_gives(
    program: Callable[..., Any], command: Callable[[str], str]
) -> None:
    assert program("right").name == "misbehaving"
    assert program("hello-exits").name == printable(command("hello-exits"), LONGEST)


def test_long_line_of_an_error_keeps_the_exception_and_its_end() -> None:
    script = f"import sys; sys.exit('KernelError: ' + {'x' * 1000!r} + ' at 0x1f')"
    backend = find(f"cmd:{shlex.join([sys.executable, '-c', script])}")
    with pytest.raises(LostError, match=r"standard error: KernelError: x+\.\.\.x+ at 0x1f$"):
        backend.init(ONES, PLAIN)


def test_steps_one_by_one_give_what_the_whole_run_gives(program: Callable[..., Any]) -> None:
    backend = program("right")
    grads = [ONES, {}, {"w": -ONES["w"]}]
    shown = backend.trajectory(Run(ONES, grads, PLAIN))
    params, state = ONES, backend.init(ONES, PLAIN)
    for grad, (expected, moments) in zip(grads, shown[1:], strict=True):
        params, state = backend.step(params, grad, state, PLAIN)
        assert params["w"].tobytes() == expected["w"].tobytes()
        for name, slot in backend.moments(state).items():
            assert all(map(np.array_equal, slot, moments[name]))
    assert state.moments["w"].step == 2


def test_run_continues_from_a_loaded_state(program: Callable[..., Any]) -> None:
    saved = {"w": Moments(6, ONES["w"], ONES["w"])._asdict()}
    mine, right = program("right"), reference()
    _, state = mine.step(ONES, ONES, mine.load(ONES, PLAIN, saved), PLAIN)
    _, expected = right.step(ONES, ONES, right.load(ONES, PLAIN, saved), PLAIN)
    assert state.moments["w"].step == expected.step["w"] == 7


@pytest.mark.parametrize("dtype", [np.int64, np.bool_])
def test_gradient_that_the_protocol_has_no_dtype_for_is_refused(
    dtype: Any, program: Callable[..., Any]
) -> None:
    backend = program("right")
    with pytest.raises(TypeError, match=r"must be one of float16"):
        backend.step(ONES, {"w": np.ones(3, dtype)}, backend.init(ONES, PLAIN), PLAIN)


def test_parameters_must_be_those_of_the_state(program: Callable[..., Any]) -> None:
    backend = program("right")
    with pytest.raises(ValueError, match="changed between two steps"):
        backend.step({"w": 2 * ONES["w"]}, ONES, backend.init(ONES, PLAIN), PLAIN)


def test_refusal_is_a_value_error_and_the_process_goes_on(program: Callable[..., Any]) -> None:
    backend = program("right")
    state = backend.init(ONES, PLAIN)
    pid = backend._process.pid
    with pytest.raises(RefusedError, match=r"gradient has shape \[1\], its parameter \[3\]"):
        backend.step(ONES, {"w": np.ones(1, np.float32)}, state, PLAIN)
    backend.step(ONES, ONES, state, PLAIN)
    assert backend._process.pid == pid


def test_derivatives_are_refused(program: Callable[..., Any]) -> None:
    backend: ProgramBackend = program("right")
    with pytest.raises(NotImplementedError, match="no derivatives"):
        backend.vjp("lr", None)  # type: ignore[arg-type]  # nothing is looked at


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_outlives_a_judge_that_is_interrupted(
    number: int, command: Callable[[str], str], notes: Path, survivors: Callable[[], list[int]]
) -> None:
    arguments = ["check", command("deaf"), "--clause", "A-4", "--timeout", "600"]
    # Tests that run in the background ignore an interrupt, and what they start would too.
    before = signal.signal(number, signal.SIG_DFL)
    judge = subprocess.Popen([*MAIN, *arguments], stdout=subprocess.DEVNULL)
    signal.signal(number, before)
    for _ in range(6000):
        if notes.exists() and notes.read_text().endswith("\n"):
            break
        time.sleep(0.01)
    os.kill(judge.pid, number)
    assert judge.wait(60) != 0
    assert survivors() == []


@pytest.mark.slow
def test_nothing_outlives_a_judge_that_is_done(
    command: Callable[[str], str], survivors: Callable[[], list[int]]
) -> None:
    arguments = ["check", command("does-not-stop"), "--clause", "A-4", "--dtype", "float32"]
    subprocess.run([*MAIN, *arguments], check=True, timeout=120, stdout=subprocess.DEVNULL)
    assert survivors() == []
