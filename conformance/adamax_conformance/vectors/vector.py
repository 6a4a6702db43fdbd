"""What a vector is, and how a file of vectors is read and written, a file a clause.

A file has one form only: sorted, indented by one, so that a difference between two is one of
meaning. Its schema is ``schemas/vectors.schema.json``.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adamax_conformance.exchange.wire import decode_trial, encode_trial
from adamax_conformance.judging.run import Trial
from adamax_conformance.spec.clauses import CLAUSES
from adamax_conformance.vectors.expected import Element, Elements, Expected

FOLDER = Path(__file__).parent
"""Where the published vectors are."""

VERSION = 1
_WIDTH = 100


@dataclass(frozen=True)
class Vector:
    """A run, and what may come out of it.

    Attributes:
        id: permanent, such as ``A-5/decays[float32]``.
        note: why it exists.
        dtype: dtype of the parameters, or of most of them.
        flags: what an implementation must offer to run it, of
            `adamax_conformance.subject.backend.FEATURES`.
        trial: the run, and the quantities that it is about.
        steps: what each parameter may be after each step; None where the run is to be refused.
        kills: ids of the broken variants that it tells from the rule.
    """

    id: str
    note: str
    dtype: str
    flags: tuple[str, ...]
    trial: Trial
    steps: Sequence[Mapping[str, Expected]] | None
    kills: tuple[str, ...] = ()

    @property
    def clause(self) -> str:
        """The clause of docs/spec.md that the vector is about."""
        return self.id.partition("/")[0]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "id": self.id,
            "note": self.note,
            "dtype": self.dtype,
            "flags": sorted(self.flags),
            "trial": encode_trial(self.trial),
            "expected": {"refused": True} if self.steps is None else {"steps": self._steps()},
            "kills": sorted(self.kills),
        }

    def _steps(self) -> list[dict[str, Any]]:
        return [
            {
                name: {
                    "step": each.step,
                    "kept": each.kept,
                    **{
                        quantity: [element.document() for element in elements.all]
                        for quantity, elements in each.quantities.items()
                    },
                }
                for name, each in step.items()
            }
            for step in self.steps or ()
        ]

    @classmethod
    def of(cls, document: Any) -> "Vector":
        """The vector of a document of the schema."""
        steps = document["expected"].get("steps")
        return cls(
            id=document["id"],
            note=document["note"],
            dtype=document["dtype"],
            flags=tuple(document["flags"]),
            trial=decode_trial(document["trial"]),
            steps=None if steps is None else [_expected(step) for step in steps],
            kills=tuple(document["kills"]),
        )


def _expected(step: Mapping[str, Any]) -> dict[str, Expected]:
    return {
        name: Expected(
            each["step"],
            each["kept"],
            {
                quantity: Elements(tuple(map(Element.of, elements)))
                for quantity, elements in each.items()
                if quantity not in ("step", "kept")
            },
        )
        for name, each in step.items()
    }


def file_name(clause: str) -> str:
    """The file of the vectors of a clause."""
    return f"{clause}.json"


def in_order(vectors: Iterable[Vector]) -> list[Vector]:
    """By clause, in the order of docs/spec.md, then by id."""
    clauses = [clause.id for clause in CLAUSES]
    return sorted(vectors, key=lambda each: (clauses.index(each.clause), each.id))


def read(folder: Path = FOLDER) -> dict[str, Any]:
    """The documents of a folder by the names of their files.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is not JSON; names it.
    """
    documents = {}
    for path in sorted(folder.glob("*-*.json")):
        try:
            documents[path.name] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path.name} is not JSON: {error}") from error
    return documents


def load(folder: Path = FOLDER) -> tuple[Vector, ...]:
    """Every vector of a folder, those of this package by default, in the order of the clauses.

    The files are taken to be right: `adamax_conformance.vectors.lint` is what looks at them.

    >>> {vector.clause for vector in load()} >= {"A-5", "N-5"}
    True
    """
    documents = read(folder).values()
    return tuple(
        in_order(Vector.of(each) for document in documents for each in document["vectors"])
    )


def texts(vectors: Iterable[Vector]) -> dict[str, str]:
    """The files of these vectors, by name."""
    titles = {clause.id: clause.title for clause in CLAUSES}
    documents: dict[str, Any] = {}
    for vector in in_order(vectors):
        clause = vector.clause
        empty = {"version": VERSION, "clause": clause, "title": titles[clause], "vectors": []}
        document = documents.setdefault(file_name(clause), empty)
        document["vectors"].append(vector.document())
    return {name: canonical(document) for name, document in documents.items()}


def canonical(document: Any) -> str:
    """The one form of a document: on one line what is short, or has nothing nested in it."""
    return "\n".join(_lines(document, "")) + "\n"


def _lines(document: Any, indent: str) -> list[str]:
    short = json.dumps(document, ensure_ascii=False)
    children = document.values() if isinstance(document, dict) else document
    flat = not isinstance(document, dict | list) or not any(
        isinstance(child, dict | list) for child in children
    )
    if flat or len(indent) + len(short) <= _WIDTH:
        return [short]
    if isinstance(document, dict):
        parts = [(f"{json.dumps(key)}: ", value) for key, value in document.items()]
    else:
        parts = [("", value) for value in document]
    opening, closing = "{}" if isinstance(document, dict) else "[]"
    lines = [opening]
    for index, (key, value) in enumerate(parts):
        first, *rest = _lines(value, indent + " ")
        block = [f" {key}{first}", *(f" {line}" for line in rest)]
        block[-1] += "," if index < len(parts) - 1 else ""
        lines += block
    return [*lines, closing]


def digest(trial: Any) -> str:
    """What the lock keeps of the inputs of a vector: the SHA-256 of its trial, as JSON.

    Args:
        trial: the document of the trial.
    """
    text = json.dumps(trial, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
