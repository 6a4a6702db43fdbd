"""The report as an HTML page: one file, which loads nothing and runs only its own script.

``report.html.j2`` is the template; ``report.css`` and ``report.js`` are inlined. The page is
complete without the script, which only sorts and filters the table of cases.
"""

import base64
import hashlib
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, TextIO
from urllib.parse import quote

from adamax_conformance.reports.environment import judged_by
from adamax_conformance.reports.failure import describe
from adamax_conformance.reports.report import Report, Verdict
from adamax_conformance.reports.result import BAD, MEANINGS, Result, Status
from adamax_conformance.reports.text import (
    GROUPS,
    SIGNS,
    advice,
    bound_used,
    by_clause,
    clauses_of,
    conclusion,
    counted,
    grades,
    occurring,
    outcome,
)
from adamax_conformance.subject.printable import printable

_TONES = {
    Verdict.CONFORMANT: Status.PASS,
    Verdict.PARTIAL: Status.PASS,
    Verdict.DEVIATES: Status.XFAIL,
    Verdict.NOT_CONFORMANT: Status.FAIL,
    Verdict.INCOMPLETE: Status.BLOCKED,
    Verdict.BROKEN: Status.ERROR,
    Verdict.UNJUDGED: Status.UNJUDGED,
}
_WORST_FIRST = (
    *BAD, Status.UNJUDGED, Status.XFAIL, Status.BLOCKED, Status.SKIPPED, Status.UNSUPPORTED,
    Status.PASS,
)  # fmt: skip
_ELSEWHERE = ("clause", "case", "diagnosis")
"""Facts of a result that the page shows elsewhere."""


def write(reports: Sequence[Report], stream: TextIO, verbose: bool) -> None:
    """Write the page; it is always complete, so `verbose` changes nothing."""
    del verbose
    stream.write(f"{page(reports)}\n")


def page(reports: Sequence[Report]) -> str:
    """Return the page as ASCII text, so that the encoding of its file does not matter."""
    keys = _keys(reports)
    return filled(
        resource("report.html.j2"),
        resource("report.css"),
        backends=[_backend(report, key) for report, key in zip(reports, keys, strict=True)],
        matrix=_matrix(reports, keys),
        signs=SIGNS,
        meanings=MEANINGS,
        statuses=occurring(reports),
        cases=[case for each in zip(reports, keys, strict=True) for case in _cases(*each)],
        judged_by=judged_by(),
        seeds=sorted({report.seed for report in reports}),
    )


def resource(name: str) -> str:
    """Return the text of a file beside this one."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def filled(template: str, style: str, **values: Any) -> str:
    """Return a page in ASCII from a template, with this style and the script of ``report.js``."""
    # Half of the time of `adamax-conformance --help`, if it were loaded at the top.
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script = resource("report.js")
    text = environment.from_string(template).render(
        style=style, script=script, policy=_policy(style, script), **values
    )
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _policy(style: str, script: str) -> str:
    """Return a policy that allows this style and this script, by their hashes, and no requests."""
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    ]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _keys(reports: Sequence[Report]) -> list[str]:
    """Return a unique key for links to each backend: its name, with a number if it repeats."""
    keys: list[str] = []
    for report in reports:
        name = quote(printable(report.backend), safe="")
        number = sum(key.partition("~")[0] == name for key in keys)
        keys.append(f"{name}~{number + 1}" if number else name)
    return keys


def _backend(report: Report, key: str) -> Mapping[str, Any]:
    return {
        "name": printable(report.backend),
        "key": key,
        "verdict": outcome(report),
        "tone": _TONES[report.outcome],
        "counts": report.counts,
        "elements": report.elements,
        "used": bound_used([result for result in report.results if result.bound_used <= 1]),
        "failed": [(clause, f"{clause}/{key}") for clause in report.failed_clauses],
        "suspect": _suspect(report),
        "lines": _lines(report),
    }


def _lines(report: Report) -> list[str]:
    """Return the grades, the advice, and the diagnosis: what there is of them."""
    wrong = report.outcome is Verdict.NOT_CONFORMANT
    lines = (grades(report), "" if wrong else advice(report), conclusion(report))
    return [line for line in lines if line]


def _suspect(report: Report) -> str:
    """Return the clause to look at first, if it fails; empty otherwise."""
    bad = {result.clause for result in report.results if result.status in BAD}
    return report.suspect if report.suspect in bad else ""


def _matrix(reports: Sequence[Report], keys: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return a row for each clause, with a cell for each backend: the count of each status."""
    found = [(key, by_clause(report)) for report, key in zip(reports, keys, strict=True)]
    return [
        {
            "clause": each,
            "group": f"{each.id[0]}: {GROUPS[each.id[0]]}",
            "cells": [(f"{each.id}/{key}", counted(by.get(each.id, []))) for key, by in found],
        }
        for each in clauses_of(reports)
    ]


def _cases(report: Report, key: str) -> Iterator[Mapping[str, Any]]:
    """Yield a row for each result; the cell of a clause links to its worst result."""

    def badness(result: Result) -> int:
        return _WORST_FIRST.index(result.status)

    def interest(result: Result) -> tuple[int, bool]:
        return badness(result), result.minimal is None

    leads = {clause: min(results, key=interest) for clause, results in by_clause(report).items()}
    first = leads.get(_suspect(report))
    for result in report.results:
        facts = [fact for fact in describe(report, result) if fact.name not in _ELSEWHERE]
        why = next((fact.lines[0] for fact in facts if fact.name == "why"), "")
        yield {
            "anchor": f"{result.clause}/{key}" if leads[result.clause] is result else "",
            "backend": printable(report.backend),
            "open": result is first,
            "result": result,
            "order": badness(result),
            "used": bound_used([result]),
            "size": min(result.bound_used, sys.float_info.max),  # Script has no "inf"
            "summary": printable(result.message) or why,
            "facts": facts,
            "trace": [f"{used:.2g}" for used in result.trace],
            "curve": _curve(result),
        }


def _curve(result: Result) -> str:
    """Return the trace as an SVG path: 4 right per step, 5 up per decade, the bound at 10."""
    heights = (10 - 5 * math.log10(min(max(used, 1e-4), 100)) for used in result.trace)
    return "M" + " ".join(f"{4 * step},{height:.3g}" for step, height in enumerate(heights))
