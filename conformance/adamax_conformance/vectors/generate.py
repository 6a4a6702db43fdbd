"""Making the files of vectors: inputs from their definitions, all else computed from the inputs.

What has an id in ``ids.lock`` and no definition (it was adopted, or its case is gone) keeps the
inputs that are in its file. The same inputs give the same bytes.
"""

import json
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from adamax_conformance.exchange.schemas import SchemaError, require
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.spec.clauses import CLAUSES
from adamax_conformance.subject.watched import Watched
from adamax_conformance.variants import WRONG, Wrong
from adamax_conformance.vectors.compare import outside, runs
from adamax_conformance.vectors.expected import expected
from adamax_conformance.vectors.lock import FILE, LockError, current, lock_text, locked, read_lock
from adamax_conformance.vectors.more import Source, sources
from adamax_conformance.vectors.vector import FOLDER, Vector, digest, load, texts

MOST_NUMBERS = 100
"""Of a vector: parameters times steps. What is longer nobody reads."""


def _nothing() -> None: ...


def generated(
    folder: Path = FOLDER,
    *,
    definitions: Iterable[Source] | None = None,
    variants: Sequence[Wrong] = WRONG,
    advance: Callable[[], None] = _nothing,
) -> dict[str, str]:
    """The files that should be in a folder, ``ids.lock`` among them, by name.

    Args:
        folder: where the lock, and what was adopted, is read.
        definitions: what the vectors are made of; `sources` by default.
        variants: what the vectors are to kill.
        advance: called after each variant.

    Raises:
        LockError: the inputs of a published id would change.
    """
    lock = read_lock(folder)
    defined = [
        source._replace(id=current(source.id, lock))
        for source in (sources() if definitions is None else definitions)
    ]
    ids = {source.id for source in defined}
    kept = [
        Source(each.id, each.note, each.dtype, each.flags, each.trial, each.steps is None)
        for each in load(folder)
        if each.id not in ids and (each.id not in lock or lock[each.id].retired is None)
    ]
    vectors = [_computed(source) for source in (*defined, *kept)]
    lock = locked(vectors, lock)
    return texts(with_kills(vectors, variants, advance)) | {FILE: lock_text(lock)}


def _computed(source: Source) -> Vector:
    with np.errstate(all="ignore"):
        steps = None if source.refused else expected(source.trial)
    return Vector(source.id, source.note, source.dtype, source.flags, source.trial, steps)


def with_kills(
    vectors: Iterable[Vector],
    variants: Sequence[Wrong] = WRONG,
    advance: Callable[[], None] = _nothing,
) -> list[Vector]:
    """The vectors with the ids of the variants that leave their intervals."""
    vectors = list(vectors)
    kills: dict[str, list[str]] = {vector.id: [] for vector in vectors}
    for variant in variants:
        backend = Watched(variant.backend)
        with warnings.catch_warnings():
            # What a broken variant warns of must not decide what becomes of it.
            warnings.simplefilter("ignore")
            for vector in vectors:
                if runs(backend, vector) and outside(backend, vector):
                    kills[vector.id].append(variant.id)
        advance()
    return [replace(each, kills=tuple(sorted(kills[each.id]))) for each in vectors]


def adopted(trial: Trial, name: str, note: str) -> Vector:
    """A vector of a run that was found elsewhere, by the fuzzer for one.

    Args:
        trial: the run.
        name: ``CLAUSE/name``; the dtype is added.
        note: why it exists.

    Raises:
        ValueError: the name is not of that form or its clause unknown; or the run is too long to
            be read.
    """
    clause, _, rest = name.partition("/")
    if clause not in {each.id for each in CLAUSES} or not re.fullmatch("[a-z0-9-]+", rest):
        raise ValueError(
            f"{name!r} is not a clause of docs/spec.md, a slash, and a name of a-z, 0-9 and -, "
            "such as A-5/eps-of-a-tail"
        )
    run = trial.run
    numbers = sum(param.size for param in run.params.values()) * len(run.grads)
    if not 0 < numbers <= MOST_NUMBERS:
        raise ValueError(
            f"the run has {numbers} numbers (elements times steps), a vector 1 to {MOST_NUMBERS}: "
            "shrink it first"
        )
    dtype = next(iter(run.params.values())).dtype.name
    return _computed(Source(f"{name}[{dtype}]", note, dtype, _needed(run), trial))


def adopt(
    vector: Vector,
    folder: Path = FOLDER,
    *,
    variants: Sequence[Wrong] = WRONG,
    advance: Callable[[], None] = _nothing,
) -> tuple[Vector, dict[str, str]]:
    """The vector with what it kills, and the files that change when it comes into a folder.

    Raises:
        LockError: its id is taken, by one that has retired perhaps.
    """
    lock = read_lock(folder)
    if vector.id in lock:
        raise LockError(f"{vector.id} is taken: choose another name")
    taken = {entry.digest: name for name, entry in lock.items() if entry.retired is None}
    if (twin := taken.get(digest(vector.document()["trial"]))) is not None:
        raise LockError(f"{twin} is the same run: there is nothing to adopt")
    [vector] = with_kills([vector], variants, advance)
    others = [each for each in load(folder) if each.clause == vector.clause]
    files = texts([*others, vector])
    for name, text in files.items():
        # Before an id is taken for ever; a note that is too short for one is turned down here.
        try:
            require("vectors", json.loads(text))
        except SchemaError as error:
            raise ValueError(f"{name} would not be of the schema: {error}") from error
    return vector, files | {FILE: lock_text(locked([vector], lock))}


def _needed(run: Run) -> tuple[str, ...]:
    """What an implementation must offer for a run."""
    hps = [run.at(index) for index in range(len(run.grads))]
    offered = {
        "maximize": any(hp.maximize for hp in hps),
        "weight_decay": any(hp.weight_decay and not hp.decoupled_weight_decay for hp in hps),
        "decoupled_weight_decay": any(hp.decoupled_weight_decay for hp in hps),
        "undecayed": bool(run.undecayed),
        "state_dtype": run.state_dtype is not None,
        "load": run.saved is not None,
    }
    return tuple(sorted(name for name, needed in offered.items() if needed))
