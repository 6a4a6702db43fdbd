"""The scoreboard as GitHub Markdown, with the deviations folded under the table."""

from collections.abc import Iterator, Sequence
from html import escape

from adamax_conformance.dialects.axes import AXES
from adamax_conformance.reports.failure import written
from adamax_conformance.reports.markdown import escaped, fenced
from adamax_conformance.scoreboard.entry import EPS_OF_COSTS, SCALES, Deviation, Entry, OnAxis
from adamax_conformance.scoreboard.summary import judged, summary


def page(entries: Sequence[Entry]) -> str:
    """Return the scoreboard as Markdown."""
    lines = [
        "# Which Adamax is this, and does it matter?",
        "",
        f"{escaped(summary(entries))}.",
        "",
        "Size of a hundred steps over that of the specification's, by the scale of the gradients,",
        f"{EPS_OF_COSTS}:",
        "",
        *_table(entries),
        "",
        "On every axis of the dialect; **bold** deviates from the specification:",
        "",
        *_axes(entries),
    ]
    for entry in entries:
        lines += ["", f"## {escaped(entry.name)}", "", *_about(entry)]
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _table(entries: Sequence[Entry]) -> Iterator[str]:
    yield _row(
        "implementation", "version", "language", "default eps", *(f"{scale:g}" for scale in SCALES)
    )
    yield _row(*("---" for _ in range(3)), *("---:" for _ in ("eps", *SCALES)))
    for entry in entries:
        version = ", ".join(entry.packages) or "-"
        about = map(escaped, (entry.name, version, entry.language))
        yield _row(*about, entry.shown_eps, *entry.shown_costs)


def _axes(entries: Sequence[Entry]) -> Iterator[str]:
    yield _row("implementation", *(axis.name for axis in AXES))
    yield _row("---", *("---" for _ in AXES))
    for entry in entries:
        found = {each.axis: each for each in entry.axes}
        yield _row(escaped(entry.name), *(_cell(found.get(axis.name)) for axis in AXES))


def _cell(axis: OnAxis | None) -> str:
    text = escaped(axis.found) if axis else ""
    return f"**{text}**" if axis and axis.deviates else text


def _about(entry: Entry) -> Iterator[str]:
    if entry.broken:
        yield f"Not judged: {escaped(entry.broken)}"
        return
    yield f"{escaped('; '.join(filter(None, (entry.outcome, judged(entry)))))}."
    yield ""
    for name, _conformant, sentence in entry.grades:
        yield f"- {name}: {escaped(sentence)}"
    for deviation in entry.deviations:
        yield from _deviation(deviation)


def _deviation(deviation: Deviation) -> Iterator[str]:
    link = f' (<a href="{escape(deviation.url)}">link</a>)' if deviation.url else ""
    unknown = "" if deviation.known else "not expected: "
    cases = f"{len(deviation.cases)} case{'s'[: len(deviation.cases) != 1]}"
    yield ""
    yield f"<details><summary>{unknown}{escape(deviation.reason)}{link}: {cases}</summary>"
    yield ""
    yield from fenced([*written(deviation.facts), f"  in all: {', '.join(deviation.cases)}"])
    yield ""
    yield "</details>"
