"""An output file that cannot be written raises before anything is measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("module", ["cpu_step", "jax_step"])
def test_an_unwritable_output_raises(
    module: str, tmp_path: Path, called: Callable[..., list[Any]]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    wrong = {
        ("--json", "file/new.json"): "cannot write",
        ("--json", "folder"): "cannot write",
        ("--plot", "file/new.png"): "cannot write",
        ("--plot", "new.nothing"): "cannot draw",
    }
    done = called(module, [[option, str(tmp_path / path)] for option, path in wrong])
    for (status, output), why in zip(done, wrong.values(), strict=True):
        assert status == 2
        assert why in output
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]
