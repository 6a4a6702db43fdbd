"""The diagnosis of a backend: the finding on each axis, and a sentence that sums them up."""

from dataclasses import asdict, dataclass
from typing import Any

from adamax_conformance.dialects.axes import CORRECTION, EPS
from adamax_conformance.dialects.dialect import Dialect

OTHER = "other"
NOT_OFFERED = "not offered"
NOT_SEEN = "not seen"


@dataclass(frozen=True)
class Found:
    """The finding on one axis.

    Attributes:
        axis: name of the axis.
        clause: the clause of docs/spec.md that decides it.
        found: the name of an alternative, or ``other``, ``not offered``, ``not seen``.
        specified: name of the alternative that the specification requires.
        phrase: the finding, in a sentence about the backend.
        note: the formula, or why the axis cannot be seen.
        who: implementations that are known to compute the same.
    """

    axis: str
    clause: str
    found: str
    specified: str
    phrase: str = ""
    note: str = ""
    who: str = ""

    @property
    def deviates(self) -> bool:
        """Was an alternative found that differs from the specification?"""
        return self.found not in (self.specified, NOT_OFFERED, NOT_SEEN)


@dataclass(frozen=True)
class Diagnosis:
    """The dialect that a backend computes.

    Attributes:
        backend: name of the backend.
        dtype: dtype used to probe it.
        axes: the findings, in the order of `adamax_conformance.dialects.AXES`.
        dialect: the dialect, to run; None if an axis of the rule is not known.
        adamax: True if it is any Adamax; None if it could not be probed.
        broken: why it could not be probed; empty if it could.
        reason: why it is not Adamax; empty if it is.
        digits: the narrower dtype whose digits alone it has; empty if it has all.
    """

    backend: str
    dtype: str
    axes: tuple[Found, ...] = ()
    dialect: Dialect | None = None
    adamax: bool | None = None
    broken: str = ""
    reason: str = ""
    digits: str = ""

    @property
    def canonical(self) -> bool:
        """Does everything that was seen match the specification?"""
        return bool(self.adamax) and not self.deviating and not self.digits

    @property
    def deviating(self) -> tuple[Found, ...]:
        """The axes on which it deviates."""
        return tuple(found for found in self.axes if found.deviates)

    @property
    def unnamed(self) -> float:
        """The number of deviations without a name; infinite if it is not Adamax."""
        return sum(found.found == OTHER for found in self.axes) if self.adamax else float("inf")

    @property
    def known_as(self) -> tuple[str, ...]:
        """Implementations with the same eps and bias correction."""
        return () if self.dialect is None else self.dialect.known_as

    @property
    def sentence(self) -> str:
        """One line: ``eps outside the maximum, no bias correction (as MLX)``."""
        if self.broken:
            return f"cannot be diagnosed: {self.broken}"
        if not self.adamax:
            return f"not Adamax: {self.reason}"
        text = ", ".join(found.phrase for found in self.deviating) or "canonical Adamax"
        rule = {EPS.name, CORRECTION.name} & {found.axis for found in self.deviating}
        text += f" (as {', '.join(self.known_as)})" if rule and self.known_as else ""
        return text + (f", in the digits of {self.digits} alone" if self.digits else "")

    def __str__(self) -> str:
        return f"{self.backend}: {self.sentence}"

    def __getitem__(self, axis: str) -> Found:
        return next(found for found in self.axes if found.axis == axis)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as values for JSON."""
        return {
            "backend": self.backend,
            "dtype": self.dtype,
            "canonical": self.canonical,
            "adamax": self.adamax,
            "digits": self.digits,
            "sentence": self.sentence,
            "known_as": list(self.known_as),
            "axes": [asdict(found) | {"deviates": found.deviates} for found in self.axes],
        }
