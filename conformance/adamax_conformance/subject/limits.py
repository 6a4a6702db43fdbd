"""What a backend cannot do: it declares this, and the judge does not ask for it."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from adamax_conformance.spec.formats import DTYPES, dtype_of
from adamax_conformance.subject.backend import LIMITS, Arrays, SparseGradient, unvalidated
from adamax_core import Hyperparameters


def _fits(grad: Any, param: Any) -> bool:
    """Does the gradient have the shape and kind of its parameter?"""
    return (
        not isinstance(grad, SparseGradient)
        and grad.shape == param.shape
        and grad.dtype.name in DTYPES
        and (grad.dtype.kind == "c") == (param.dtype.kind == "c")
    )


HIDDEN = "a state that is shown"
"""What some cases need, and a backend without `moments` does not offer."""

DIGITS = "hyperparameters in all digits of a float64"
"""What some cases need, and a backend that holds hyperparameters in float32 does not offer."""


class NotOfferedError(Exception):
    """A case needs what the backend declares that it cannot do; the message names it."""


class Limits:
    """The limits that a backend declares, and the calls that they exclude.

    Attributes:
        names: names of `LIMITS`.
        hyperparameter_dtype: dtype that the backend holds hyperparameters in.

    >>> limits = Limits(["positive_lr"], "float32")
    >>> limits.held(Hyperparameters(lr=0.1)).lr
    0.10000000149011612
    >>> limits.require(Hyperparameters(lr=0.0))
    Traceback (most recent call last):
    adamax_conformance.subject.limits.NotOfferedError: an lr of zero
    """

    def __init__(self, names: Collection[str] = (), hyperparameter_dtype: str = "float64") -> None:
        self.names = frozenset(names)
        self.hyperparameter_dtype = hyperparameter_dtype

    @classmethod
    def of(cls, backend: Any) -> "Limits":
        """Return the limits of a backend, which need not have the attributes."""
        declared = getattr(backend, "limits", ())
        return cls(declared, getattr(backend, "hyperparameter_dtype", "float64"))

    @property
    def exact(self) -> bool:
        """Does the backend hold hyperparameters in all their digits?"""
        return self.hyperparameter_dtype == "float64"

    def require(self, hp: Hyperparameters, made_with: Hyperparameters | None = None) -> None:
        """Raise unless the backend takes these hyperparameters.

        Args:
            hp: those of a step, or of `init`.
            made_with: those that the state was made with.

        Raises:
            NotOfferedError: names the limit.
        """
        zeros = {"positive_lr": hp.lr == 0, "positive_eps": hp.eps == 0}
        changed = made_with is not None and repr(made_with) != repr(hp)
        self._raise_for(zeros | {"fixed_hyperparameters": changed})

    def require_gradients(self, params: Arrays, grads: Arrays) -> None:
        """Raise unless the backend takes a step with these gradients.

        Raises:
            NotOfferedError: names the limit.
        """
        fitting = all(_fits(grad, params[name]) for name, grad in grads.items())
        missing = not set(params) <= set(grads)
        self._raise_for({"no_missing_gradients": missing, "fitting_gradients": not fitting})

    def require_digits(self) -> None:
        """Raise unless the backend holds hyperparameters in all their digits.

        Raises:
            NotOfferedError: it does not.
        """
        if not self.exact:
            raise NotOfferedError(DIGITS)

    def _raise_for(self, needed: Mapping[str, bool]) -> None:
        for name, needs in needed.items():
            if needs and name in self.names:
                raise NotOfferedError(LIMITS[name])

    def held(self, hp: Hyperparameters) -> Hyperparameters:
        """Return the hyperparameters as the backend holds them, the nearest in the domain.

        Values outside their domain stay what they are, for the backend to refuse.
        """
        if self.exact:
            return hp
        names = ("lr", "eps", "weight_decay")
        scalars = {name: self._nearest(getattr(hp, name), np.inf) for name in names}
        return unvalidated(hp, betas=tuple(self._nearest(b, 1.0) for b in hp.betas), **scalars)

    def _nearest(self, value: float, end: float) -> float:
        if not 0 < value < end:
            return value
        scalar = dtype_of(self.hyperparameter_dtype).type
        rounded, below = scalar(value), np.nextafter(scalar(end), scalar(0))
        least = np.finfo(scalar).smallest_normal
        return float(min(max(rounded, least), below))
