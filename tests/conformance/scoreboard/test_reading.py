"""A scoreboard of another machine, version or hand is read as it is, or refused."""

import codecs
import json
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adamax_conformance import Report
from adamax_conformance.cli import app
from adamax_conformance.reports import json_ as reports_json
from adamax_conformance.scoreboard import FORMATS
from adamax_conformance.scoreboard.entry import Entry
from adamax_conformance.scoreboard.json_ import read

RUNNER = CliRunner()
ELSEWHERE = {"adamax-spec": "9.8.7", "python": "3.99.0", "platform": "Elsewhere-1"}
COSTS = {"1": 1.0, "0.001": 0.99, "1e-06": 0.5, "1e-08": 0.25}
HOSTILE = "<script>alert(1)</script> | `a`\n\n# Heading"


def line(**changes: Any) -> dict[str, Any]:
    """Return a line that was judged on another machine, with these changes."""
    return {
        "name": "mine",
        "language": "Python",
        "packages": ["mine 1.2.3"],
        "date": "2026-11-29",
        "environment": ELSEWHERE,
        "outcome": "conformant",
        "broken": "",
        "axes": [{"axis": "eps", "clause": "A-5", "found": "outside", "deviates": True}],
        "grades": [{"grade": "state", "conformant": True, "sentence": "conformant"}],
        "deviations": [],
        "costs": COSTS,
        **changes,
    }


def written(folder: Path, *lines: Any, **changes: Any) -> Path:
    path = folder / "scoreboard.json"
    path.write_text(json.dumps({"version": 2, "implementations": lines, **changes}))
    return path


def rendered(path: Path, form: str) -> str:
    ran = RUNNER.invoke(app, ["render", str(path), "--format", form])
    assert ran.exit_code == 0, ran.output
    return ran.output


def refused(path: Path) -> str:
    """Return the message of a refusal: one, without a traceback, and short."""
    ran = RUNNER.invoke(app, ["render", str(path)])
    assert (ran.exit_code, type(ran.exception)) == (2, SystemExit), ran.output
    assert len(ran.output) < 1000
    assert ran.output.count("\n") == 1
    return ran.output


@pytest.mark.parametrize("form", FORMATS)
def test_a_line_keeps_what_judged_it(tmp_path: Path, form: str) -> None:
    text = rendered(written(tmp_path, line(), line(name="other", date="2026-11-30")), form)
    assert platform.platform() not in text
    for known in ELSEWHERE.values():
        assert text.count(known) == 2
    assert "2026-11-29" in text
    assert "2026-11-30" in text


@pytest.mark.parametrize("form", FORMATS)
def test_what_judged_is_not_invented(tmp_path: Path, form: str) -> None:
    text = rendered(written(tmp_path, line(environment=None)), form)
    assert platform.platform() not in text


def test_costs_are_read_by_their_keys(tmp_path: Path) -> None:
    path = written(tmp_path, line())
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert [*json.loads(path.read_text())["implementations"][0]["costs"]] != [*COSTS]
    assert read(path)[0].costs == tuple(COSTS.values())
    assert json.loads(rendered(path, "json"))["implementations"][0]["costs"] == COSTS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"costs": {"1": 1.0}}, "costs: '0.001' is a required property"),
        ({"costs": {**COSTS, "1e-09": 1.0}}, "'1e-09' was unexpected"),
        ({"costs": {**COSTS, "1": -1.0}}, "-1.0 is less than the minimum"),
        ({"costs": {**COSTS, "1": 1e300}}, "1e+300 is greater than the maximum"),
        ({"costs": {**COSTS, "1": float("nan")}}, "NaN is no number of JSON"),
        ({"costs": {**COSTS, "1": float("inf")}}, "Infinity is no number of JSON"),
        ({"date": "yesterday"}, "'yesterday' does not match"),
        ({"date": "2099-99-99"}, "'2099-99-99' does not match"),
        ({"environment": {"python": "3"}}, "'adamax-spec' is a required property"),
        ({"name": "x" * 10_000, "costs": "x" * 10_000}, "is not of type 'object', 'null'"),
    ],
)
def test_a_wrong_line_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    told = refused(written(tmp_path, line(**changes)))
    assert message in told
    assert "scoreboard of version 2" in told or "is not JSON" in told


@pytest.mark.parametrize("version", [1, 3, "2", None, True, [[[]]]])
def test_another_version_is_named(tmp_path: Path, version: Any) -> None:
    told = refused(written(tmp_path, line(), version=version))
    assert f"is no scoreboard of version 2: its version is {version!r}" in told


def test_a_report_of_another_version_is_called_a_report(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text('{"version": 3, "environment": {}, "reports": []}')
    assert "is no report of version 4: its version is 3" in refused(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"implementations": ' + "[" * 900 + "]" * 900 + "}", "is no scoreboard of version 2"),
        ('{"version": 2, "implementations": [1e999]}', "inf is not of type 'object'"),
        ("{", "is not JSON"),
        ("[]", "neither `reports` nor `implementations`"),
        ('{"version": 4}', "neither `reports` nor `implementations`"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "other.json").write_text(text)
    assert message in refused(tmp_path / "other.json")


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    path = written(tmp_path, line())
    before = read(path)
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert read(path) == before


@pytest.mark.parametrize("form", FORMATS)
def test_a_lone_surrogate_is_shown_as_an_escape(tmp_path: Path, form: str) -> None:
    assert r"mine\ud800" in rendered(written(tmp_path, line(name="mine\ud800")), form).replace(
        r"\\", "\\"
    )


def test_no_text_of_a_line_is_markup(tmp_path: Path) -> None:
    fact = {"name": HOSTILE, "lines": [HOSTILE]}
    hostile = line(
        name=HOSTILE,
        language=HOSTILE,
        packages=[HOSTILE],
        outcome=HOSTILE,
        environment=dict.fromkeys(ELSEWHERE, HOSTILE),
        axes=[{"axis": "eps", "clause": "A-5", "found": HOSTILE, "deviates": True}],
        grades=[{"grade": "state", "conformant": True, "sentence": HOSTILE}],
        deviations=[
            {"reason": HOSTILE, "url": f"https://{HOSTILE}", "known": True, "cases": [HOSTILE],
             "facts": [fact]},
        ],
    )  # fmt: skip
    for broken in ("", HOSTILE):
        path = written(tmp_path, {**hostile, "broken": broken})
        markdown = rendered(path, "markdown")
        outside = "".join(markdown.split("```")[::2])
        assert "<script" not in outside
        assert "\n# Heading" not in markdown
        rows = [row.replace(r"\|", "") for row in markdown.splitlines() if row.startswith("|")]
        assert {row.count("|") for row in rows} == {9, 12}
        assert "<script>alert" not in rendered(path, "html")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "0 implementations."),
        ([line(language="")], "1 implementation, judged on 2026-11-29."),
        ([line(date="")], "1 implementation in Python."),
        ([line(), line(name="b", date="")],
         "2 implementations in Python, 1 of them judged on 2026-11-29."),
        ([line(), line(name="b", date="2026-12-01", language="C")],
         "2 implementations in C, Python, judged from 2026-11-29 to 2026-12-01."),
    ],
)  # fmt: skip
def test_the_first_sentence_is_true_of_all_lines(
    tmp_path: Path, lines: list[Any], message: str
) -> None:
    path = written(tmp_path, *lines)
    assert message in rendered(path, "markdown").splitlines()
    assert message.removesuffix(".") in rendered(path, "html")


WHOLE = Report("mine", (), (), axes={"eps": "outside"}, dialect="eps=outside")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda report: replace(report, partial=True), "mine was judged by a part of the cases"),
        (lambda report: replace(report, axes={}), "mine was judged without `--dialect found`"),
        (lambda report: replace(report, found="eps=none"), "judged without `--dialect found`"),
    ],
)
def test_a_report_that_says_less_than_a_line_is_refused(
    tmp_path: Path, change: Callable[[Report], Report], message: str
) -> None:
    path = tmp_path / "part.json"
    for report in (WHOLE, replace(WHOLE, axes={}, unfound=True), replace(WHOLE, broken="why")):
        with path.open("w") as stream:
            reports_json.write([report], stream, verbose=False)
        assert [each.name for each in read(path)] == ["mine"]
    with path.open("w") as stream:
        reports_json.write([change(WHOLE)], stream, verbose=False)
    assert message in refused(path)


def test_a_report_has_what_judged_it_and_all_its_text_is_printable() -> None:
    entry = Entry.of(replace(WHOLE, environment=ELSEWHERE, axes={"eps": "a\nb"}, broken="c\nd"))
    assert entry.environment == ELSEWHERE
    assert (entry.found("eps"), entry.broken) == (r"a\nb", r"c\nd")
