"""Compare a backend with a vector: the loop of GUIDE.md, for backends of the judge."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from adamax_conformance.judging.judge import Shown, follow
from adamax_conformance.subject.watched import BackendError, MalformedError, Watched
from adamax_conformance.vectors.expected import Expected
from adamax_conformance.vectors.vector import Vector


def runs(backend: Watched, vector: Vector) -> bool:
    """Does the backend offer all that the vector needs?"""
    dtypes = {param.dtype.name for param in vector.trial.run.params.values()}
    return dtypes <= {*backend.backend.dtypes} and backend.features >= {*vector.flags}


def outside(backend: Watched, vector: Vector) -> str:
    """Return the first result that the vector does not allow, in words; empty if there is none.

    >>> from adamax_conformance.registry import find
    >>> from adamax_conformance.vectors import load
    >>> outside(Watched(find("numpy")), load()[0])
    ''
    """
    try:
        with np.errstate(all="ignore"):
            return _outside(backend, vector)
    except MalformedError as error:
        return str(error)
    except BackendError as error:
        return "" if vector.steps is None else str(error)


def _outside(backend: Watched, vector: Vector) -> str:
    # A backend may write to loaded arrays, and other backends use the vector too.
    shown = follow(backend, vector.trial.run.kept())
    before = next(shown)
    for number, after in enumerate(shown, 1):
        expected = vector.steps[number - 1] if vector.steps else {}
        for name, each in expected.items():
            if what := _wrong(each, _values(before, name), _values(after, name)):
                return f"step {number}, {name}, {what}"
        before = after
    return "" if vector.steps is not None else "it was not refused"


def _values(shown: Shown, name: str) -> dict[str, Any]:
    # The moments first: a wrong parameter may only follow from them.
    return {**(shown.moments[name]._asdict() if shown.moments else {}), "param": shown.params[name]}


def _wrong(expected: Expected, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if new.get("step", expected.step) != expected.step:
        return f"step: got {new['step']}, must be {expected.step}"
    for quantity, got in new.items():
        if expected.kept and np.asarray(got).tobytes() != np.asarray(old[quantity]).tobytes():
            return f"{quantity}: got {got}, must stay {old[quantity]}: it has no gradient"
        elements = expected.quantities.get(quantity)
        if elements is not None and (wrong := elements.outside(got)):
            first = wrong[0]
            return f"{quantity}, number {first}: got {got}, allowed {elements.all[first]}"
    return ""
