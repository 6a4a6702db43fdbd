"""An output file that cannot be written raises before anything is measured."""

from pathlib import Path
from types import ModuleType

import cpu_step
import jax_step
import pytest

from benchmark_scripts import called


@pytest.mark.parametrize("module", [cpu_step, jax_step], ids=lambda module: module.__name__)
def test_an_unwritable_output_raises(module: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    wrong = {
        ("--json", "file/new.json"): "cannot write",
        ("--json", "folder"): "cannot write",
        ("--plot", "file/new.png"): "cannot write",
        ("--plot", "new.nothing"): "cannot draw",
    }
    for (option, path), why in wrong.items():
        status, output = called(module, option, str(tmp_path / path))
        assert status == 2
        assert why in output
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]
