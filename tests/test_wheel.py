"""The wheel holds all packages, and they work from it without the source tree."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOMES = {
    "adamax_checkpoint": "",
    "adamax_core": "",
    "adamax_fused": "backends",
    "adamax_jax": "backends",
    "adamax_torch": "backends",
    "adamax_conformance": "conformance",
}
PROGRAM = """
import sys
import adamax_checkpoint, adamax_core, adamax_fused, adamax_jax, adamax_torch, adamax_conformance
assert all(m.__file__.startswith(sys.argv[1]) for m in
           (adamax_checkpoint, adamax_core, adamax_fused, adamax_jax, adamax_torch,
            adamax_conformance))
for name in ("numpy", "fused", "torch", "jax"):
    report = adamax_conformance.check(name, clauses=["A-5"], dtypes=["float32"])
    report.raise_for_status()
print("works")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_every_module_is_in_the_wheel_under_its_own_name(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info" not in name}
    expected = {
        str(path.relative_to(ROOT / folder))
        for package, folder in HOMES.items()
        for path in (ROOT / folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected |= {path.name for path in (ROOT / "conformance").glob("*.py")}
    expected |= {path.name for path in ROOT.glob("adamax_*.py")}
    assert names == expected


@pytest.mark.slow
def test_packages_work_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.stdout.strip() == "works", ran.stderr
