"""What a look at a backend found: a `Finding` where all is right, else a `Violation`."""

from dataclasses import dataclass
from itertools import zip_longest

from adamax_conformance.judging.run import Trial


@dataclass(frozen=True)
class Finding:
    """What a case that passed has looked at.

    Attributes:
        elements: how many numbers were compared.
        used: the largest part of a bound that an error took, 0 to 1.
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
    """The value of a run that is furthest from what is allowed, in the first step that is wrong.

    Attributes:
        step: the step, from one; zero before the first.
        parameter: its name.
        index: the element; empty for a 0-d parameter or a count. The last axis of a complex
            parameter is real part, imaginary part.
        quantity: ``param``, ``exp_avg``, ``exp_inf`` or ``step``.
        got: what the backend gave.
        allowed: the interval where it should lie, or what else is allowed.
        exact: what the rule gives, in seventeen digits; empty where it is no number.
        distance: distance from the exact value in bounds; infinity where no number is right.
        bits: those of `got`, after its dtype: ``float32 3f800000``; empty where it is no float.
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

    @property
    def where(self) -> str:
        """``step 2, w[1, 3], exp_inf``."""
        at = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        return f"step {self.step}, {self.parameter}{at}, {self.quantity}"

    def __str__(self) -> str:
        exact = f", exactly {self.exact}" if self.exact else ""
        off = (
            f"off by {self.distance:.3g} times the bound"
            if self.distance != float("inf")
            else "cannot be right"
        )
        return f"{self.where}: got {self.got}, allowed {self.allowed}{exact}; {off}"


class Violation(Exception):  # noqa: N818 - a finding about a backend, not an error of the judge
    """A backend did something that a clause forbids; the message says what, where and what else.

    Attributes:
        divergence: where a run first left what is allowed, if it was a run.
        trial: that run, and how it was judged.
        trace: the part of the bound that each step used, the wrong one included.
        elements: how many numbers had been compared.
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
