"""The smoke test: one plain step in each dtype, before any case."""

from collections.abc import Mapping

import numpy as np

import adamax_conformance_supervisor as supervisor
from adamax_conformance.cases.case import PLAIN
from adamax_conformance.spec.formats import COMPLEX, DTYPES, FLOATS, dtype_of
from adamax_conformance.subject.memory import copies
from adamax_conformance.subject.printable import printable
from adamax_conformance.subject.watched import BackendError, Watched


def unfit(backend: Watched) -> tuple[str, dict[str, str]]:
    """Return why the backend is broken, or, by dtype, why it is blocked in a few dtypes alone."""
    faults = _smoke(backend)
    if not faults:
        return f"the dtypes of the backend include none of {', '.join(DTYPES)}", {}
    if all(faults.values()):
        dtype, fault = next(iter(faults.items()))
        return f"the smoke test, one {dtype} step: {fault}", {}
    return "", {
        dtype: f"declares {dtype}, but cannot take one step in it: {fault}"
        for dtype, fault in faults.items()
        if fault
    }


def _smoke(backend: Watched) -> Mapping[str, str]:
    """Return why the backend cannot take one plain step, by dtype; empty for those in which it can.

    A broken harness is not a wrong rule. The parameters differ in shape, and their names are not
    in alphabetical order, so that a mix-up shows.
    """
    return {
        dtype: _fault(backend, dtype, {"w": (3,), "b": (2, 2)})
        for dtype in (*FLOATS[::-1], *COMPLEX)
        if dtype in backend.backend.dtypes
    }


def _fault(backend: Watched, dtype: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return why the backend cannot take one plain step; empty if it can."""
    supervisor.note(f"the smoke test of {printable(backend.backend.name)}, in {dtype}")
    params = {name: np.ones(shape, dtype_of(dtype)) for name, shape in shapes.items()}
    try:
        state = backend.init(params, PLAIN)
        backend.moments(params, state)
        stepped, state = backend.step(params, copies(params), state, PLAIN)
        backend.moments(stepped, state)
    except BackendError as error:
        each = shapes.items() if len(shapes) > 1 else ()
        works = [shape for name, shape in each if not _fault(backend, dtype, {name: shape})]
        if not works:
            return str(error)
        which = "" if len(works) == len(shapes) else f" of shape {works[0]}"
        return f"{error}; with one parameter{which} it works"
    return ""
