"""What a backend is known to do wrong, as it says itself, or as a file of its user says.

An expectation is strict. One that does not show is a failure (xpass), and one about a case that
does not exist is an error, so that the file stays true.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adamax_conformance.cases import CASES
from adamax_conformance.spec.clauses import CLAUSES

STATUSES = ("fail", "error", "skip")
"""What can be expected: to be wrong, to raise, or, unlike the others, not to be run at all."""

_EXAMPLE = '[[expect]] id = "N-3", status = "fail", reason = "...", url = "https://..."'


@dataclass(frozen=True)
class Expectation:
    """One thing that is known.

    Attributes:
        id: a clause, ``CLAUSE/name`` or ``CLAUSE/name[dtype]``.
        reason: why, in words.
        status: one of `STATUSES`; None for either of the first two.
        url: where it is discussed, or empty.
    """

    id: str
    reason: str
    status: str | None = None
    url: str = ""

    def __str__(self) -> str:
        return f"{self.reason} ({self.url})" if self.url else self.reason


class ExpectationError(ValueError):
    """A file of expectations is not what it should be; the message says where, and what is."""


class Expectations:
    """What is known of one backend; the closest id wins: case and dtype, case, clause.

    >>> known = Expectations([Expectation("N-3", "cancels"), Expectation("N-3/x[float32]", "why")])
    >>> known.of("N-3/x", "float32").reason, known.of("N-3/x", "float64").reason
    ('why', 'cancels')
    """

    def __init__(self, expectations: Iterable[Expectation] = ()) -> None:
        self.by_id = {each.id: each for each in expectations}

    @classmethod
    def of_deviations(cls, deviations: Mapping[str, str]) -> "Expectations":
        """Those that a backend states itself, ``{id: reason}``."""
        return cls(Expectation(key, reason) for key, reason in deviations.items())

    def of(self, case: str, dtype: str) -> Expectation | None:
        """What is known of a case in a dtype."""
        keys = (f"{case}[{dtype}]", case, case.partition("/")[0])
        return next((self.by_id[key] for key in keys if key in self.by_id), None)

    def __or__(self, other: "Expectations") -> "Expectations":
        return Expectations((self.by_id | other.by_id).values())

    @property
    def unknown(self) -> list[str]:
        """Ids of no clause, case or case in a dtype."""
        known = {clause.id for clause in CLAUSES} | {case.id for case in CASES}
        known |= {f"{case.id}[{dtype}]" for case in CASES for dtype in case.dtypes}
        return sorted(set(self.by_id) - known)


def load(path: Path) -> Expectations:
    """The expectations of a TOML file of ``[[expect]]`` tables.

    Raises:
        ExpectationError: not TOML, a key or status that there is not, an id of nothing, one twice.
        OSError: the file cannot be read.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExpectationError(f"{path}: {error}") from error
    entries = document.pop("expect", [])
    if document or not isinstance(entries, list):
        raise ExpectationError(f"{path}: a file of expectations has {_EXAMPLE}, nothing else")
    found = [_entry(path, number, entry) for number, entry in enumerate(entries, 1)]
    expectations = Expectations(found)
    if len(expectations.by_id) < len(found):
        twice = sorted({e.id for e in found if sum(e.id == other.id for other in found) > 1})
        raise ExpectationError(f"{path}: more than one expectation for {', '.join(twice)}")
    if expectations.unknown:
        raise ExpectationError(
            f"{path}: no such clause or case: {', '.join(expectations.unknown)}; "
            "`adamax-conformance list cases` has them all"
        )
    return expectations


def _entry(path: Path, number: int, entry: Any) -> Expectation:
    where = f"{path}: expectation {number}"
    if not isinstance(entry, dict) or not {"id", "status", "reason"} <= set(entry):
        raise ExpectationError(f"{where} needs id, status and reason, as in {_EXAMPLE}")
    if extra := sorted(set(entry) - {"id", "status", "reason", "url"}):
        raise ExpectationError(f"{where} has {', '.join(extra)}: it takes id, status, reason, url")
    if wrong := [key for key, value in entry.items() if not isinstance(value, str)]:
        raise ExpectationError(f"{where}: {wrong[0]} = {entry[wrong[0]]!r} is not text")
    if entry["status"] not in STATUSES:
        raise ExpectationError(
            f"{where}: status = {entry['status']!r} is not one of {', '.join(STATUSES)}"
        )
    return Expectation(**entry)


def dump(expectations: Iterable[Expectation], path: Path) -> None:
    """Write a file that `load` reads.

    Raises:
        OSError: the file cannot be written.
    """
    lines = ["# What is known to deviate; strict: what no longer shows fails."]
    for each in expectations:
        entry = {"id": each.id, "status": each.status or "fail", "reason": each.reason}
        entry |= {"url": each.url} if each.url else {}
        lines += ["", "[[expect]]", *(f"{key} = {_quoted(text)}" for key, text in entry.items())]
    # Half of a surrogate pair, which a foreign message may hold, has no spelling in TOML.
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="replace")


def _quoted(text: str) -> str:
    """Return the text as a TOML basic string: a JSON string with DEL escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
