"""Where there is no kernel, steps are those of the reference or the loop, after one warning."""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch

import adamax_core
from adamax_core import Hyperparameters
from adamax_fused import availability, step_, table
from adamax_torch import Adamax

HP = Hyperparameters(0.5)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A compiler that fails; what was found out before is found out again after."""

    def fail(_: object) -> None:
        raise PermissionError(13, "Permission denied", "kernel.nbi")

    def forget() -> None:
        availability.missing.cache_clear()
        availability._told.clear()

    monkeypatch.setattr(table, "prepare", fail)
    forget()
    yield
    forget()


@pytest.mark.usefixtures("failing")
def test_one_warning_says_why_and_steps_are_taken_all_the_same() -> None:
    params = {"w": np.ones(3), "b": np.ones(2, np.float32), "n": np.ones(1)}
    grads = {"w": np.ones(3), "b": np.ones(2, np.float32), "n": None}
    state = adamax_core.init(params)
    expected, expected_state = adamax_core.step(params, grads, state, HP)
    with pytest.warns(RuntimeWarning) as told:
        state = step_(params, grads, state, HP)
    (warning,) = told
    assert str(warning.message) == (
        "the fused kernel of Adamax is not used, and steps are slower: it could not be compiled "
        "and kept: PermissionError: [Errno 13] Permission denied: 'kernel.nbi'"
    )
    assert warning.filename == __file__
    assert all((params[key] == expected[key]).all() for key in params)
    assert state.step == expected_state.step
    assert all((state.exp_avg[key] == expected_state.exp_avg[key]).all() for key in params)


@pytest.mark.usefixtures("failing")
def test_the_adapter_falls_back_or_says_why() -> None:
    param = torch.nn.Parameter(torch.ones(2))
    with pytest.warns(RuntimeWarning, match="is not used, and steps are slower") as told:
        optimizer = Adamax([param], 0.5)
    assert len(told) == 1
    param.grad = torch.ones(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
        with pytest.raises(RuntimeError, match=r"fused=True, but it could not be compiled and kep"):
            Adamax([param], fused=True)
    assert param.tolist() == [0.5, 0.5]


TRAIN = """
import os, tempfile, threading, warnings
import numpy as np, torch
import adamax_core
from adamax_core import Hyperparameters
from adamax_torch import Adamax
from adamax_fused import availability, step_

hp = Hyperparameters(0.5, betas=(0.0, 0.5), eps=0.0)  # of which every step is exact

def train(size=3):
    param = torch.nn.Parameter(torch.ones(size))
    optimizer = Adamax([param], hp.lr, hp.betas, hp.eps)
    array = np.ones(size)
    state = adamax_core.init(array)
    for _ in range(2):
        param.grad = torch.ones(size)
        optimizer.step()
        state = step_(array, np.ones(size), state, hp)
    assert (param == 0).all(), param
    assert (array == 0).all(), array
    assert state.step == 2
    return optimizer
"""


def run(source: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", TRAIN + source],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_folders_that_cannot_be_written_give_one_warning() -> None:
    """Numba looks for a folder where it can make a file, and finds none."""
    source = """
def refused(*arguments, **options):
    raise PermissionError(13, "Permission denied")
tempfile.TemporaryFile = refused
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    train()
    train(5)
messages = [str(warning.message) for warning in told if "Adamax" in str(warning.message)]
assert len(messages) == 1, messages
assert "cannot cache function" in messages[0], messages
"""
    run(source)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_a_forked_process_goes_on(layer: str) -> None:
    """GNU OpenMP ends a process that used it and uses it again after a fork."""
    source = """
optimizer = train(100_000)
child = os.fork()
if not child:
    torch.set_num_threads(1)  # its own do not outlive a fork either
    train(100_000)
    optimizer.step()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
train(100_000)
"""
    run(source, NUMBA_THREADING_LAYER=layer)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_that_is_forked_in_the_middle_of_a_step_goes_on() -> None:
    source = """
train(100_000)
from adamax_fused.table import LOCK
with LOCK:  # as another thread would hold it
    child = os.fork()
if not child:
    torch.set_num_threads(1)
    train(100_000)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    run(source, NUMBA_THREADING_LAYER="workqueue")


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_several_threads_may_step_at_once(layer: str) -> None:
    source = """
train(100_000)
failed = []
def work():
    try:
        for _ in range(20):
            train(100_000)
            availability.missing.cache_clear()  # as for dtypes that come anew
    except BaseException as error:
        failed.append(error)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failed, failed
"""
    run(source, NUMBA_THREADING_LAYER=layer)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_number_of_threads_is_numbas(threads: str) -> None:
    source = f"""
import numba
train(200_000)
assert numba.get_num_threads() == {threads}
"""
    run(source, NUMBA_NUM_THREADS=threads)


def test_without_numba_one_warning_says_what_to_install() -> None:
    source = """
import sys, warnings
sys.modules["numba"] = None
import numpy as np, adamax_core
from adamax_core import Hyperparameters
from adamax_fused import step_
params = [np.ones(2)]
state = adamax_core.init(params)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for _ in range(2):
        state = step_(params, [np.ones(2)], state, Hyperparameters(0.5, eps=0.0))
print(*[each.message for each in told], told[0].filename, params[0].round(6), state.step)
"""
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == (
        "the fused kernel of Adamax is not used, and steps are slower: Numba is not installed: "
        "pip install 'adamax-spec[fused]' <string> [0. 0.] [2]"
    )
