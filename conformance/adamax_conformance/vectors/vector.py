"""A vector, and files of vectors: JSON Lines, one vector per line.

A file has one canonical form, so a changed line is a changed vector. The schema of a line is
``schemas/vector.schema.json``.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adamax_conformance.exchange.wire import decode_trial, encode_trial
from adamax_conformance.judging.run import Trial
from adamax_conformance.spec.clauses import CLAUSES
from adamax_conformance.vectors.expected import Element, Elements, Expected

FILE = Path(__file__).with_name("vectors.jsonl")
"""The published vectors."""


@dataclass(frozen=True)
class Vector:
    """A run and its allowed results.

    Attributes:
        id: permanent id, such as ``A-5/decays[float32]``.
        note: why it exists.
        dtype: dtype of the parameters, or of most of them.
        flags: features that an implementation needs to run it, of
            `adamax_conformance.subject.backend.FEATURES`.
        trial: the run, and the quantities to compare.
        steps: allowed values of each parameter after each step; None if the run must be refused.
        kills: ids of the wrong variants that it catches.
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
        """Return the vector as JSON."""
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
        """Return the vector of a document of the schema."""
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


def load(path: Path = FILE) -> tuple[Vector, ...]:
    """Return every vector of a file, that of this package by default.

    >>> {vector.clause for vector in load()} >= {"A-5", "N-5"}
    True
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(Vector.of(json.loads(line)) for line in lines)


def dump(vectors: Iterable[Vector]) -> str:
    """Return the text of a file of these vectors, sorted by clause, then by id."""
    clauses = [clause.id for clause in CLAUSES]
    ordered = sorted(vectors, key=lambda each: (clauses.index(each.clause), each.id))
    return "".join(
        json.dumps(each.document(), ensure_ascii=False, separators=(",", ":")) + "\n"
        for each in ordered
    )
