"""The outcome of looking at a backend: a `Finding` if all is right, else a `Violation`."""

import math
from dataclasses import dataclass
from itertools import zip_longest

from adamax_conformance.judging.run import Trial


@dataclass(frozen=True)
class Finding:
    """A passed comparison.

    Attributes:
        elements: number of values that were compared.
        used: largest ratio of an error to its bound, 0 to 1.
        trace: the same for each step of a run, in order.
    """

    elements: int = 0
    used: float = 0.0
    trace: tuple[float, ...] = ()

    def __add__(self, other: "Finding") -> "Finding":
        trace = (max(pair) for pair in zip_longest(self.trace, other.trace, fillvalue=0.0))
        return Finding(self.elements + other.elements, max(self.used, other.used), tuple(trace))


@dataclass(frozen=True)
class Divergence:
    """The value furthest outside its interval, in the first wrong step of a run.

    Attributes:
        step: the step, from one; zero before the first.
        parameter: name of the parameter.
        index: the element; empty for a 0-d parameter or a count. The last axis of a complex
            parameter is real part, imaginary part.
        quantity: ``param``, ``exp_avg``, ``exp_inf`` or ``step``.
        got: the value of the backend.
        allowed: the interval for this value, or another description of the allowed values.
        exact: result of the rule in seventeen digits; empty if it is not a finite number.
        distance: distance from the exact value in bounds; infinity if no error bound applies.
        bits: dtype and bits of `got`, ``float32 3f800000``; empty if it is not a float.
        extent: which elements are wrong, ``w: the last 4 of 20``; empty if not about elements.
        left_out: True if these are a part of the array that stays as it was before the step.
        changed: True if the step has other hyperparameters than the step before.
    """

    step: int
    parameter: str
    index: tuple[int, ...]
    quantity: str
    got: str
    allowed: str
    exact: str
    distance: float
    bits: str = ""
    extent: str = ""
    left_out: bool = False
    changed: bool = False

    @property
    def element(self) -> str:
        """``w[1, 3]``."""
        return element(self.parameter, self.index)

    @property
    def where(self) -> str:
        """``step 2, w[1, 3], exp_inf``."""
        return f"step {self.step}, {self.element}, {self.quantity}"

    def __str__(self) -> str:
        exact = f", exactly {self.exact}" if self.exact else ""
        off = in_bounds(self.distance, "off by ")
        wrong = f"; wrong in {self.extent}" if self.extent else ""
        wrong += ", as before the step" if self.left_out else ""
        return f"{self.where}: got {self.got}, allowed {self.allowed}{exact}; {off}{wrong}"


def element(name: str, index: tuple[int, ...]) -> str:
    """Name an element of an array.

    >>> element("w", (1, 3)), element("scalar", ())
    ('w[1, 3]', 'scalar')
    """
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def in_bounds(distance: float, lead: str = "") -> str:
    """Say how far a value is off: infinity means that no bound of rounding errors applies.

    >>> in_bounds(2.5, "off by "), in_bounds(math.inf, "off by ")
    ('off by 2.5 times the bound', 'not a rounding error')
    """
    return (
        f"{lead}{distance:.3g} times the bound"
        if math.isfinite(distance)
        else "not a rounding error"
    )


class NotJudged(Exception):  # noqa: N818 - not an error
    """A case has nothing to judge in this backend; the message says why."""


class Violation(Exception):  # noqa: N818 - a finding about a backend, not an error of the judge
    """A backend violated a clause; the message says how and where, and what is allowed.

    Attributes:
        divergence: the first wrong value, if a run was judged.
        trial: that run, and how it was judged.
        trace: largest ratio of an error to its bound in each step, the wrong one included.
        elements: number of values that had been compared.
    """

    def __init__(
        self,
        message: str,
        *,
        divergence: Divergence | None = None,
        trial: Trial | None = None,
        trace: tuple[float, ...] = (),
        elements: int = 0,
    ) -> None:
        super().__init__(message)
        self.divergence = divergence
        self.trial = trial
        self.trace = trace
        self.elements = elements
