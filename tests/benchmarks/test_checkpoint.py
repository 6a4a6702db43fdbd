"""The comparison with dd prints a speed for each, and the memory of both directions."""

import re
import shutil
from pathlib import Path

import pytest

from benchmark_scripts import ran


@pytest.mark.skipif(shutil.which("dd") is None, reason="dd is missing")
def test_it_prints_speeds_and_memory(tmp_path: Path) -> None:
    arguments = ("--folder", tmp_path, "--megabytes", 1, "--tensors", 2, "--rounds", 1)
    done = ran("checkpoint.py", *arguments)
    assert done.returncode == 0, done.stderr
    speeds = re.findall(r"^(.*?) +\d+\.\d\d GiB/s", done.stdout, re.MULTILINE)
    assert speeds == ["save", "dd, writing", "load", "dd, reading"]
    assert re.search(r"^memory beyond the state: -?\d+ MiB to save it$", done.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []
