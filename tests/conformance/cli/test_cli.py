"""The command: what it prints and how it exits."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console
from typer.testing import CliRunner

from adamax_conformance import check
from adamax_conformance.cli import app
from adamax_conformance.reports.pretty import show
from adamax_conformance.subjects.reference import backend as reference

RUNNER = CliRunner()
MAIN = [sys.executable, "-c", "from adamax_conformance.cli import main; main()"]
GLUE = """
from dataclasses import replace
import adamax_core
from adamax_conformance.dialects import Dialect
from adamax_conformance.subjects.reference import backend
base = backend()
idle = replace(base, name="idle", step=lambda p, g, s, hp: (dict(p), s))
bracketed = replace(base, name="[/red]mine[bold]", dtypes=("float32",))
def option(x): return bracketed
narrow = replace(base, name="narrow", dtypes=("float64",))
def no_step(*_args): raise RuntimeError("no device")
keras = backend(Dialect("outside"), "keras")
def lenient(p, g, s, hp):
    try: hp.validate()
    except ValueError: return dict(p), s
    return base.step(p, g, s, hp)
def unvalidated(p, hp, **more): return adamax_core.init(dict(p))
trusting = replace(base, name="trusting", init=unvalidated, step=lenient)
broken = replace(base, name="broken", step=no_step)
"""


@pytest.fixture(autouse=True)
def glue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "cli_glue.py").write_text(GLUE)
    (tmp_path / "cli_exit.py").write_text("raise SystemExit(0)")


ONE = ["--clause", "A-4", "--dtype", "float32"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["numpy", *ONE], 0, "numpy: passes in part; partial run: 1 of 39 clauses, 4 cases"),
        (["torch.optim", "--clause", "S-8"], 0, "torch.optim: deviates as documented in S-8"),
        (["torch.optim", "--clause", "S-8", "--strict"], 1, "deviates as documented"),
        (
            ["py:cli_glue:idle", *ONE],
            1,
            "idle: not conformant in A-4 arithmetic: not conformant (A-4), judged in part look",
        ),
        (["nope"], 2, "unknown backend 'nope'"),
        (["numpy", "--clause", "Z-1"], 2, "unknown clause 'Z-1'"),
        (["numpy", "--dtype", "int8"], 2, "unknown dtype 'int8'"),
        (["numpy", "--clause", "A-9", "--dtype", "float32"], 2, "no case matches"),
        (["numpy", "--clause", "S-11"], 2, "no case matches"),
        (["numpy", "--seed", "-1"], 2, "greater than or equal to 0"),
        (["py:cli_glue:broken", *ONE], 3, "RuntimeError: no device"),
        (["py:cli_glue:gone.x", *ONE], 2, "has no 'gone.x'"),
        (["numpy?x=1", *ONE], 2, "has no option 'x'"),
        (["torch?foreach", *ONE], 2, "foreach has no value; write foreach=true"),
        (["torch?foreach=yes", *ONE], 2, "foreach = 'yes' must be true or false"),
        (["py:cli_exit:x", *ONE], 3, "SystemExit: 0"),
        (["numpy", "--clause", "A-10"], 4, "numpy: incomplete; no case applies"),
        (["py:cli_glue:narrow", *ONE], 4, "incomplete; required, but not run: A-4"),
        (["numpy", "py:cli_glue:idle", "py:cli_glue:narrow", *ONE], 1, "numpy: passes in part"),
    ],
)
def test_exit_code_and_text(arguments: list[str], code: int, text: str) -> None:
    result = RUNNER.invoke(app, ["check", *arguments])
    assert result.exit_code == code, result.output
    assert text in " ".join(result.output.split())
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["keras", "--clause", "A-5"], 1, "to judge by this dialect: `--dialect found`"),
        (["keras", "--clause", "A-5", "--dialect", "found"], 0,
         "keras: Adamax with eps outside the maximum; otherwise passes in part"),
        (["keras", "--clause", "A-5", "--dialect", "eps=outside"], 0, "otherwise passes in part"),
        (["keras", "--clause", "A-5", "--dialect", "eps=floor"], 1, "conformant but for A-5"),
        (["keras", "--clause", "A-5", "--dialect", "eps=inner"], 2, "no alternative 'inner'"),
        (["trusting", "--clause", "A-5", "--clause", "H-1"], 1, "not conformant in H-1"),
        (["trusting", "--clause", "A-5", "--clause", "H-1", "--profile", "kernel"], 0,
         "trusting: passes in part as a kernel"),
        (["keras", "--clause", "A-5", "--profile", "kernel"], 1, "not conformant as a kernel"),
        (["narrow", "--clause", "A-5", "--profile", "kernel"], 4, "incomplete as a kernel"),
        (["keras", "--profile", "gpu"], 2, "'gpu' is not one of 'optimizer', 'kernel'"),
    ],
)  # fmt: skip
def test_exit_code_is_that_of_dialect_and_profile(
    arguments: list[str], code: int, text: str
) -> None:
    name, *others = arguments
    command = ["check", f"py:cli_glue:{name}", "--dtype", "float32", *others]
    result = RUNNER.invoke(app, command)
    assert result.exit_code == code, result.output
    assert text in " ".join(result.output.replace("│", " ").split())


def test_one_run_writes_any_number_of_reports(tmp_path: Path) -> None:
    page, suite = tmp_path / "report.html", tmp_path / "report.xml"
    page.write_text("old")
    files = ["--report", f"html={page}", "--report", f"junit={suite}"]
    result = RUNNER.invoke(app, ["check", "py:cli_glue:keras", "--clause", "A-5", *files])
    assert result.exit_code == 1
    assert "look at A-5 first" in result.output
    assert page.read_text().startswith("<!doctype html>")
    assert ET.parse(suite).getroot().tag == "testsuites"  # noqa: S314 - it is our own


@pytest.mark.parametrize(
    ("reports", "message"),
    [
        (["pdf=x"], "--report pdf=x: write FORMAT=FILE with a format of pretty, json"),
        (["html"], "--report html: write FORMAT=FILE"),
        (["html=/gone/x.html"], "cannot write to /gone/x.html"),
        (["html=/"], "cannot write to /"),
        (["html=x", "json=x"], "x is asked for twice"),
    ],
)
def test_report_that_cannot_be_written_is_refused_before_the_work(
    reports: list[str], message: str
) -> None:
    options = [part for each in reports for part in ("--report", each)]
    result = RUNNER.invoke(app, ["check", "numpy", *options])
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert "clause" not in result.output


def test_table_counts_every_case_once() -> None:
    result = RUNNER.invoke(app, ["check", "numpy", "torch.optim", "--clause", "H-1"])
    lines = {line.split("│")[1].strip(): line for line in result.output.splitlines() if "│" in line}
    rows = {name: [int(n) for n in line.split("│")[2:4]] for name, line in lines.items()
            if name[:1] in "✓✗≠?·s!□" or name == "cases, all"}  # fmt: skip
    totals = rows.pop("cases, all")
    assert [sum(row[i] for row in rows.values()) for i in range(2)] == totals == [6, 6]
    assert "✓4 ≠2" in lines["H-1  domain of lr"]


@pytest.mark.parametrize(("width", "tables"), [(200, 1), (40, 2), (30, 3)])
def test_narrow_terminal_gets_several_tables(width: int, tables: int) -> None:
    report = check("numpy", clauses=["H-1"], dtypes=["float32"])
    reports = [replace(report, backend=name) for name in ("numpy", "torch", "torch.optim")]
    printed = io.StringIO()
    show(reports, Console(width=width, file=printed))
    assert printed.getvalue().count("Adamax conformance") == tables


def test_json_is_one_document_with_every_result() -> None:
    result = RUNNER.invoke(app, ["check", "numpy", "optax", "--clause", "H-2", "--format", "json"])
    document = json.loads(result.stdout)
    assert [report["backend"] for report in document["reports"]] == ["numpy", "optax"]
    for report in document["reports"]:
        assert sum(report["counts"].values()) == report["cases"] == len(report["results"]) == 6
    assert document["reports"][1]["verdict"] == "deviates as documented"


def test_verbose_explains_deviations_and_what_is_unsupported() -> None:
    result = RUNNER.invoke(
        app, ["check", "optax", "--verbose", "--clause", "A-1", "--clause", "H-1"]
    )
    words = " ".join(result.output.split())
    assert "≠ H-1/negative[float32]: no validation: a negative learning rate ascends" in words
    assert "· A-1/maximize[float32]: no maximize" in words


@pytest.mark.slow
def test_many_failures_are_cut_short_unless_asked() -> None:
    idle = replace(reference(), name="idle", step=lambda p, _g, s, _hp: (dict(p), s))
    report = check(idle, clauses=["A-4", "A-5", "A-7", "S-9"])

    def printed(*, verbose: bool) -> str:
        stream = io.StringIO()
        show([report], Console(width=80, file=stream), verbose=verbose)
        return stream.getvalue()

    assert "more: --verbose shows them all" in printed(verbose=False)
    assert "shows them all" not in printed(verbose=True)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ([], "torch.optim"),
        (["clauses"], "infinity norm"),
        (["cases"], "S-2/missing-once"),
        (["features"], "decoupled_weight_decay"),
    ],
)
def test_list(what: list[str], text: str) -> None:
    result = RUNNER.invoke(app, ["list", *what])
    assert result.exit_code == 0
    assert text in result.output


def test_help_has_exit_codes_and_an_example() -> None:
    result = RUNNER.invoke(app, ["check", "--help"])
    words = " ".join(result.output.split())
    assert "0 conformant, or deviating exactly as documented" in words
    assert "Example: adamax-conformance check" in words


def test_output_of_a_backend_is_not_mixed_into_the_report(tmp_path: Path) -> None:
    (tmp_path / "cli_loud.py").write_text(
        "from dataclasses import replace\n"
        "from adamax_conformance.subjects.reference import backend\n"
        "base = backend()\nprint('imported')\n"
        "def step(*args):\n    print('stepped')\n    return base.step(*args)\n"
        "loud = replace(base, name='loud', step=step)\n"
    )
    result = RUNNER.invoke(app, ["check", "py:cli_loud:loud", *ONE, "--format", "json"])
    assert json.loads(result.stdout)["reports"][0]["backend"] == "loud"
    assert "imported\nstepped\n" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["diagnose", "py:cli_glue:bracketed"], "Dialect of [/red]mine[bold], probed"),
        (["check", "py:cli_glue:bracketed", *ONE], "[/red]mine[bold]: passes in part"),
        (
            ["fuzz", "py:cli_glue:option?x=[/red]", "--examples", "1", "--dtype", "float32"],
            "py:cli_glue:option?x=[/red], seed 0",
        ),
    ],
)
def test_brackets_in_a_name_are_not_markup(arguments: list[str], text: str) -> None:
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert text in " ".join(result.output.split())


def test_unwritable_file_of_expectations_is_refused_before_the_work() -> None:
    result = RUNNER.invoke(app, ["check", "py:cli_glue:idle", "--write-expect", "/gone/e.toml"])
    assert result.exit_code == 2
    assert "/gone/e.toml: cannot write to folder" in result.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", [["list"], ["diagnose", "numpy"]])
def test_full_disk_gives_neither_traceback_nor_verdict(command: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run([*MAIN, *command], stdout=full, stderr=subprocess.PIPE, check=False)
    assert ran.returncode == 2
    assert ran.stderr.startswith(b"cannot write the output: ")
    assert b"Traceback" not in ran.stderr


def test_closed_pipe_does_not_change_the_exit_code() -> None:
    """A command has buffered its output; the flush at its end meets a closed pipe."""
    script = (
        "import sys; from adamax_conformance.cli import main\n"
        "commands = sys.modules['adamax_conformance.cli.app']\n"
        "commands.app = lambda: (sys.stdout.write('report'), sys.exit(3))\nmain()\n"
    )
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as gone:
        ran = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONUNBUFFERED": ""},
            stdout=gone,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (3, b"")


def test_fault_of_the_judge_has_its_own_exit_code() -> None:
    script = (
        "import sys; from adamax_conformance.cli import main\n"
        "commands = sys.modules['adamax_conformance.cli.app']\n"
        "commands.app = lambda: 1 / 0\nmain()\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert ran.returncode == 5
    assert b"ZeroDivisionError: division by zero" in ran.stderr
    assert b"the judge failed: please report this" in ran.stderr


def test_help_is_written_in_ascii_too() -> None:
    env = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ran = subprocess.run([*MAIN, "check", "--help"], env=env, capture_output=True, check=True)
    assert b"Exit codes" in ran.stdout
