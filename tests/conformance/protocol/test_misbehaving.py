"""Faults of a program: each is an error of its case, and the judge continues with the next."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from adamax_conformance import Report, Status, Verdict, check
from adamax_conformance.cli import app
from adamax_conformance.protocol import client, process

LINES = "not JSON: Expecting value: line 1 column 1 (char 0)"

FAULTS = {
    "exits": "exited with code 3; its standard error: cannot \\x1b[31mgo on",
    "exits-with-zero": "exited with code 0",
    "is-killed": "was killed by signal SIGSEGV",
    "raises": "RuntimeError: [bold]no[/bold] device\\x07",
    "leaves-a-child": "exited with code 4",
    "closes-output": "closed its standard output but is still running",
    "cuts-a-line": 'exited with code 0 after the incomplete line \'{"id": 1, "init\'',
    "huge-line": "wrote a line of more than 1 MiB",
    "floods": LINES,
    "not-json": f"{LINES}: 'done!'",
    "empty-line": f"{LINES}: ''",
    "python-repr": "not JSON: Expecting property name",
    "list": "must be an object, but is list",
    "number": "must be an object, but is int",
    "not-utf8": "not UTF-8: invalid start byte at byte 8",
    "utf16": "not JSON",
    "deep": "nested too deeply",
    "key-twice": "duplicate key 'id'",
    "nan": "NaN is not JSON: send a float as its bits",
    "infinity": "-Infinity is not JSON",
    "huge-number": "not JSON: Exceeds the limit",
    "huge-step": "is greater than the maximum of 9007199254740991",
    "fractional-step": "0.5 is not of type 'integer'",
    "step-as-float": "the step of w is 1.0, must be a whole number",
    "nan-in-words": "'NaN' does not match",
    "decimals": "[1.0, 2.0] is not of type 'string'",
    "upper-case": "'3F800000' does not match",
    "too-few-bits": "has 8 hexadecimal digits, must have",
    "unknown-dtype": "'float8' is not one of",
    "wrong-dtype": "w came back as float64 (1,), but was float32",
    "wrong-shape": "w came back as float32 (1,), but was float32",
    "negative-shape": "-1 is less than the minimum of 0",
    "missing-step": "gave 4 records for 5 steps, must be one per step",
    "extra-step": "gave 10 records for 5 steps",
    "missing-parameter": "gave params w in record 1, must be b, w",
    "extra-parameter": "gave params \\x1b]0;title\\x07, b, w in record 1",
    "missing-state": "moments has the keys [], the parameters have ['b', 'w']",
    "hidden-state": "returned None after reporting moments",
    "unknown-field": "('seconds' was unexpected)",
    "no-records": "'initial' is a required property",
    "later-id": " to request ",
    "earlier-id": " to request ",
    "id-as-text": "is not of type 'integer'",
    "chats": f"{LINES}: 'stepping ...'",
    "error-without-message": "'message' is a required property",
    "error-of-unknown-kind": "'oops' is not one of",
    "internal-error": "FailedError: internal: \\x1b[1mboom\\r\\n[red]",
    "surrogates": "FailedError: internal: \\ud800\\x1b[2J",
}
HANGS = {
    "hangs": "did not answer within 3 s",
    "hangs-in-a-line": 'did not answer within 3 s after the incomplete line \'{"id": 1, "init\'',
    "deaf": "did not answer within 3 s",
    "closes-input": "did not answer within 3 s",
    "complains": "did not answer within 3 s; its standard error: ",
}
MALFORMED = "hello: the program gave a malformed answer: "
SILENT = {
    "never-says-hello": "hello: the program did not answer within 3 s",
    "hello-exits": "hello: the program exited with code 1; its standard error: no licence",
    "hello-of-version-2": MALFORMED + "$.version: 1 was expected",
    "hello-without-dtypes": MALFORMED + "$.dtypes: [] should be non-empty",
    "hello-with-unknown-feature": MALFORMED + "$.features[0]: 'teleport' is not one of",
    "banner": MALFORMED + "not JSON: ",
}


def judged(backend: Any) -> Report:
    """Judge two cases; in the first the program misbehaves."""
    cases = ["A-4/two-products", "A-4/defaults"]
    return check(backend, cases=cases, dtypes=["float32"], investigate=False)


def printed(report: Report) -> str:
    """Return the report as printed to a terminal."""
    from adamax_conformance.reports.pretty import show  # noqa: PLC0415 - rich, for these alone

    stream = io.StringIO()
    show([report], Console(file=stream, width=300, force_terminal=False), verbose=True)
    return stream.getvalue()


def assert_first_is_an_error_and_the_second_passes(report: Report, message: str) -> None:
    first, second = report.results
    assert first.case == "A-4/two-products"
    assert (first.status, second.status) == (Status.ERROR, Status.PASS), report.results
    assert message in first.message
    assert len(first.message) < 1000
    text = printed(report)
    assert all(each.isprintable() or each == "\n" for each in text)
    assert message in " ".join(text.split())
    json.dumps(report.as_dict(), allow_nan=False).encode("ascii")


@pytest.mark.parametrize(("how", "message"), FAULTS.items())
def test_fault_is_an_error_of_its_case_and_the_next_one_passes(
    how: str, message: str, program: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LONGEST_LINE", 2**20)
    assert_first_is_an_error_and_the_second_passes(judged(program(how)), message)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "message"), HANGS.items())
def test_hang_is_an_error_of_its_case_and_the_next_one_passes(
    how: str, message: str, program: Callable[..., Any]
) -> None:
    assert_first_is_an_error_and_the_second_passes(judged(program(how, 3.0)), message)


@pytest.mark.parametrize(("how", "message"), SILENT.items())
def test_program_that_cannot_say_hello_is_broken_and_says_why(
    how: str, message: str, program: Callable[..., Any]
) -> None:
    report = judged(program(how, 3.0 if how == "never-says-hello" else 60.0))
    assert report.verdict is Verdict.BROKEN
    assert {result.status for result in report.results} == {Status.BLOCKED}
    assert message in report.broken


@pytest.mark.parametrize(
    ("how", "message"),
    [("answers-twice", "(without a request|to request)"), ("answers-and-exits", "code 0")],
)
def test_fault_after_the_answer_is_noticed_at_the_next_run(
    how: str, message: str, program: Callable[..., Any]
) -> None:
    report = judged(program(how))
    first, second = sorted(report.results, key=lambda result: result.message)
    assert (first.status, second.status) == (Status.PASS, Status.ERROR)
    assert re.search(message, second.message)


def test_warnings_beyond_the_size_of_a_pipe_are_no_fault(program: Callable[..., Any]) -> None:
    report = judged(program("many-warnings"))
    assert {result.status for result in report.results} == {Status.PASS}


def test_name_of_a_program_cannot_write_to_the_terminal(program: Callable[..., Any]) -> None:
    report = judged(program("hello-as-a-terminal"))
    assert {result.status for result in report.results} == {Status.PASS}
    assert "\x1b" not in printed(report)


def test_program_that_says_another_hello_later_is_not_relied_on(
    program: Callable[..., Any],
) -> None:
    backend = program("hello-changes")
    assert backend.dtypes == ["float32"]
    backend.close()
    messages = [result.message for result in judged(backend).results]
    assert all("answered hello differently from the first time" in m for m in messages)


def test_after_several_hangs_nothing_more_is_asked(
    program: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE", 1)
    # Both have an eps of 1, and so has what comes after them.
    report = check(
        program("hangs", 3.0),
        cases=["A-4/two-products", "A-5/eps-inside-the-maximum", "A-5/defaults"],
        dtypes=["float32"],
        investigate=False,
    )
    assert "did not answer within 3 s" in report.results[0].message
    for result in report.results[1:]:
        assert "not run: 1 answers took longer than 3 s each" in result.message


@pytest.mark.parametrize("how", ["leaves-a-child", "deaf"])
def test_nothing_that_a_program_started_outlives_its_fault(
    how: str, program: Callable[..., Any], survivors: Callable[[], list[int]]
) -> None:
    judged(program(how, 3.0 if how == "deaf" else 60.0))
    assert survivors() == []


def test_program_that_does_not_stop_is_killed_with_what_it_started(
    program: Callable[..., Any], survivors: Callable[[], list[int]]
) -> None:
    backend = program("does-not-stop")
    assert {result.status for result in judged(backend).results} == {Status.PASS}
    backend.close()
    assert survivors() == []


@pytest.mark.slow
def test_good_backends_beside_a_bad_one_are_reported_in_full(
    command: Callable[[str], str], notes: Path
) -> None:
    runner, bad = CliRunner(), command("surrogates")
    some = [f"--clause={clause}" for clause in ("A-3", "A-4", "A-5", "S-2", "H-3")]
    alone = runner.invoke(app, ["check", "numpy", *some, "--format", "json"])
    arguments = ["check", "numpy", bad, command("hello-exits"), *some]
    document = json.loads(runner.invoke(app, [*arguments, "--format", "json"]).stdout)
    good, odd, silent = document["reports"]
    assert good == json.loads(alone.stdout)["reports"][0]
    assert (odd["verdict"], silent["verdict"]) == ("not conformant", "adapter broken")
    for report in (odd, silent):
        assert sum(report["counts"].values()) == report["cases"] == good["cases"]
    assert odd["counts"]["error"] > 0 < odd["counts"]["pass"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 3
    assert "numpy: passes in part" in result.output
    assert "\\ud800\\x1b[2J" in result.output
    assert "\x1b" not in result.output
    assert not notes.exists()
