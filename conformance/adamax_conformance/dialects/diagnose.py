"""`diagnose`: find the dialect of Adamax that a backend computes, axis by axis."""

from dataclasses import replace

import numpy as np

import adamax_conformance_supervisor as supervisor
from adamax_conformance.dialects.diagnosis import Diagnosis
from adamax_conformance.dialects.probe import Probe
from adamax_conformance.registry import find, require_backend
from adamax_conformance.spec.formats import FLOATS
from adamax_conformance.subject.backend import Backend
from adamax_conformance.subject.printable import printable
from adamax_conformance.subject.watched import Watched

WIDEST, NARROWER = "float64", "float32"
"""What is stored in the first may be computed in the second."""


def diagnose(backend: Backend | str, *, dtype: str | None = None) -> Diagnosis:
    """Name the dialect that a backend computes; never raises for what the backend does.

    Args:
        backend: a `Backend`, or a name that `adamax_conformance.registry.find` knows. Parameters
            alone are enough. If the backend reports its state, the diagnosis also uses its initial
            values, its counts, and the effect of a NaN on it.
        dtype: real dtype of the parameters; by default the widest that the backend takes.

    Raises:
        ValueError: the backend does not take this dtype, or it is not a real one.
        TypeError: the object is not a backend.
        BackendNotFoundError: no backend has this name.
        BackendBrokenError: the backend of this name cannot be imported.

    >>> diagnose("numpy").sentence
    'canonical Adamax'
    >>> from adamax_conformance.dialects import Dialect
    >>> from adamax_conformance.subjects.reference import backend
    >>> diagnose(backend(rule=Dialect("outside", "none"), name="mlx")).sentence
    'eps outside the maximum, no bias correction (as MLX)'
    """
    subject = find(backend) if isinstance(backend, str) else require_backend(backend)
    taken = [name for name in FLOATS[::-1] if name in subject.dtypes]
    if dtype is not None and dtype not in taken:
        raise ValueError(f"dtype = {dtype!r} must be a real dtype of {subject.name}: {taken}")
    if not taken:
        return Diagnosis(subject.name, "", broken=f"it takes none of {', '.join(FLOATS)}")
    supervisor.note(f"the diagnosis of {printable(subject.name)}")
    # The probe uses infinities and NaN on purpose.
    with np.errstate(all="ignore"):
        seen = Probe(Watched(subject), dtype or taken[0]).diagnosis()
        if seen.dtype != WIDEST or seen.broken or not seen.unnamed:
            return seen
        narrow = replace(Probe(Watched(subject), seen.dtype, NARROWER).diagnosis(), digits=NARROWER)
        return narrow if narrow.unnamed < seen.unnamed else seen
