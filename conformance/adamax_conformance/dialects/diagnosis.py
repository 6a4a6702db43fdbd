"""What was found out about a backend: an answer on each axis, and the sentence they make."""

from dataclasses import asdict, dataclass
from typing import Any

from adamax_conformance.dialects.axes import CORRECTION, EPS
from adamax_conformance.dialects.dialect import Dialect

OTHER = "other"
NOT_OFFERED = "not offered"
NOT_SEEN = "not seen"


@dataclass(frozen=True)
class Found:
    """What a backend does on one axis.

    Attributes:
        axis: its name.
        clause: the clause of docs/spec.md that decides it.
        found: the name of an alternative, or ``other``, ``not offered``, ``not seen``.
        specified: the name of what the specification says.
        phrase: what was found, in a sentence about the backend.
        note: what it computes, or why it cannot be seen.
        who: implementations that were seen to do so.
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
        """Whether it was seen, and is not what the specification says."""
        return self.found not in (self.specified, NOT_OFFERED, NOT_SEEN)


@dataclass(frozen=True)
class Diagnosis:
    """Which dialect a backend computes.

    Attributes:
        backend: its name.
        dtype: the dtype that it was probed in.
        axes: what was found, in the order of `adamax_conformance.dialects.AXES`.
        dialect: the dialect, to run; None where an axis of the rule is not known.
        adamax: whether it is an Adamax at all; None where it could not be probed.
        broken: why it could not be probed, or nothing.
    """

    backend: str
    dtype: str
    axes: tuple[Found, ...] = ()
    dialect: Dialect | None = None
    adamax: bool | None = None
    broken: str = ""

    @property
    def canonical(self) -> bool:
        """Whether all that was seen is what the specification says."""
        return bool(self.adamax) and not self.deviating

    @property
    def deviating(self) -> tuple[Found, ...]:
        """The axes on which it deviates."""
        return tuple(found for found in self.axes if found.deviates)

    @property
    def known_as(self) -> tuple[str, ...]:
        """Implementations with this eps and this bias correction."""
        return () if self.dialect is None else self.dialect.known_as

    @property
    def sentence(self) -> str:
        """One line: ``eps outside the maximum, no bias correction (as MLX)``."""
        if self.broken:
            return f"cannot be diagnosed: {self.broken}"
        if not self.adamax:
            return "not Adamax: no eps with any bias correction takes these steps"
        if self.canonical:
            return "canonical Adamax"
        text = ", ".join(found.phrase for found in self.deviating)
        rule = {EPS.name, CORRECTION.name} & {found.axis for found in self.deviating}
        return f"{text} (as {', '.join(self.known_as)})" if rule and self.known_as else text

    def __str__(self) -> str:
        return f"{self.backend}: {self.sentence}"

    def __getitem__(self, axis: str) -> Found:
        return next(found for found in self.axes if found.axis == axis)

    def as_dict(self) -> dict[str, Any]:
        """Everything as what JSON can hold."""
        return {
            "backend": self.backend,
            "dtype": self.dtype,
            "canonical": self.canonical,
            "adamax": self.adamax,
            "sentence": self.sentence,
            "known_as": list(self.known_as),
            "axes": [asdict(found) | {"deviates": found.deviates} for found in self.axes],
        }
