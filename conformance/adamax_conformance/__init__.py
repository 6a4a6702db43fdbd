"""The judge: does an implementation of Adamax compute the specification? If not, what differs?

``check(backend)`` in Python, ``adamax-conformance check NAME...`` on the command line. No tolerance
is chosen here: `adamax_conformance.bounds` derives them from the rule itself. This package does not
measure speed.
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
