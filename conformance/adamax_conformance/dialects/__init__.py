"""The dialects of Adamax, a diagnosis of a backend's dialect, and the effect of a dialect."""

from adamax_conformance.dialects.axes import AXES
from adamax_conformance.dialects.cost import Cost, cost
from adamax_conformance.dialects.diagnose import diagnose
from adamax_conformance.dialects.diagnosis import Diagnosis, Found
from adamax_conformance.dialects.dialect import KNOWN_AS, Dialect

__all__ = ["AXES", "KNOWN_AS", "Cost", "Diagnosis", "Dialect", "Found", "cost", "diagnose"]
