"""Where there is no kernel `step_` says why and changes nothing; a fork waits for the compiler."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes  # noqa: F401 - gives NumPy its bfloat16
import numpy as np
import pytest

from adamax_core import Hyperparameters
from adamax_fused import init, rows, step_
from adamax_fused.availability import DTYPES, has_numba, missing

Run = Callable[..., str]

HP = Hyperparameters(0.5)

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[rows.Dtypes]]:
    """A compiler that fails for float32, and what it was asked for."""
    asked = list[rows.Dtypes]()

    def fail(dtypes: rows.Dtypes) -> None:
        asked.append(dtypes)
        if "float32" in dtypes:
            raise PermissionError(13, "Permission denied", "kernel.nbi")

    monkeypatch.setattr(rows, "prepare", fail)
    missing.cache_clear()
    yield asked
    missing.cache_clear()


def test_a_kernel_that_cannot_be_compiled_is_an_error_and_nothing_changes(
    failing: list[rows.Dtypes],
) -> None:
    """The arrays that could be stepped are not stepped either."""
    params: dict[str, Any] = {"a": np.ones(3), "b": np.ones(2, np.float32), "c": np.ones(1)}
    state = init(params)
    for _ in range(2):
        with pytest.raises(RuntimeError) as raised:
            step_(params, {key: array.copy() for key, array in params.items()}, state, HP)
        assert str(raised.value) == (
            "step_ needs the kernel, but it could not be compiled and kept: PermissionError: "
            "[Errno 13] Permission denied: 'kernel.nbi' (NUMBA_CACHE_DIR names a folder of your "
            "own to keep it in); adamax_core.step needs none"
        )
    assert all((array == 1).all() for array in params.values())
    assert all(count == 0 for count in state.step.values())
    assert not any(array.any() for tree in state[1:] for array in tree.values())
    assert failing.count(("float32",) * 4) == 1


@pytest.mark.usefixtures("failing")
def test_what_is_missing_is_said_for_the_dtypes_that_are_asked_for() -> None:
    assert missing(("float64",) * 4) is None
    assert "kernel.nbi" in str(missing(("float64", "float32", "float64", "float64")))


def test_the_kernel_is_there_for_each_dtype() -> None:
    assert [missing((dtype,) * 4) for dtype in DTYPES] == [None] * len(DTYPES)


REFUSED = """
params = np.ones(2)
state = init(params)
try:
    step_(params, np.ones(2), state, HP)
except RuntimeError as error:
    print(error)
assert (params == 1).all()
assert state.step == 0
assert not state.exp_avg.any()
assert step_({"none": params}, {"none": None}, init({"none": params}), HP).step == {"none": 0}
"""


def test_without_numba_the_error_says_what_to_install(run: Run) -> None:
    printed = run("sys.modules['numba'] = None" + REFUSED)
    assert printed == (
        "step_ needs the kernel, but Numba is not installed: pip install 'adamax-spec[fused]'; "
        "adamax_core.step needs none\n"
    )


def test_folders_that_cannot_be_written_are_an_error(run: Run) -> None:
    """Numba looks for a folder where it can make a file, and finds none."""
    printed = run(
        """
import tempfile
def refused(*arguments, **options):
    raise PermissionError(13, "Permission denied")
tempfile.TemporaryFile = refused
"""
        + REFUSED
    )
    assert printed.startswith(
        "step_ needs the kernel, but it could not be compiled and kept: RuntimeError: cannot cache "
    )


def test_a_module_of_no_file_is_no_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_numba()
    monkeypatch.setitem(sys.modules, "numba", ModuleType("numba"))
    assert not has_numba()


IMPORTS = """
class Finder:
    def find_spec(name, path=None, target=None):
        if name == "adamax_fused.rows":
            compiling.set()
sys.meta_path.insert(0, Finder)
"""
"""What needs Numba is about to be imported."""

COMPILES = """
from adamax_fused import rows
prepare = rows.prepare
def begin(dtypes):
    compiling.set()
    prepare(dtypes)
rows.prepare = begin
"""
"""Numba is imported, and is about to compile."""


@forks
@pytest.mark.parametrize("moment", [IMPORTS, COMPILES], ids=["imports", "compiles"])
def test_a_fork_waits_for_a_thread_that_compiles(moment: str, run: Run, tmp_path: Path) -> None:
    """The child could wait for a lock of Numba for ever, which no thread of it would release."""
    run(
        "compiling = threading.Event()"
        + moment
        + """
signal.alarm(100)
thread = threading.Thread(target=train)
thread.start()
compiling.wait()
child = os.fork()
if not child:
    signal.alarm(60)
    train(dtype=np.float64)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
thread.join()
""",
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    assert list(tmp_path.rglob("*.nbc"))  # it has compiled
