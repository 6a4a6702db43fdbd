"""Generate the vectors: take the inputs from their definitions and compute everything else.

The same inputs give the same bytes. A published id keeps its inputs for ever, so that results
recorded under it keep their meaning.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from adamax_conformance.exchange.wire import encode_run
from adamax_conformance.subject.watched import Watched
from adamax_conformance.variants import WRONG, Wrong
from adamax_conformance.vectors.compare import outside, runs
from adamax_conformance.vectors.expected import expected
from adamax_conformance.vectors.sources import RETIRED, Source, sources
from adamax_conformance.vectors.vector import Vector, load


def generated(
    definitions: Iterable[Source] | None = None,
    *,
    variants: Sequence[Wrong] = WRONG,
    advance: Callable[[], None] = lambda: None,
) -> list[Vector]:
    """Compute every vector from its definition.

    Args:
        definitions: definitions of the vectors; `sources` by default.
        variants: the wrong variants that `Vector.kills` may name.
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
    advance: Callable[[], None] = lambda: None,
) -> list[Vector]:
    """Return the vectors with the ids of the variants that leave their intervals."""
    vectors = list(vectors)
    kills: dict[str, list[str]] = {vector.id: [] for vector in vectors}
    for variant in variants:
        backend = Watched(variant.backend)
        with warnings.catch_warnings():
            # A warning of a wrong variant must not decide whether it is killed.
            warnings.simplefilter("ignore")
            for vector in vectors:
                if runs(backend, vector) and outside(backend, vector):
                    kills[vector.id].append(variant.id)
        advance()
    return [replace(each, kills=tuple(sorted(kills[each.id]))) for each in vectors]


def require_kept(new: Iterable[Vector], published: Iterable[Vector] | None = None) -> None:
    """Raise unless each published id is still there, with the inputs that it was published with.

    Args:
        new: the vectors to publish.
        published: the published vectors; the file of the package by default.

    Raises:
        ValueError: an id is missing, has other inputs, or reuses a retired id.
    """
    inputs = {each.id: encode_run(each.trial.run) for each in new}
    for each in load() if published is None else published:
        if each.id not in inputs and each.id not in RETIRED:
            raise ValueError(
                f"{each.id} is published but no longer defined: restore it, or list it in RETIRED "
                "of vectors/sources.py with the reason; never rename an id"
            )
        if each.id in inputs and inputs[each.id] != encode_run(each.trial.run):
            raise ValueError(
                f"the inputs of {each.id} differ from the published ones: restore them, or give "
                "the new inputs a new id"
            )
    if back := sorted({*inputs} & {*RETIRED}):
        raise ValueError(f"{back[0]} is retired: choose another id")
