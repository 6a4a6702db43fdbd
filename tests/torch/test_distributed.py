"""PyTorch's own ways of spreading a training, in two and four processes over gloo, on CPU.

An update is a matter of each element alone, so where the gradients are the same, a sharded step
and that of one process are equal to the last bit. What the processes do is in `ranks.py`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TIMEOUT = 300
Check = Callable[[str, int], None]


def launch(what: str, world: int, folder: Path, source: Path) -> dict[str, str]:
    """Run the processes; return for each check the first traceback of any process, or nothing."""
    folder.mkdir()
    # One thread each: there are more processes than processors.
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("ranks.py")), what]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(world), str(folder), str(source)],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world)
    ]
    try:
        printed = [process.communicate(timeout=TIMEOUT)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    found: dict[str, str] = {}
    for rank, (process, text) in enumerate(zip(processes, printed, strict=True)):
        assert process.returncode == 0, f"process {rank} of {world}:\n{text}"
        for name, trace in json.loads((folder / f"{rank}.json").read_text()).items():
            failed = f"process {rank} of {world}: {trace}" if trace else ""
            found[name] = found.get(name) or failed
    return found


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("distributed")


@pytest.fixture(scope="session")
def results(folder: Path) -> Callable[[int], dict[str, str]]:
    """The results of all checks for a number of processes, run once."""
    found: dict[int, dict[str, str]] = {}

    def results(world: int) -> dict[str, str]:
        if world not in found:
            where = folder / str(world)
            # What cannot even be started fails each test, and is not tried again.
            found[world] = {}
            found[world] = launch("everything", world, where, where)
        return found[world]

    return results


@pytest.fixture(scope="session")
def passes(results: Callable[[int], dict[str, str]]) -> Check:
    def passes(check: str, world: int) -> None:
        trace = results(world)[check]
        if trace:
            pytest.fail(trace, pytrace=False)

    return passes


worlds = pytest.mark.parametrize("world", [2, 4])


@worlds
def test_dtensors_step_as_plain_tensors(world: int, passes: Check) -> None:
    passes("dtensor", world)


@worlds
def test_fsdp_gives_the_bits_of_one_process(world: int, passes: Check) -> None:
    passes("fsdp", world)


@worlds
def test_ddp_gives_the_bits_of_one_process(world: int, passes: Check) -> None:
    passes("ddp", world)


@worlds
def test_zero_redundancy_gives_the_bits_of_one_process(world: int, passes: Check) -> None:
    passes("zero", world)


@worlds
def test_the_state_of_adam_raises_in_every_process(world: int, passes: Check) -> None:
    passes("refusal", world)


@pytest.mark.parametrize(("saved", "loaded"), [(2, 2), (2, 1), (2, 4), (4, 2)])
def test_a_checkpoint_resumes_on_another_number_of_processes(
    saved: int, loaded: int, passes: Check, folder: Path
) -> None:
    passes("save", saved)
    found = launch("resume", loaded, folder / f"{saved}-{loaded}", folder / str(saved))
    if found["resume"]:
        pytest.fail(found["resume"], pytrace=False)


@worlds
def test_the_comparison_notices_a_difference(
    world: int, results: Callable[[int], dict[str, str]]
) -> None:
    """A difference in the last bits of the learning rate is reported, with its process."""
    trace = results(world)["wrong"]
    assert trace.startswith("process 0 of ")
    assert "wrong: param of parameter 0 of group 0 is" in trace
