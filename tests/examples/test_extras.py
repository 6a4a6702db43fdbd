"""An example names the extras to install if a package is missing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.py") if "needs(" in path.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "extras.py"])
def test_a_missing_package_is_named_with_the_extras_to_install(name: str) -> None:
    source = (EXAMPLES / name).read_text()
    extras = re.findall(r"""pip install -c constraints.txt '\.\[(.*)\]'""", source)
    assert len(extras) == 1
    assert f'with needs("{extras[0]}"):' in source
    package = "sklearn" if "sklearn" in source else "matplotlib"
    program = (
        f"import runpy, sys; sys.modules[{package!r}] = None; sys.path.insert(0, {str(EXAMPLES)!r})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", f"{program}; runpy.run_path({str(EXAMPLES / name)!r})"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 2, ran.stderr
    assert f"needs {package}" in ran.stderr
    assert f"'.[{extras[0]}]'" in ran.stderr
