"""The skeletons that `init` writes: they build, run, and are conformant."""

import ast
import io
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adamax_conformance import Status, Verdict, check
from adamax_conformance.cli import app
from adamax_conformance.exchange.wire import encode_hyperparameters
from adamax_conformance.protocol.server import serve
from adamax_conformance.protocol.skeletons import SKELETONS, adamax_harness
from adamax_conformance.registry import find
from adamax_core import Hyperparameters

RUNNER = CliRunner()


@pytest.mark.parametrize("language", SKELETONS)
def test_init_writes_one_file_and_says_what_to_run(language: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    result = RUNNER.invoke(app, ["init", "--lang", language, str(folder)])
    assert result.exit_code == 0, result.output
    skeleton = SKELETONS[language]
    assert [path.name for path in folder.iterdir()] == [skeleton.file]
    text = (folder / skeleton.file).read_text(encoding="utf-8")
    assert "your kernel here" in text
    assert f"adamax-conformance check 'cmd:{skeleton.run}'" in result.output
    assert f"cd {folder}" in result.output
    assert skeleton.build in result.output


def test_init_overwrites_a_file_only_with_force(tmp_path: Path) -> None:
    file = tmp_path / SKELETONS["rust"].file
    file.write_text("mine")
    arguments = ["init", "--lang", "rust", str(tmp_path)]
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 2
    assert "already exists: --force overwrites it" in " ".join(result.output.split())
    assert file.read_text() == "mine"
    assert RUNNER.invoke(app, [*arguments, "--force"]).exit_code == 0
    assert "your kernel here" in file.read_text()


def test_init_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = RUNNER.invoke(app, ["init", "--lang", "python", str(tmp_path / "file" / "below")])
    assert result.exit_code == 2
    assert "cannot write" in result.output


def works(program: str) -> bool:
    """Is the program installed, and does it run? rustup's rustc fails without a toolchain."""
    if shutil.which(program) is None:
        return False
    return subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("language", SKELETONS)
def test_skeleton_is_conformant_as_it_is(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skeleton = SKELETONS[language]
    program = shlex.split(skeleton.build or skeleton.run)[0]
    if not works(program):
        pytest.skip(f"the {language} skeleton is not judged: {program} is missing or does not run")
    assert RUNNER.invoke(app, ["init", "--lang", language, str(tmp_path)]).exit_code == 0
    monkeypatch.chdir(tmp_path)
    if skeleton.build:
        warn = ["-Wall", "-Wextra", "-Werror"] if language == "c++" else []
        subprocess.run([*shlex.split(skeleton.build), *warn], check=True, timeout=300)
    report = check(find(f"cmd:{skeleton.run}", timeout=60))
    assert report.conformant, (report.broken, report.counts, report.failed_clauses)
    assert not report.missing
    ran = {result.dtype for result in report.results if result.status is Status.PASS}
    assert ran == {"float32", "float64"}


def test_the_judge_runs_the_kernel_in_the_file(tmp_path: Path) -> None:
    source = SKELETONS["python"].source
    wrong = source.replace(
        "decayed, size = beta2 * u, abs(g) + eps", "decayed, size = beta2 * u + eps, abs(g)"
    )
    assert wrong != source
    file = tmp_path / "wrong.py"
    file.write_text(wrong, encoding="utf-8")
    name = f"cmd:{shlex.join([sys.executable, str(file)])}"
    report = check(find(name, timeout=60), clauses=["A-4", "A-5"], dtypes=["float32"])
    assert report.failed_clauses == ("A-5",)


@pytest.mark.parametrize(
    ("line", "wrong", "clause"),
    [
        ("if not 0 <= hp[name] < limit:", "if hp[name] != hp[name]:", "H-1"),
        ("if shape != expected:", "if not shape:", "S-10"),
        ("slot.step + 1", "slot.step + 2", "A-3"),
    ],
)
def test_the_harness_hides_no_fault_of_the_kernel(
    line: str, wrong: str, clause: str, tmp_path: Path
) -> None:
    """What is refused, and the count, are the kernel's."""
    source = SKELETONS["python"].source
    assert source.count(line) == 1
    assert source.index(line) < source.index("---- the harness ----")
    file = tmp_path / "wrong.py"
    file.write_text(source.replace(line, wrong), encoding="utf-8")
    name = f"cmd:{shlex.join([sys.executable, str(file)])}"
    report = check(find(name, timeout=60), clauses=[clause], dtypes=["float32"])
    assert report.failed_clauses == (clause,)


def test_python_skeleton_is_written_for_python_3_8(tmp_path: Path) -> None:
    ast.parse(SKELETONS["python"].source, feature_version=(3, 8))
    if not works(python := "python3.8"):
        pytest.skip("python3.8 is missing or does not run: only the syntax was tested")
    file = tmp_path / "harness.py"
    file.write_text(SKELETONS["python"].source, encoding="utf-8")
    report = check(find(f"cmd:{python} {file}", timeout=60), clauses=["A-5"], dtypes=["float32"])
    assert report.verdict is Verdict.PARTIAL


def test_python_skeleton_answers_as_the_reference_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = {"dtype": "float64", "shape": [2]}
    params = {"w": {**shape, "bits": "3ff0000000000000" * 2}}
    hp = encode_hyperparameters(Hyperparameters(lr=0.125, betas=(0.0, 0.5), weight_decay=0.5))
    run = {
        "command": "run", "hyperparameters": [hp] * 2, "params": params, "state": None,
        "state_dtype": None, "undecayed": [], "grads": [params, {}],
    }  # fmt: skip
    first = {"w": {"step": 1, "exp_avg": params["w"], "exp_inf": params["w"]}}
    foreign = {"w": {"step": 1, "exp_avg": params["w"], "exp_avg_sq": params["w"]}}
    short = {"w": {**shape, "shape": [1], "bits": "3ff0000000000000"}}
    requests: list[dict[str, Any]] = [
        {"command": "hello", "version": 1},
        run,
        {**run, "state": first},
        {**run, "state": foreign},
        {**run, "grads": [short, {}]},
        {**run, "hyperparameters": [{**hp, "beta1": "3ff0000000000000"}] * 2},
        {"command": "stop"},
    ]
    lines = "".join(json.dumps({"id": i, **each}) + "\n" for i, each in enumerate(requests[:-1]))
    lines += json.dumps(requests[-1]) + "\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    adamax_harness.main()
    mine = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    out = io.BytesIO()
    serve(find("numpy"), io.BytesIO(lines.encode()), out)
    reference = [json.loads(line) for line in out.getvalue().splitlines()]
    assert mine[1:3] == reference[1:3]
    for one, other in zip(mine[3:], reference[3:], strict=True):
        assert (one["id"], one["error"]["kind"]) == (other["id"], other["error"]["kind"])
    broken = adamax_harness.answer({"command": "run"})
    assert broken == {"error": {"kind": "internal", "message": "KeyError: 'params'"}}


@pytest.mark.parametrize(
    ("dtype", "bits", "values"),
    [
        ("float16", "3c00c4000001", [1.0, -4.0, 2.0**-24]),
        ("bfloat16", "3f80c0800001", [1.0, -4.0, 2.0**-133]),
        ("float32", "3f80000000000001", [1.0, 2.0**-149]),
        ("float64", "3ff0000000000000", [1.0]),
    ],
)
def test_python_skeleton_reads_every_real_dtype(dtype: str, bits: str, values: list[float]) -> None:
    assert adamax_harness.decode({"dtype": dtype, "shape": [1], "bits": bits}).values == values
    assert (dtype in adamax_harness.CODES) == (dtype in adamax_harness.OFFER["dtypes"])  # type: ignore[operator]  # a list of names
