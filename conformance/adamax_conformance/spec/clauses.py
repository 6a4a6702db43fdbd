"""The clauses of docs/spec.md, read from the document itself."""

import re
from dataclasses import dataclass
from importlib.resources import files

_HEADING = re.compile(r"^### (?P<id>[A-Z]-\d+) (?P<title>.*?)(?P<required> \*\(required\)\*)?$")
_SECTION = re.compile(r"^(?=##+ )", re.MULTILINE)


@dataclass(frozen=True)
class Clause:
    """A numbered decision.

    Attributes:
        id: ``A-5``.
        title: the decision in a few words, as in the heading of the document.
        required: True if it binds every backend; other clauses bind backends with the feature.
        words: the text of the clause, in Markdown, without its list of cases or tests.
    """

    id: str
    title: str
    required: bool
    words: str


_SECTIONS = _SECTION.split((files(__name__.rpartition(".")[0]) / "spec.md").read_text("utf-8"))


def _clauses() -> tuple[Clause, ...]:
    found = []
    for section in _SECTIONS:
        heading, _, text = section.partition("\n")
        if match := _HEADING.match(heading):
            words = re.split(r"\n(?:Cases|Tests):", text)[0].strip()
            found.append(Clause(match["id"], match["title"], bool(match["required"]), words))
    return tuple(found)


CLAUSES = _clauses()
"""In the order of the document."""

HOW_RIGHT = next(
    text.strip()
    for heading, _, text in (section.partition("\n") for section in _SECTIONS)
    if heading == "## How right is right"
)
"""The section of the document on bounds in general, in Markdown."""
