"""The file of expectations: its form, its effect on a report, and `--write-expect`."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from adamax_conformance import Status, Verdict, check
from adamax_conformance.cli import app
from adamax_conformance.reports.expectations import (
    Expectation,
    ExpectationError,
    Expectations,
    dump,
    load,
)
from adamax_conformance.subjects.reference import backend as reference
from adamax_core import CANONICAL

ONE = '[[expect]]\nid = "A-4"\nstatus = "fail"\nreason = "why"\n'


def idle() -> Any:
    rule = CANONICAL._replace(first_moment=lambda m, _g, _b1: m)
    return reference(rule, "idle")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "known.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[expect", "known.toml: Expected"),
        ("[expect]\nid = 1\n", "such as [[expect]]"),
        ("[other]\n", "must have only tables"),
        ('[[expect]]\nid = "A-4"\n', "expectation 1 needs id, status and reason"),
        (ONE + "note = 1\n", "expectation 1 has note"),
        (ONE.replace('"why"', "3"), "reason = 3 must be text"),
        (ONE.replace("fail", "pass"), "status = 'pass' must be one of fail, error, skip"),
        (ONE + ONE, "more than one expectation for A-4"),
        (ONE.replace("A-4", "A-4/gone"), "no such clause or case: A-4/gone"),
        (ONE.replace("A-4", "A-4/defaults[int8]"), "no such clause or case: A-4/defaults[int8]"),
    ],
)
def test_invalid_file_is_refused(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(ExpectationError) as caught:
        load(file)
    assert message in str(caught.value)
    result = CliRunner().invoke(app, ["check", "numpy", "--expect", str(file)])
    assert result.exit_code == 2
    assert message.replace("\n", " ") in " ".join(result.output.split())


def test_most_specific_id_wins(file: Path) -> None:
    file.write_text(
        ONE
        + ONE.replace("A-4", "A-4/defaults").replace("why", "case")
        + ONE.replace("A-4", "A-4/defaults[float32]").replace("why", "dtype")
    )
    known = load(file)
    found = [known.of("A-4/two-products", "float32"), known.of("A-4/defaults", "float64")]
    found += [known.of("A-4/defaults", "float32"), known.of("A-5/decays", "float32")]
    assert [each and each.reason for each in found] == ["why", "case", "dtype", None]


@pytest.mark.parametrize(
    ("status", "expected", "verdict"),
    [
        ("fail", Status.XFAIL, Verdict.DEVIATES),
        ("error", Status.FAIL, Verdict.NOT_CONFORMANT),
        ("skip", Status.SKIPPED, Verdict.INCOMPLETE),
    ],
)
def test_expected_status_decides_the_result(
    file: Path, status: str, expected: Status, verdict: Verdict
) -> None:
    file.write_text(ONE.replace("fail", status))
    report = check(idle(), clauses=["A-4"], dtypes=["float32"], expect=file)
    assert {result.status for result in report.results} == {expected}
    assert report.verdict is verdict
    assert all("why" in result.message for result in report.results)


def test_expected_failure_that_passes_is_a_failure(file: Path) -> None:
    file.write_text(ONE)
    report = check("numpy", clauses=["A-4"], dtypes=["float32"], expect=file)
    assert {result.status for result in report.results} == {Status.XPASS}
    assert report.verdict is Verdict.NOT_CONFORMANT
    assert report.failed_clauses == ()


def test_file_is_added_to_the_backends_own_deviations() -> None:
    known = Expectations([Expectation("S-8", "of the user's", "fail", "https://example.org/1")])
    report = check("torch.optim", clauses=["S-8", "S-5"], dtypes=["float32"], expect=known)
    messages = {result.case: result.message for result in report.results}
    assert messages["S-8/adam"].startswith("of the user's (https://example.org/1) (")
    assert messages["S-5/float16-gradients"].startswith("gradients of another dtype")


def test_written_file_makes_the_same_backend_deviate_as_documented(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "idle_glue.py").write_text(
        "from adamax_core import CANONICAL\n"
        "from adamax_conformance.subjects.reference import backend\n"
        "def idle():\n    rule = CANONICAL._replace(first_moment=lambda m, g, b1: m)\n"
        "    return backend(rule, 'idle')\n"
    )
    command = ["check", "py:idle_glue:idle", "--clause", "A-4", "--format", "json"]
    first = CliRunner().invoke(app, [*command, "--write-expect", str(file)])
    assert first.exit_code == 1
    second = CliRunner().invoke(app, [*command, "--expect", str(file)])
    assert second.exit_code == 0
    (report,) = json.loads(second.stdout)["reports"]
    assert report["counts"]["xfail"] == report["cases"] > 0
    assert {result["expected"]["status"] for result in report["results"]} == {"fail"}


def test_file_is_for_one_backend(file: Path) -> None:
    result = CliRunner().invoke(app, ["check", "numpy", "torch", "--write-expect", str(file)])
    assert result.exit_code == 2
    assert "for one backend" in result.output
    assert not file.exists()


def test_file_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    for option in ("--expect", "--write-expect"):
        command = ["check", "numpy", "--clause", "A-3", option, str(tmp_path)]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 2
        assert "Traceback" not in result.output


ESCAPED = "".join(map(chr, range(0x20))) + '\x7f\x85\u2028"\\'


@given(st.text(), st.text())
@example(ESCAPED, "https://example.org")
def test_dump_and_load_are_inverse(reason: str, url: str) -> None:
    known = [Expectation("A-4", reason, "error", url), Expectation("N-3", "x")]
    with TemporaryDirectory() as folder:
        file = Path(folder, "known.toml")
        dump(known, file)
        assert [*load(file).by_id.values()] == [known[0], replace(known[1], status="fail")]


def test_half_of_a_surrogate_pair_is_written_as_a_question_mark(file: Path) -> None:
    dump([Expectation("A-4", "\ud800")], file)
    assert load(file).by_id["A-4"].reason == "?"
