"""The judge: says whether an implementation of Adamax computes the specification, and where not.

``check(backend)`` in Python, ``adamax-conformance check NAME...`` on the command line. Tolerances
are not chosen here: `adamax_conformance.bounds` derives them from the rule itself. Whether a
backend is fast is not the business of this package.
"""

from adamax_conformance.check import check
from adamax_conformance.dialects import Diagnosis, diagnose
from adamax_conformance.parametrize import parametrize
from adamax_conformance.reports.report import ConformanceError, Report, Verdict
from adamax_conformance.reports.result import Result, Status
from adamax_conformance.spec.formats import DTYPES
from adamax_conformance.subject.backend import Backend, FunctionalBackend, Moments, SparseGradient
from adamax_core import __version__

__all__ = [
    "DTYPES",
    "Backend",
    "ConformanceError",
    "Diagnosis",
    "FunctionalBackend",
    "Moments",
    "Report",
    "Result",
    "SparseGradient",
    "Status",
    "Verdict",
    "__version__",
    "check",
    "diagnose",
    "parametrize",
]
