"""A process that has made or stepped an optimizer may fork; steps respect thread limits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("processes.py")


def run(*command: str, **environment: str | None) -> str:
    """The output of a process; removes environment variables that are None."""
    changed = os.environ | environment
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={name: value for name, value in changed.items() if value is not None},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("parent", ["makes", "steps"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_train_whatever_their_parent_did(method: str, parent: str) -> None:
    lines = run(str(SCRIPT), method, parent).splitlines()
    assert lines == ["[10000000.0]", "([True, True], [0.5])", "0"]


THREADS = """
import os, threading, torch
from adamax_torch import Adamax
param = torch.nn.Parameter(torch.ones(3_000_000))
param.grad = torch.ones(3_000_000)
optimizer = Adamax([param], 0.25, (0.0, 0.5), 0.0)
for _ in range(3):
    optimizer.step()
assert param.unique().tolist() == [0.25], param
print(threading.active_count(), len(os.listdir("/proc/self/task")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux tells its threads there")
def test_one_thread_means_the_callers() -> None:
    """For a process limited to one thread by its environment or by PyTorch; two mean a helper."""
    assert run("-c", THREADS, OMP_NUM_THREADS="1") == "1 1\n"
    limits = (f"torch.set_num_threads({count})\n{THREADS}" for count in (1, 2))
    printed = run("-c", "import torch\n" + "".join(limits)).splitlines()
    assert [line.split()[0] for line in printed] == ["1", "2"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux tells its threads there")
def test_torchrun_gives_each_process_one_thread(tmp_path: Path) -> None:
    """torchrun sets OMP_NUM_THREADS=1 if it is not set."""
    script = tmp_path / "train.py"
    script.write_text(THREADS)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    assert run(*launch, OMP_NUM_THREADS=None).split() == ["1", "1", "1", "1"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_two_hundred_forks_while_another_thread_steps() -> None:
    source = """
import os, threading, torch
from adamax_torch import Adamax

def made(size):
    param = torch.nn.Parameter(torch.empty(size))
    optimizer = Adamax([param], 0.25, (0.0, 0.5), 0.0)
    def train():
        with torch.no_grad():
            param.numpy(force=True).fill(1)
        param.grad = torch.empty(size)
        param.grad.numpy().fill(1)
        optimizer.step()
        assert (param.detach().numpy() == 0.75).all()
    return train

torch.set_num_threads(2)
own, stop = made(1_200_000), threading.Event()
def steps():
    train = made(1_200_000)
    while not stop.is_set():
        train()
thread = threading.Thread(target=steps)
thread.start()
own()
for fork in range(200):
    child = os.fork()
    if not child:
        own()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, fork
stop.set()
thread.join()
print("done")
"""
    assert run("-W", "ignore::DeprecationWarning", "-c", source) == "done\n"
