"""The report as a page: one file, which loads nothing and runs nothing but its own script.

``report.html.j2`` is the page, ``report.css`` and ``report.js`` go into it. The matrix, the
verdicts and the counts are in the page itself; the script opens the cases of a cell, and filters.
"""

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from importlib.resources import files
from typing import Any, TextIO
from urllib.parse import quote

from adamax_conformance.judging.finding import Divergence
from adamax_conformance.reports.failure import command, describe, distance, got, note_of
from adamax_conformance.reports.report import Report, Verdict
from adamax_conformance.reports.result import MEANINGS, Result
from adamax_conformance.reports.text import (
    GROUPS,
    SIGNS,
    advice,
    bound_used,
    by_clause,
    clauses_of,
    counted,
    occurring,
)
from adamax_conformance.subject.printable import printable

_TONES = {
    Verdict.CONFORMANT: "pass",
    Verdict.PARTIAL: "pass",
    Verdict.DEVIATES: "xfail",
    Verdict.NOT_CONFORMANT: "fail",
    Verdict.INCOMPLETE: "blocked",
    Verdict.BROKEN: "error",
}
_LISTED = ("known", "minimal example")
"""Facts that the page lists as they are; it draws the others, or has them elsewhere."""


def write(reports: Sequence[Report], stream: TextIO, verbose: bool) -> None:
    """The whole page; there is no more to say."""
    del verbose
    stream.write(f"{page(reports)}\n")


def page(reports: Sequence[Report]) -> str:
    """The page as text, in ASCII, so that it is right whatever it is stored as."""
    # Half of the time of `adamax-conformance --help`, if it were loaded at the top.
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415

    folder = files(__package__)
    style, script, template = (
        (folder / name).read_text(encoding="utf-8")
        for name in ("report.css", "report.js", "report.html.j2")
    )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.from_string(template).render(
        style=style,
        script=script,
        policy=_policy(style, script),
        data=_embedded(reports),
        backends=_columns(reports),
        groups=_rows(reports),
        statuses=[
            {"name": status, "sign": SIGNS[status], "meaning": MEANINGS[status],
             "count": sum(report.counts[status] for report in reports)}
            for status in occurring(reports)
        ],
        seeds=sorted({report.seed for report in reports}),
    )  # fmt: skip
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _policy(style: str, script: str) -> str:
    """What the page may do: this style and this script, by their hashes, and no request at all."""
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    ]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _keys(reports: Sequence[Report]) -> list[str]:
    """What names each backend in a link: its name, and a number where two have the same."""
    keys: list[str] = []
    for report in reports:
        name = printable(report.backend)
        number = sum(key.partition("~")[0] == name for key in keys)
        keys.append(f"{name}~{number + 1}" if number else name)
    return keys


def _columns(reports: Sequence[Report]) -> list[Mapping[str, Any]]:
    return [
        {
            "name": printable(report.backend),
            "key": key,
            "verdict": report.verdict,
            "tone": _TONES[report.verdict],
            "advice": advice(report),
            "diagnosis": printable(report.diagnosis),
            "counts": [(s, SIGNS[s], n) for s, n in counted(report.results)],
            "cases": len(report.results),
            "elements": report.elements,
            "used": bound_used([r for r in report.results if r.bound_used <= 1]),
            "failed": [(clause, _anchor(clause, key)) for clause in report.failed_clauses],
        }
        for key, report in zip(_keys(reports), reports, strict=True)
    ]


def _anchor(clause: str, key: str) -> str:
    return f"{clause}/{quote(key, safe='')}"


def _rows(reports: Sequence[Report]) -> list[Mapping[str, Any]]:
    """The clauses in groups, each with a cell a backend."""
    found = [by_clause(report) for report in reports]
    names = [printable(report.backend) for report in reports]
    groups: dict[str, list[Any]] = {}
    for clause in clauses_of(reports):
        cells = []
        for column, (name, results) in enumerate(zip(names, found, strict=True)):
            counts = counted(results.get(clause.id, []))
            words = ", ".join(f"{count} {status}" for status, count in counts) or "no case"
            cells.append({
                "column": column,
                "label": f"{clause.id} {clause.title}, {name}: {words}",
                "counts": [(status, SIGNS[status], count) for status, count in counts],
            })  # fmt: skip
        groups.setdefault(clause.id[0], []).append({"clause": clause, "cells": cells})
    return [
        {"letter": letter, "title": GROUPS[letter], "rows": rows} for letter, rows in groups.items()
    ]


def _embedded(reports: Sequence[Report]) -> str:
    """What the script reads, as JSON in which nothing can end the element that it is in."""
    cases = dict.fromkeys(result.case for report in reports for result in report.results)
    data = {
        "signs": SIGNS,
        "clauses": {clause.id: clause.title for clause in clauses_of(reports)},
        "notes": {case: printable(note_of(case)) for case in cases},
        "backends": [
            {
                "name": printable(report.backend),
                "key": key,
                "diagnosis": printable(report.diagnosis),
                "results": [_result(report, result) for result in report.results],
            }
            for key, report in zip(_keys(reports), reports, strict=True)
        ],
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _result(report: Report, result: Result) -> Mapping[str, Any]:
    """One result as the script reads it; what is empty is left out."""
    told = [(fact.name, fact.lines) for fact in describe(report, result) if fact.name in _LISTED]
    shown = {
        "case": result.case,
        "clause": result.clause,
        "dtype": result.dtype,
        "status": result.status,
        "message": printable(result.message),
        "elements": result.elements,
        "used": bound_used([result]),
        "trace": [float(f"{used:.3g}") if math.isfinite(used) else None for used in result.trace],
        "facts": told,
        "found": result.divergence and _divergence(result.divergence),
        "command": command(report, result),
    }
    return {key: value for key, value in shown.items() if value not in (None, "", [], 0)}


def _divergence(found: Divergence) -> Mapping[str, Any]:
    at = f"[{', '.join(map(str, found.index))}]" if found.index else ""
    low, _, high = found.allowed.strip("[]").partition(", ")
    side = _side(found)
    return {
        "step": found.step,
        "element": printable(found.parameter) + at,
        "quantity": found.quantity,
        "got": got(found),
        "number": printable(found.got),
        "allowed": printable(found.allowed),
        "exact": found.exact,
        "distance": distance(found),
        **({"off": side * found.distance, "low": low, "high": high} if side else {}),
    }


def _side(found: Divergence) -> int:
    """Whether the value lies below (-1) or above (1) an interval; 0 where none can be drawn."""
    if not found.exact or not found.allowed.startswith("[") or not math.isfinite(found.distance):
        return 0
    return 1 if Decimal(found.got) > Decimal(found.exact) else -1
