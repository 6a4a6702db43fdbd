"""The command runs the judge as a child: one that vanishes or waits for ever is exit code 3."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

MAIN = [sys.executable, "-c", "from adamax_conformance_cli import main; main()"]
GLUE = """
import ctypes, os, signal, time
from dataclasses import replace
from pathlib import Path
from adamax_conformance.subjects.reference import backend
base = backend()

def at_step(number, do):
    def step(*args):
        step.number += 1
        if step.number == number:
            do()
        return base.step(*args)
    step.number = 0
    return replace(base, name="mine", step=step)

def interrupted():
    Path("begun").touch()
    try:
        time.sleep(1000)
    except KeyboardInterrupt:
        Path("interrupts").open("a").write("1")
        time.sleep(0.5)
        raise

# The smoke test takes six steps.
exits = at_step(8, lambda: os._exit(0))
compiled = at_step(8, lambda: ctypes.CDLL(None).exit(0))
crashes = at_step(8, lambda: ctypes.string_at(0))
sleeps = at_step(8, lambda: time.sleep(1000))
blocks = at_step(8, lambda: ctypes.CDLL(None).pause())
waits = at_step(1, interrupted)
spins = at_step(1, lambda: (Path("begun").write_text(str(os.getpid())), ctypes.CDLL(None).pause()))
"""


@pytest.fixture(autouse=True)
def glue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("glue.py").write_text(GLUE)
    Path("gone.py").write_text("import os; os._exit(0)")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MAIN, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("name", "how"),
    [("exits", "exit code 0"), ("compiled", "exit code 0"), ("crashes", "signal SIGSEGV")],
)
def test_backend_that_ends_the_process_is_broken(name: str, how: str) -> None:
    ran = run("check", f"py:glue:{name}", "--clause", "A-4", "--dtype", "float64")
    assert ran.returncode == 3
    assert ran.stdout == ""
    assert ran.stderr.startswith("A-4/")
    assert ran.stderr.endswith(
        f"[float64] of mine, in `step`: the process that judges ended with {how}, so there is no "
        "report\n"
    )


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (["diagnose", "py:glue:exits"], "the diagnosis of mine, in `step`: "),
        (["fuzz", "py:glue:exits"], "in float16 of mine, in `step`: "),
        (["check", "py:gone:x"], "the import of py:gone:x: "),
    ],
)
def test_other_commands_say_what_they_were_doing(arguments: list[str], where: str) -> None:
    ran = run(*arguments)
    assert (ran.returncode, ran.stdout) == (3, "")
    assert f"{where}the process that judges ended with exit code 0" in ran.stderr


@pytest.mark.parametrize("name", ["sleeps", "blocks"])
@pytest.mark.parametrize("command", ["check", "diagnose", "fuzz"])
def test_call_that_never_returns_ends_by_the_timeout(command: str, name: str) -> None:
    ran = run(command, f"py:glue:{name}", "--timeout", "1")
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.endswith("of mine, in `step`: no answer within 1 s: raise --timeout\n")


def test_limit_is_that_of_a_call_and_not_of_a_run() -> None:
    ran = run("check", "numpy", "--clause", "A-6", "--dtype", "float32", "--timeout", "0.5")
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("source", "code", "error"),
    [
        ("pass", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(4)", 4, ""),
        ("sys.exit('text')", 1, "text\n"),
        ("atexit.register(os._exit, 0); sys.exit(1)", 1, ""),
        ("atexit.register(os.abort); sys.exit(1)", 1, ""),
        ("os._exit(7)", 3, "before the first step: the process that judges ended with exit code 7"),
        ("os.kill(os.getpid(), signal.SIGTERM)", 3, "ended with signal SIGTERM, so there is no"),
    ],
)
def test_exit_code_is_that_of_the_judge(source: str, code: int, error: str) -> None:
    program = (
        "import atexit, os, signal, sys\nfrom adamax_conformance_supervisor import supervise\n"
        f"def run():\n    {source}\nsupervise(run)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ran.returncode == code
    assert error in ran.stderr
    assert "Traceback" not in ran.stderr


def test_traceback_of_the_judge_is_printed() -> None:
    program = "from adamax_conformance_supervisor import supervise\nsupervise(lambda: 1 / 0)\n"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("Traceback")
    assert ran.stderr.endswith("ZeroDivisionError: division by zero\n")


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Commands of the test; whatever is left of them is killed after it."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(started: list[subprocess.Popen[str]], name: str) -> subprocess.Popen[str]:
    """Start to judge a backend in a process group of its own; wait until it is called."""
    # Tests that run in the background ignore an interrupt, and what they start would too.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        [*MAIN, "check", f"py:glue:{name}", "--timeout", "600"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    started.append(process)
    for _ in range(6000):
        if Path("begun").exists():
            break
        time.sleep(0.01)
    assert Path("begun").exists()
    return process


@pytest.mark.parametrize("whole_group", [True, False], ids=["key of a terminal", "kill"])
def test_interrupt_reaches_the_backend_once(
    started: list[subprocess.Popen[str]], whole_group: bool
) -> None:
    process = start(started, "waits")
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert Path("interrupts").read_text() == "1"


def test_ended_from_outside_it_is_not_the_backend_that_is_blamed(
    started: list[subprocess.Popen[str]],
) -> None:
    process = start(started, "waits")
    process.terminate()
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (-signal.SIGTERM, "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can kill with the parent")
def test_judge_does_not_outlive_a_killed_command(started: list[subprocess.Popen[str]]) -> None:
    process = start(started, "spins")
    process.kill()
    # The pipes close once no process has them.
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
