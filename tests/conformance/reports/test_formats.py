"""The text reports: for terminals, programs, continuous integration and pull requests."""

import io
import json
import re
from collections import Counter
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from adamax_conformance import Report, Result, Status
from adamax_conformance.exchange.schemas import SchemaError, require
from adamax_conformance.judging.finding import Divergence
from adamax_conformance.reports import FORMATS, write
from adamax_conformance.reports.pretty import show
from adamax_conformance.reports.text import SIGNS
from adamax_conformance.subject.printable import printable


def text_of(reports: list[Report], form: str, *, verbose: bool = False) -> str:
    stream = io.StringIO()
    write(reports, form, stream, verbose=verbose)
    return stream.getvalue()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_no_report_breaks_on_what_a_backend_says(every: Any, form: str, encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    hostile = replace(every.hostile, backend=f"\u00e9\u4e2d {every.hostile.backend}")
    write([hostile, every.broken], form, stream, verbose=True)
    text = raw.getvalue().decode(encoding)
    assert text.endswith("\n")
    acts = re.sub(r"[\n -~]", "", text)
    assert all(each.isprintable() or each == "\xa0" for each in acts)


def cannot_be_right(every: Any) -> Report:
    """Return a result with an infinite distance."""
    found = Divergence(2, "w", (), "param", "nan", "[0, 2]", "1", float("inf"), "float32 7fc00000")
    result = Result(
        "A-5/decays", "A-5", "float32", Status.FAIL, "x", bound_used=float("inf"),
        trace=(0.5, float("inf")), divergence=found,
    )  # fmt: skip
    report: Report = replace(every.wrong, results=(result,))
    return report


# JSON


def test_every_report_is_of_the_schema(every: Any) -> None:
    document = json.loads(text_of(every.all, "json"))
    require("report", document)
    assert {r["status"] for report in document["reports"] for r in report["results"]} == {
        "pass", "fail", "xfail", "xpass", "unsupported", "skipped", "error", "blocked",
    } - {"unsupported"}  # fmt: skip
    assert any(r["minimal"] for report in document["reports"] for r in report["results"])


def test_infinity_is_null(every: Any) -> None:
    document = json.loads(text_of([cannot_be_right(every)], "json"))
    require("report", document)
    (result,) = document["reports"][0]["results"]
    assert result["bound_used"] is result["trace"][1] is result["divergence"]["distance"] is None


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ((), "extra", 1),
        ((), "version", 1),
        (("reports", 1), "verdict", "fine"),
        (("reports", 1), "extra", 1),
        (("reports", 1, "counts"), "pass", -1),
        (("reports", 1, "results", 0), "status", "ok"),
        (("reports", 1, "results", 0), "trace", [-1]),
        (("reports", 1, "results", None, "divergence"), "extra", 1),
        (("reports", 1, "results", None, "divergence"), "quantity", "loss"),
        (("reports", 1, "results", None, "minimal"), "judged", ["loss"]),
        (("reports", 5, "results", None, "expected"), "status", "maybe"),
    ],
)
def test_schema_refuses_anything_else(every: Any, path: Any, key: str, value: Any) -> None:
    document = json.loads(text_of(every.all, "json"))
    at = document
    for part, following in zip(path, [*path[1:], key][: len(path)], strict=True):
        at = next(each for each in at if each[following]) if part is None else at[part]
    at[key] = value
    with pytest.raises(SchemaError, match=key):
        require("report", document)


# JUnit


def test_junit_has_a_case_a_result_and_its_totals_add_up(every: Any) -> None:
    root = ET.fromstring(text_of(every.all, "junit"))  # noqa: S314 - it is our own
    tags = {
        Status.FAIL: "failure", Status.XPASS: "failure", Status.ERROR: "error",
        Status.XFAIL: "skipped", Status.SKIPPED: "skipped", Status.UNSUPPORTED: "skipped",
        Status.BLOCKED: "skipped",
    }  # fmt: skip
    totals = Counter[str]()
    for report, suite in zip(every.all, root, strict=True):
        cases = suite.findall("testcase")
        verdict = [case for case in cases if case.get("name") == "verdict"]
        assert len(verdict) == bool(report.broken)
        for result, case in zip(report.results, cases, strict=not verdict):
            assert case.get("name") == result.id
            outcome = [each.tag for each in case if each.tag != "properties"]
            assert outcome == ([tags[result.status]] if result.status in tags else [])
        counts = {"tests": len(cases)}
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            counts[name] = len(suite.findall(f"testcase/{tag}"))
        assert {name: int(suite.get(name, "")) for name in counts} == counts
        totals.update(counts)
    assert {name: int(root.get(name, "")) for name in totals} == totals


def test_junit_explains_a_failure_in_full(every: Any) -> None:
    root = ET.fromstring(text_of([every.wrong], "junit"))  # noqa: S314 - it is our own
    failure = root.find(".//failure")
    assert failure is not None
    assert (failure.get("message") or "").startswith("fail: step 1, ")
    assert "minimal example  lr=1.0" in (failure.text or "")
    about = {each.get("name"): each.get("value") for each in root.iter("property")}
    assert about["seed"] == "7"
    assert about["verdict"] == "not conformant"


def test_broken_backend_is_an_error_in_junit(every: Any, hostile: str) -> None:
    root = ET.fromstring(text_of([every.broken], "junit"))  # noqa: S314 - it is our own
    (error,) = root.iter("error")
    message = error.get("message") or ""
    assert message.startswith("adapter broken; the smoke test")
    assert printable(hostile) in message


# Markdown


def cells(line: str) -> list[str]:
    """Split a row of a table into cells as GitHub does."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_markdown_table_has_a_column_a_backend(every: Any) -> None:
    text = text_of(every.all, "markdown")
    table = [cells(line) for line in text.splitlines() if line.startswith("|")]
    start = next(number for number, row in enumerate(table) if row[0] == "clause")
    assert {len(row) for row in table[start:]} == {1 + len(every.all)}
    rows = {row[0]: row[1:] for row in table[start:]}
    assert rows["_A-1 sign_"][0] == f"{SIGNS[Status.PASS]}&nbsp;4"
    headings, _, *summaries = table[:start]
    counted = range(2, len(headings) - 2)
    for report, summary in zip(every.all, summaries, strict=True):
        assert summary[1].endswith(report.verdict)
        assert sum(int(summary[column]) for column in counted) == len(report.results)


def test_hostile_text_stays_inside_its_place_in_markdown(every: Any) -> None:
    text = text_of([every.hostile], "markdown")
    outside, fenced = [], False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            outside.append(line)
    assert not fenced
    tags = set(re.findall(r"<[^>]*>", "\n".join(outside)))
    assert tags == {"<details>", "</details>", "<summary>", "</summary>"}
    assert "hacked" not in re.sub(r"^.*(\*\*|\||##).*$", "", "\n".join(outside), flags=re.MULTILINE)


def test_fence_is_longer_than_what_it_holds(every: Any) -> None:
    result = replace(every.wrong.results[0], status=Status.FAIL, message="`````")
    text = text_of([replace(every.wrong, results=(result,))], "markdown")
    assert "\n``````text\n" in text
    assert "\n``````\n" in text


def test_known_deviations_are_listed_with_verbose(every: Any) -> None:
    assert "A-5/decays[float32] xfail" not in text_of([every.known], "markdown")
    assert "A-5/decays[float32] xfail" in text_of([every.known], "markdown", verbose=True)


# Terminal


def rows_of(text: str) -> dict[str, list[str]]:
    lines = [line.split("│")[1:-1] for line in text.splitlines() if "│" in line]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def test_one_backend_is_shown_with_the_bound_it_used(every: Any) -> None:
    rows = rows_of(text_of([every.right], "pretty"))
    used = [r.bound_used for r in every.right.results if r.clause == "A-4"]
    assert rows["A-4  first moment"] == ["✓5", f"{max(used):.2g}"]
    assert 0 < float(rows["A-4  first moment"][1]) <= 1
    assert "bound used" not in text_of([every.right, every.wrong], "pretty")
    wrong = rows_of(text_of([cannot_be_right(every)], "pretty"))
    assert wrong["A-5  infinity norm"] == ["✗1", "inf"]


def test_statuses_that_nothing_has_are_left_out(every: Any) -> None:
    rows = rows_of(text_of([every.right], "pretty"))
    assert {name for name in rows if name[0] in SIGNS.values()} == {"✓ pass", "✗ fail"}
    assert "□ blocked" in rows_of(text_of([every.broken], "pretty"))


def test_suspect_clause_is_explained_first_and_in_full(every: Any) -> None:
    text = text_of([every.wrong], "pretty")
    assert text.index("✗ A-5/") < text.index("✗ N-1/")
    assert text.count("      minimal example  ") == 3
    assert text.count("      reproduce  ") == 3
    assert text.rstrip().endswith("not conformant in A-5, N-1, H-5; look at A-5 first")


def test_of_many_results_the_first_of_each_clause_is_listed(every: Any) -> None:
    many = replace(every.wrong, results=every.wrong.results * 3)
    lines = [line for line in text_of([many], "pretty").splitlines() if line.startswith("  ✗ ")]
    assert [line.split("/")[0] for line in lines] == ["  ✗ A-5", "  ✗ N-1", "  ✗ H-5"]
    fails = many.counts[Status.FAIL]
    assert f"  and {fails - 3} more: --verbose shows them all" in text_of([many], "pretty")
    full = text_of([many], "pretty", verbose=True)
    assert sum(line.startswith("  ✗ ") for line in full.splitlines()) == fails


def test_terminal_is_not_coloured_by_a_backend(every: Any) -> None:
    printed = io.StringIO()
    show([every.hostile], Console(file=printed, force_terminal=True, width=300), verbose=True)
    colours = set(re.findall("\x1b\\[[0-9;]*m", printed.getvalue()))
    assert "\x1b[31m" not in colours
    assert "\\x1b[31m" in printed.getvalue()
    assert "\u202e" not in printed.getvalue()
