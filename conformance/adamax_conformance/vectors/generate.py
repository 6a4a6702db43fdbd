"""Generate the vectors: inputs from their definitions, all else computed from the inputs.

The same inputs give the same bytes. A published id keeps its inputs for ever, so that a result that
somebody has noted under it keeps its meaning.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from adamax_conformance.exchange.wire import encode_trial
from adamax_conformance.subject.watched import Watched
from adamax_conformance.variants import WRONG, Wrong
from adamax_conformance.vectors.compare import outside, runs
from adamax_conformance.vectors.expected import expected
from adamax_conformance.vectors.sources import RETIRED, Source, sources
from adamax_conformance.vectors.vector import Vector, load


def _nothing() -> None: ...


def generated(
    definitions: Iterable[Source] | None = None,
    *,
    variants: Sequence[Wrong] = WRONG,
    advance: Callable[[], None] = _nothing,
) -> list[Vector]:
    """Compute every vector from its definition.

    Args:
        definitions: what the vectors are made of; `sources` by default.
        variants: the broken variants that `Vector.kills` may name.
        advance: called after each variant.
    """
    definitions = sources() if definitions is None else definitions
    return with_kills(map(_computed, definitions), variants, advance)


def _computed(source: Source) -> Vector:
    with np.errstate(all="ignore"):
        steps = None if source.refused else expected(source.trial)
    return Vector(source.id, source.note, source.dtype, source.flags, source.trial, steps)


def with_kills(
    vectors: Iterable[Vector],
    variants: Sequence[Wrong] = WRONG,
    advance: Callable[[], None] = _nothing,
) -> list[Vector]:
    """Return the vectors with the ids of the variants that leave their intervals."""
    vectors = list(vectors)
    kills: dict[str, list[str]] = {vector.id: [] for vector in vectors}
    for variant in variants:
        backend = Watched(variant.backend)
        with warnings.catch_warnings():
            # A warning of a broken variant must not decide whether it is killed.
            warnings.simplefilter("ignore")
            for vector in vectors:
                if runs(backend, vector) and outside(backend, vector):
                    kills[vector.id].append(variant.id)
        advance()
    return [replace(each, kills=tuple(sorted(kills[each.id]))) for each in vectors]


def require_kept(new: Iterable[Vector], published: Iterable[Vector] | None = None) -> None:
    """Return if each published id is still there, with the inputs it was published with.

    Args:
        new: the vectors that are to be published.
        published: those that are; the file of the package by default.

    Raises:
        ValueError: an id is gone, has other inputs, or comes back after it was retired.
    """
    trials = {each.id: encode_trial(each.trial) for each in new}
    for each in load() if published is None else published:
        if each.id not in trials and each.id not in RETIRED:
            raise ValueError(
                f"{each.id} is published and no longer defined: put it back, or list it in RETIRED "
                "of vectors/sources.py with the reason; an id is never renamed"
            )
        if each.id in trials and trials[each.id] != encode_trial(each.trial):
            raise ValueError(
                f"the inputs of {each.id} are not those it was published with: put them back, or "
                "give the new inputs a new id"
            )
    if back := sorted({*trials} & {*RETIRED}):
        raise ValueError(f"{back[0]} is retired: choose another id")
