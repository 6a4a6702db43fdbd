"""Expectations: known deviations of a backend, declared by the backend or in a file of the user.

An expectation is strict: a case that passes against it is a failure (xpass), and an unknown id is
an error. So the file stays correct.
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
"""Statuses to expect: a wrong result, an error, or a case that is not to be run."""

_EXAMPLE = '[[expect]] id = "N-3", status = "fail", reason = "...", url = "https://..."'


@dataclass(frozen=True)
class Expectation:
    """A known deviation.

    Attributes:
        id: a clause, ``CLAUSE/name`` or ``CLAUSE/name[dtype]``.
        reason: the reason, in words.
        status: one of `STATUSES`; None for either of the first two.
        url: link to a discussion, or empty.
    """

    id: str
    reason: str
    status: str | None = None
    url: str = ""

    def __str__(self) -> str:
        return f"{self.reason} ({self.url})" if self.url else self.reason


class ExpectationError(ValueError):
    """A file of expectations is invalid; the message says where and why."""


class Expectations:
    """The known deviations of one backend; the most specific id wins: case[dtype], case, clause.

    >>> known = Expectations([Expectation("N-3", "cancels"), Expectation("N-3/x[float32]", "why")])
    >>> known.of("N-3/x", "float32").reason, known.of("N-3/x", "float64").reason
    ('why', 'cancels')
    """

    def __init__(self, expectations: Iterable[Expectation] = ()) -> None:
        self.by_id = {each.id: each for each in expectations}

    @classmethod
    def of_deviations(cls, deviations: Mapping[str, str]) -> "Expectations":
        """Return the expectations of a backend's own deviations, ``{id: reason}``."""
        return cls(Expectation(key, reason) for key, reason in deviations.items())

    def of(self, case: str, dtype: str) -> Expectation | None:
        """Return the expectation for a case in a dtype, if there is one."""
        keys = (f"{case}[{dtype}]", case, case.partition("/")[0])
        return next((self.by_id[key] for key in keys if key in self.by_id), None)

    def __or__(self, other: "Expectations") -> "Expectations":
        return Expectations((self.by_id | other.by_id).values())

    @property
    def unknown(self) -> list[str]:
        """Ids that name no clause, case or case in a dtype."""
        known = {clause.id for clause in CLAUSES} | {case.id for case in CASES}
        known |= {f"{case.id}[{dtype}]" for case in CASES for dtype in case.dtypes}
        return sorted(set(self.by_id) - known)


def load(path: Path) -> Expectations:
    """Read the expectations in a TOML file of ``[[expect]]`` tables.

    Raises:
        ExpectationError: invalid TOML, an unknown key, status or id, or a duplicate id.
        OSError: the file cannot be read.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExpectationError(f"{path}: {error}") from error
    entries = document.pop("expect", [])
    if document or not isinstance(entries, list):
        raise ExpectationError(f"{path}: must have only tables such as {_EXAMPLE}")
    found = [_entry(path, number, entry) for number, entry in enumerate(entries, 1)]
    expectations = Expectations(found)
    if len(expectations.by_id) < len(found):
        twice = sorted({e.id for e in found if sum(e.id == other.id for other in found) > 1})
        raise ExpectationError(f"{path}: more than one expectation for {', '.join(twice)}")
    if expectations.unknown:
        raise ExpectationError(
            f"{path}: no such clause or case: {', '.join(expectations.unknown)}; "
            "see `adamax-conformance list cases`"
        )
    return expectations


def _entry(path: Path, number: int, entry: Any) -> Expectation:
    where = f"{path}: expectation {number}"
    if not isinstance(entry, dict) or not {"id", "status", "reason"} <= set(entry):
        raise ExpectationError(f"{where} needs id, status and reason, as in {_EXAMPLE}")
    if extra := sorted(set(entry) - {"id", "status", "reason", "url"}):
        raise ExpectationError(
            f"{where} has {', '.join(extra)}: the only keys are id, status, reason, url"
        )
    if wrong := [key for key, value in entry.items() if not isinstance(value, str)]:
        raise ExpectationError(f"{where}: {wrong[0]} = {entry[wrong[0]]!r} must be text")
    if entry["status"] not in STATUSES:
        raise ExpectationError(
            f"{where}: status = {entry['status']!r} must be one of {', '.join(STATUSES)}"
        )
    return Expectation(**entry)


def dump(expectations: Iterable[Expectation], path: Path) -> None:
    """Write a file that `load` reads.

    Raises:
        OSError: the file cannot be written.
    """
    lines = ["# Known deviations. Strict: one that passes counts as a failure."]
    for each in expectations:
        entry = {"id": each.id, "status": each.status or "fail", "reason": each.reason}
        entry |= {"url": each.url} if each.url else {}
        lines += ["", "[[expect]]", *(f"{key} = {_quoted(text)}" for key, text in entry.items())]
    # TOML cannot spell a lone surrogate, which a foreign message may contain.
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="replace")


def _quoted(text: str) -> str:
    """Return the text as a TOML basic string: a JSON string with DEL escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
