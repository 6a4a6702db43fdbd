"""What can be wrong with a folder of vectors, without computing any of them again."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gmpy2 import mpq

from adamax_conformance.exchange.schemas import SchemaError, require
from adamax_conformance.exchange.wire import WireError, encode_trial
from adamax_conformance.spec.clauses import CLAUSES
from adamax_conformance.subject.backend import FEATURES
from adamax_conformance.vectors.expected import Element, Expected
from adamax_conformance.vectors.lock import FILE, lock_text, read_lock
from adamax_conformance.vectors.vector import (
    FOLDER,
    Vector,
    digest,
    file_name,
    read,
    texts,
)


def _some(folder: Path) -> dict[str, Any]:
    if documents := read(folder):
        return dict(documents)
    raise ValueError(f"there are no vectors in {folder}")


def problems(folder: Path = FOLDER) -> list[str]:
    """Everything that is wrong with a folder, a line each; nothing where all is right."""
    try:
        documents, lock = _some(folder), read_lock(folder)
    except (OSError, ValueError) as error:
        return [str(error)]
    found: list[str] = []
    vectors: list[Vector] = []
    for name, document in documents.items():
        try:
            require("vectors", document)
            vectors += [Vector.of(each) for each in document["vectors"]]
        except (SchemaError, WireError) as error:
            found.append(f"{name}: {error}")
    if found:
        return found
    for name, document in documents.items():
        found += [f"{name}: {each}" for each in _of_file(name, document)]
    if not found:
        for name, text in texts(vectors).items():
            if (folder / name).read_text(encoding="utf-8") != text:
                found.append(f"{name} is not sorted and formatted as `vectors generate` does it")
    for vector in vectors:
        found += [f"{vector.id}: {each}" for each in _of_vector(vector)]
    return found + list(_of_lock(folder, vectors, lock))


def _of_file(name: str, document: Any) -> Iterator[str]:
    titles = {clause.id: clause.title for clause in CLAUSES}
    clause = document["clause"]
    if clause not in titles:
        yield f"there is no clause {clause}"
    elif (name, document["title"]) != (file_name(clause), titles[clause]):
        yield f"name and title must be those of {clause}: {file_name(clause)}, {titles[clause]!r}"
    for vector in document["vectors"]:
        if vector["id"].partition("/")[0] != clause:
            yield f"{vector['id']} is of another clause"


def _of_vector(vector: Vector) -> Iterator[str]:
    if unknown := {*vector.flags} - {*FEATURES}:
        yield f"unknown flags {', '.join(sorted(unknown))}: there are {', '.join(FEATURES)}"
    run = vector.trial.run
    if vector.dtype not in {param.dtype.name for param in run.params.values()}:
        yield f"no parameter is of dtype {vector.dtype}"
    if vector.steps is None:
        return
    if len(vector.steps) != len(run.grads):
        yield f"{len(vector.steps)} steps are expected, {len(run.grads)} are run"
        return
    for index, step in enumerate(vector.steps):
        if set(step) != set(run.params):
            yield f"step {index + 1} is not of the parameters that are run"
            continue
        for name, expected in step.items():
            for what in _of_expected(expected, run.params[name], given=name in run.grads[index]):
                yield f"step {index + 1}, {name}, {what}"


def _of_expected(expected: Expected, param: Any, *, given: bool) -> Iterator[str]:
    if expected.kept == given:
        yield f"kept: must be {str(not given).lower()}, as the gradients are"
    numbers = param.size * (2 if param.dtype.kind == "c" else 1)
    for quantity, elements in expected.quantities.items():
        if len(elements.all) != numbers:
            yield f"{quantity}: {len(elements.all)} numbers for {numbers}"
        for index, element in enumerate(elements.all):
            if what := _of_element(element):
                yield f"{quantity}, number {index}: {what}"


def _of_element(element: Element) -> str:
    if element.free or element.special is not None:
        return ""
    if not element.low <= element.high:
        return f"low {element.low} is above high {element.high}"
    if element.exact is None:
        return ""
    exact = mpq(element.exact)
    if str(exact) != element.exact:
        return f"{element.exact} is not in lowest terms"
    above = math.isinf(element.low) or mpq(element.low) <= exact
    below = math.isinf(element.high) or exact <= mpq(element.high)
    return "" if above and below else f"exact {element.exact} is outside the interval"


def _of_lock(folder: Path, vectors: list[Vector], lock: Any) -> Iterator[str]:
    there = [vector.id for vector in vectors]
    for twice in sorted({each for each in there if there.count(each) > 1}):
        yield f"{twice} is there twice"
    for vector in vectors:
        entry = lock.get(vector.id)
        if entry is None:
            yield f"{vector.id} is not in {FILE}: run `vectors generate`"
        elif entry.retired is not None:
            yield f"{vector.id} has retired ({entry.retired}), and is there"
        elif entry.digest != digest(encode_trial(vector.trial)):
            yield f"the inputs of {vector.id} are not those it was published with"
    for name, entry in lock.items():
        if entry.retired is None and name not in there:
            yield f"{name} is in {FILE}, and gone: ids retire, with a reason"
    if (folder / FILE).exists() and (folder / FILE).read_text(encoding="utf-8") != lock_text(lock):
        yield f"{FILE} is not sorted and formatted as `vectors generate` does it"
