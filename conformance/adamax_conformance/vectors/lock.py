"""``ids.lock``: every id that was ever published, a digest of its inputs, and whether it retired.

An id keeps its inputs for ever, so that a result somebody has noted under it keeps its meaning. To
retire one, write ``"retired": "why"`` into its entry, and run ``vectors generate``: the vector goes
away, and if there is still a definition of it, a new one comes, under the id with ``#2`` after it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adamax_conformance.exchange.schemas import require
from adamax_conformance.vectors.vector import FOLDER, Vector, canonical, digest

FILE = "ids.lock"


@dataclass(frozen=True)
class Entry:
    """What is kept of an id.

    Attributes:
        digest: of its inputs.
        retired: why it is no longer there; None while it is.
    """

    digest: str
    retired: str | None = None


class LockError(ValueError):
    """A published id would get another meaning; the message says which, and what to do."""


def read_lock(folder: Path = FOLDER) -> dict[str, Entry]:
    """The lock of a folder; an empty one where there is none.

    Raises:
        ValueError: it is not JSON, or not of the schema.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{FILE} is not JSON: {error}") from error
    require("ids", document)
    return {name: Entry(**entry) for name, entry in document["ids"].items()}


def lock_text(lock: Mapping[str, Entry]) -> str:
    """The file of a lock.

    >>> print(lock_text({"A-5/decays[float32]": Entry("00", "it was too long")}), end="")
    {"version": 1, "ids": {"A-5/decays[float32]": {"digest": "00", "retired": "it was too long"}}}
    """
    ids: dict[str, Any] = {}
    for name, entry in sorted(lock.items()):
        ids[name] = {"digest": entry.digest}
        if entry.retired is not None:
            ids[name]["retired"] = entry.retired
    return canonical({"version": 1, "ids": ids})


def current(name: str, lock: Mapping[str, Entry]) -> str:
    """The id under which a definition is published now: its own, or the next that is not retired.

    >>> current("A-5/decays[float32]", {"A-5/decays[float32]": Entry("00", "too long")})
    'A-5/decays[float32]#2'
    """
    candidate, number = name, 1
    while candidate in lock and lock[candidate].retired is not None:
        number += 1
        candidate = f"{name}#{number}"
    return candidate


def locked(vectors: Iterable[Vector], lock: Mapping[str, Entry]) -> dict[str, Entry]:
    """The lock with the ids of these vectors.

    Raises:
        LockError: the inputs of an id are not those that it was published with.
    """
    result = dict(lock)
    for vector in vectors:
        now = digest(vector.document()["trial"])
        entry = result.setdefault(vector.id, Entry(now))
        if entry.digest != now:
            raise LockError(
                f"the inputs of {vector.id} are not those it was published with: put them back, "
                f'or retire the id ("retired": "why" in {FILE}) and generate again, which gives '
                f"the new inputs the id {vector.id.partition('#')[0]}#2 or the next that is free"
            )
    return result
