"""The text reports: for terminals, programs, continuous integration and pull requests."""

import io
import json
import platform
import re
from collections import Counter
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from adamax_conformance import Report, Result, Status, check
from adamax_conformance.exchange.schemas import SchemaError, require
from adamax_conformance.judging.finding import Divergence
from adamax_conformance.reports import FORMATS, write
from adamax_conformance.reports.pretty import show
from adamax_conformance.reports.text import SIGNS, undeclared
from adamax_conformance.subject.printable import printable
from adamax_conformance.subjects.reference import backend as reference
from adamax_core import __version__


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
        "pass", "fail", "xfail", "xpass", "skipped", "refused", "error", "blocked",
    }  # fmt: skip
    assert any(r["minimal"] for report in document["reports"] for r in report["results"])


@pytest.mark.parametrize("form", FORMATS)
def test_every_report_says_what_judged(every: Any, form: str) -> None:
    text = " ".join(text_of([every.right], form).replace("\\", "").split())
    for version in (__version__, platform.python_version(), platform.platform()):
        assert version in text


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
        Status.BLOCKED: "skipped", Status.REFUSED: "error",
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
    assert rows["_A-1 sign_"][0] == f"{SIGNS[Status.PASS]}&nbsp;6"
    headings, _, *summaries = table[:start]
    counted = range(2, len(headings) - 2)
    for report, summary in zip(every.all, summaries, strict=True):
        assert report.outcome in summary[1]
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
    assert rows["A-4  first moment"] == [f"✓{len(used)}", f"{max(used):.2g}"]
    assert 0 < float(rows["A-4  first moment"][1]) <= 1
    assert "bound used" not in text_of([every.right, every.wrong], "pretty")
    wrong = rows_of(text_of([cannot_be_right(every)], "pretty"))
    assert wrong["A-5  infinity norm"] == ["✗1", "inf"]


def test_statuses_that_nothing_has_are_left_out(every: Any) -> None:
    rows = rows_of(text_of([every.right], "pretty"))
    assert {name for name in rows if name[0] in SIGNS.values()} == {"✓ pass", "✗ fail"}
    assert "□ blocked" in rows_of(text_of([every.broken], "pretty"))


def test_last_screen_has_the_first_fault_the_outcome_the_grades_and_the_diagnosis(
    every: Any,
) -> None:
    text = text_of([every.wrong], "pretty")
    lines = text.rstrip().splitlines()
    last = lines.index("", lines.index("eps outside")) + 1
    assert lines[last].startswith(
        "  ✗ A-5/eps-inside-the-maximum[float16]: step 1, w[0, 1], exp_inf"
    )
    assert [line.split("  ")[3] for line in lines[last + 1 : last + 3]] == [
        "why",
        "minimal example",
    ]
    assert lines[last + 2 : last + 6] == [
        "      minimal example  lr=1.0, betas=(0.75, 0.5), eps=1.0",
        "                       params w = [0.0] float16",
        "                       step 1: grads w = [1.0] float16",
        "                       step 1: exp_inf of w[0]: got 1.0, expected 2",
    ]
    assert lines[last + 6].startswith("      reproduce        adamax_conformance.check(backend, ")
    offer = "to judge by this dialect: `dialect='found'`"
    assert lines[last + 7 :] == [
        "eps outside: not conformant in A-5, N-1, H-5",
        "  arithmetic: not conformant (A-5, N-1, H-5), judged in part",
        f"  look at A-5 first: no eps (as MXNet, the paper); {offer}",
    ]


def test_last_line_is_the_diagnosis_where_the_state_is_hidden_too(every: Any) -> None:
    last = text_of([every.hidden], "pretty").rstrip().splitlines()[-1]
    assert last.startswith("  look at A-5 first: no eps (as MXNet, the paper)")


def test_every_line_of_a_terminal_fits(every: Any) -> None:
    """Of a failure that is not the first, one line: what does not fit is cut."""
    printed = io.StringIO()
    show([every.wrong], Console(file=printed, width=80, force_terminal=True, color_system=None))
    lines = printed.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    first = lines.index("eps outside")
    assert [line[:7] for line in lines[first + 1 : first + 4]] == [
        "  ✗ A-5", "  ✗ N-1", "  ✗ H-5",
    ]  # fmt: skip
    assert all(line.endswith("…") for line in lines[first + 1 : first + 4])


def test_of_many_results_the_first_of_each_clause_is_listed(every: Any) -> None:
    many = replace(every.wrong, results=every.wrong.results * 3)
    text = text_of([many], "pretty")
    lines = [line for line in text.partition("  and ")[0].splitlines() if line.startswith("  ✗ ")]
    assert [line.split("/")[0] for line in lines] == ["  ✗ A-5", "  ✗ N-1", "  ✗ H-5"]
    fails = many.counts[Status.FAIL]
    assert f"  and {fails - 3} more: --verbose shows them all" in text_of([many], "pretty")
    full = text_of([many], "pretty", verbose=True)
    assert sum(line.startswith("  ✗ ") for line in full.splitlines()) == fails + 1


def test_many_clauses_of_one_backend_are_folded(every: Any) -> None:
    [first, *_] = every.wrong.results
    ids = ("A-3", "A-4", "A-5", "A-6", "A-7", "S-1", "S-2", "S-3", "S-4", "S-5", "S-9")
    made = tuple(
        replace(first, case=f"{clause}/x", clause=clause, status=status, message=message)
        for clause in ids
        for status, message in (
            [(Status.FAIL, "own" if clause == "S-3" else "x; as with no eps")]
            if clause in ("A-3", "A-5", "S-1", "S-2", "S-3", "S-9")
            else [(Status.PASS, "")]
        )
    )
    report = replace(every.wrong, results=made)
    text = text_of([report], "pretty")
    rows = rows_of(text)
    assert rows["A-3 to A-7  arithmetic"][0] == "✓3 ✗2"
    assert rows["S-1 to S-5, S-9  state"][0] == "✓2 ✗4"
    failed = [line for line in text.splitlines() if line.startswith("  ✗ ")][:2]
    dtype = first.dtype
    assert failed == [
        f"  ✗ A-3, A-5, as A-3/x[{dtype}]: x; as with no eps",
        f"  ✗ S-1 to S-3, S-9, as S-3/x[{dtype}]: own",
    ]
    assert "A-3  count" in rows_of(text_of([report], "pretty", verbose=True))
    assert "A-3  count" in rows_of(text_of([report, report], "pretty"))


def test_what_the_backend_does_not_declare_is_listed() -> None:
    made = replace(reference(), dtypes=("float32",), features=("vjp",))
    report = check(made, clauses=["A-1", "A-4"], investigate=False)
    assert undeclared(report) == (
        "unsupported, until the backend declares it in `dtypes`: float16, bfloat16, float64; "
        "`features`: maximize, load"
    )
    assert undeclared(report) in " ".join(text_of([report], "pretty").split())


def test_terminal_is_not_coloured_by_a_backend(every: Any) -> None:
    printed = io.StringIO()
    show([every.hostile], Console(file=printed, force_terminal=True, width=300), verbose=True)
    colours = set(re.findall("\x1b\\[[0-9;]*m", printed.getvalue()))
    assert "\x1b[31m" not in colours
    assert "\\x1b[31m" in printed.getvalue()
    assert "\u202e" not in printed.getvalue()
