"""Without a kernel `step_` gives the reason and changes nothing; a fork waits for the compiler."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes  # noqa: F401 - gives NumPy its bfloat16
import numpy as np
import pytest

from adamax_core import Hyperparameters
from adamax_fused import init, rows, step_
from adamax_fused.availability import DTYPES, has_numba, missing
from kernel_process import run

HP = Hyperparameters(0.5)

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[rows.Dtypes]]:
    """Make compilation fail for float32; yields the dtypes requested so far."""
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
    """Arrays of the dtypes that do compile are not stepped either."""
    params: dict[str, Any] = {"a": np.ones(3), "b": np.ones(2, np.float32), "c": np.ones(1)}
    state = init(params)
    for _ in range(2):
        with pytest.raises(RuntimeError) as raised:
            step_(params, {key: array.copy() for key, array in params.items()}, state, HP)
        assert str(raised.value) == (
            "step_ needs the kernel, but compiling or caching it failed: PermissionError: "
            "[Errno 13] Permission denied: 'kernel.nbi' (set NUMBA_CACHE_DIR to a writable folder)"
            "; adamax_core.step does not need it"
        )
    assert all((array == 1).all() for array in params.values())
    assert all(count == 0 for count in state.step.values())
    assert not any(array.any() for tree in state[1:] for array in tree.values())
    assert failing.count(("float32",) * 4) == 1


@pytest.mark.usefixtures("failing")
def test_missing_gives_the_reason_for_the_requested_dtypes() -> None:
    assert missing(("float64",) * 4) is None
    assert "kernel.nbi" in str(missing(("float64", "float32", "float64", "float64")))


def test_the_kernel_compiles_for_each_dtype() -> None:
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


def test_without_numba_the_error_says_what_to_install() -> None:
    printed = run("sys.modules['numba'] = None" + REFUSED)
    assert printed == (
        "step_ needs the kernel, but Numba is not installed; from a checkout: "
        "pip install -c constraints.txt '.[fused]'; "
        "adamax_core.step does not need it\n"
    )


def test_unwritable_cache_folders_raise() -> None:
    """Numba finds no writable folder for its cache."""
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
        "step_ needs the kernel, but compiling or caching it failed: RuntimeError: cannot cache "
    )


def test_a_module_without_a_file_is_not_numba(monkeypatch: pytest.MonkeyPatch) -> None:
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
"""Stops just before the modules that need Numba are imported."""

COMPILES = """
from adamax_fused import rows
prepare = rows.prepare
def begin(dtypes):
    compiling.set()
    prepare(dtypes)
rows.prepare = begin
"""
"""Stops when Numba is imported, just before it compiles."""


@pytest.mark.slow
@forks
@pytest.mark.parametrize("moment", [IMPORTS, COMPILES], ids=["imports", "compiles"])
def test_a_fork_waits_for_a_thread_that_compiles(moment: str, tmp_path: Path) -> None:
    """Else the child could wait forever for a lock of Numba that no thread in it releases."""
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
