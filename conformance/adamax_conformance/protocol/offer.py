"""What a program says of itself in its answer to ``hello``."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from adamax_conformance.subject.printable import printable


class Offer(NamedTuple):
    """The answer of a program to ``hello``; docs/protocol.md describes its keys."""

    name: str
    dtypes: Sequence[str]
    features: Sequence[str] = ()
    limits: Sequence[str] = ()
    hyperparameter_dtype: str = "float64"
    language: str = ""
    packages: Mapping[str, str] = MappingProxyType({})
    default_eps: float | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "Offer":
        """Return the offer in an answer that fits the schema.

        >>> said = {"id": 0, "version": 1, "name": "mine", "dtypes": ["float32"], "features": []}
        >>> Offer.of(said).hyperparameter_dtype
        'float64'
        """
        given = {key: value for key, value in answer.items() if key in cls._fields}
        return cls(**given | {"name": printable(answer["name"], 40)})
