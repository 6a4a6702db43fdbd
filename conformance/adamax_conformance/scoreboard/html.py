"""The scoreboard as an HTML page: one file, which loads nothing and runs only its own script."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from adamax_conformance.dialects.axes import CORRECTION, EPS
from adamax_conformance.reports.html import filled, resource
from adamax_conformance.scoreboard import plot
from adamax_conformance.scoreboard.entry import EPS_OF_COSTS, SCALES, Entry
from adamax_conformance.scoreboard.summary import judged, summary

UNKNOWN = "not judged"


def page(entries: Sequence[Entry]) -> str:
    """Return the page as ASCII text."""
    template, style = (
        (files(__package__) / name).read_text(encoding="utf-8")
        for name in ("scoreboard.html.j2", "scoreboard.css")
    )
    text = filled(
        template,
        resource("report.css") + style,
        rows=list(map(_row, entries)),
        statuses=Counter(each.found(EPS.name) or UNKNOWN for each in entries),
        scales=[f"{scale:g}" for scale in SCALES],
        eps_of_costs=EPS_OF_COSTS,
        plot=plot.drawn(entries),
        summary=summary(entries),
    )
    return f"{text}\n"


def _row(entry: Entry) -> Mapping[str, Any]:
    eps = f"default eps {entry.shown_eps}" if entry.default_eps else ""
    return {
        "entry": entry,
        "about": list(filter(None, (*entry.packages, entry.language, eps, judged(entry)))),
        "key": quote(entry.name, safe=""),
        "eps": entry.found(EPS.name) or UNKNOWN,
        "correction": entry.found(CORRECTION.name),
        "deviates": {each.axis for each in entry.axes if each.deviates},
        "unexpected": not all(deviation.known for deviation in entry.deviations),
        "costs": list(_costs(entry)),
    }


def _costs(entry: Entry) -> Iterator[tuple[float, str]]:
    """Yield for each scale what to sort by, and what to show."""
    yield from zip(entry.costs or (-1.0,) * len(SCALES), entry.shown_costs, strict=True)
