"""Cases, and the decorators that turn a short function into one.

A case is a function of a `Data`. It either returns a run, which the judge compares step by step,
or, for other clauses (a refusal, a derivative), compares by itself. Its id is ``CLAUSE/name``; its
docstring is the note that says why it exists.
"""

import inspect
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from adamax_conformance.bounds.carried import Carried
from adamax_conformance.bounds.oracle import Allowed
from adamax_conformance.judging.finding import Finding, Violation
from adamax_conformance.judging.judge import judge
from adamax_conformance.judging.run import EVERYTHING, Run, Trial
from adamax_conformance.spec.formats import FLOATS, dtype_of, format_of
from adamax_conformance.subject.backend import Arrays, Moments
from adamax_conformance.subject.watched import Watched
from adamax_core import Hyperparameters

EXTREME = Hyperparameters(lr=1.0, betas=(0.75, 0.5), eps=1.0)
"""Under these the dialects of Adamax are at least a quarter apart; at the defaults, 9e-15."""

PLAIN = Hyperparameters(lr=0.125, betas=(0.75, 0.875), eps=2.0**-10)
"""Numbers that every format holds exactly."""

DEFAULT = Hyperparameters()
"""The usual hyperparameters."""


class Data:
    """The seeded source of a case's numbers, in one dtype.

    Attributes:
        dtype: name of the dtype of the parameters.
    """

    def __init__(self, dtype: str, seed: int, case_id: str) -> None:
        self.dtype = dtype
        self._rng = np.random.default_rng([seed, zlib.crc32(f"{case_id}[{dtype}]".encode())])

    def array(self, values: Any) -> Any:
        """Return the values in the dtype."""
        return np.asarray(values).astype(dtype_of(self.dtype))

    def normal(self, shape: tuple[int, ...], octaves: int = 4) -> Any:
        """Draw normal numbers with scales from ``2**-octaves`` to ``2**octaves``."""
        real = self._normal(shape, octaves)
        if np.dtype(dtype_of(self.dtype)).kind == "c":
            return self.array(real + 1j * self._normal(shape, octaves))
        return self.array(real)

    def _normal(self, shape: tuple[int, ...], octaves: int) -> Any:
        return self._rng.normal(size=shape) * 2.0 ** self._rng.integers(
            -octaves, octaves + 1, shape
        )

    def uniform(self, low: float, high: float, size: int) -> list[float]:
        """Draw numbers for hyperparameters, as Python floats."""
        return [float(x) for x in self._rng.uniform(low, high, size)]

    def params(self, shapes: dict[str, tuple[int, ...]] | None = None) -> dict[str, Any]:
        """Draw parameters, a third of them zero, where no rounding hides the step."""
        params = {}
        for name, shape in (shapes or {"w": (4, 5), "b": (7,)}).items():
            params[name] = self.normal(shape)
            params[name][self._rng.random(shape) < 1 / 3] = 0
        return params

    def grads(self, params: Arrays, octaves: int = 4) -> dict[str, Any]:
        """Draw gradients, a quarter of them zero, so that the infinity norm decays."""
        grads = {}
        for name, param in params.items():
            grads[name] = self.normal(param.shape, octaves)
            grads[name][self._rng.random(param.shape) < 1 / 4] = 0
        return grads

    def run(self, hp: Hyperparameters, steps: int = 5, **more: Any) -> Run:
        """Draw a run over ordinary data."""
        params = self.params()
        return Run(params, [self.grads(params) for _ in range(steps)], hp, **more)

    @property
    def largest(self) -> float:
        """The largest finite number of the dtype."""
        return float(format_of(self.dtype).largest)


def late(data: Data, step: int) -> Run:
    """Return two steps after `step` others, with a beta1 that needs correction for thousands."""
    params = {"w": data.array(np.zeros(3))}
    saved = {"w": Moments(step, data.normal((3,), 1), data.array([2.0, 3.0, 4.0]))}
    hp = Hyperparameters(lr=1.0, betas=(0.999, 0.5), eps=2.0**-10)
    return Run(params, [{"w": data.array([1.0, -0.5, 0.25])}] * 2, hp, saved=saved)


def compare(what: str, got: Any, expected: Carried) -> Finding:
    """Compare each number with its interval, for a case that computes the right result itself.

    Raises:
        Violation: names the worst number, its value, and its interval.
    """
    if got.shape != expected.value.shape:
        raise Violation(f"{what}: shape {got.shape}, must be {expected.value.shape}")
    bound = Allowed(expected, np.zeros(got.shape), either_special=False)
    excess = np.asarray(bound.excess(got))
    index = tuple(map(int, np.unravel_index(int(np.argmax(excess)), excess.shape)))
    worst = float(excess[index])
    if worst > 1:
        off = (
            f"off by {worst:.3g} times the bound" if np.isfinite(worst) else "not a rounding error"
        )
        raise Violation(
            f"{what}{list(index) or ''}: got {float(got[index])!r}, allowed "
            f"{bound.interval(index)}, exactly {bound.exactly(index)}; {off}"
        )
    return Finding(got.size, worst)


def require_kept(
    before: Mapping[str, Moments] | None, after: Mapping[str, Moments] | None, what: str
) -> None:
    """Raise unless every bit of the state is the same after a refusal.

    Raises:
        Violation: names the parameter and the part of its state.
    """
    for name, slot in (before or {}).items():
        for part, old, new in zip(slot._fields, slot, (after or {})[name], strict=True):
            if np.asarray(old).tobytes() != np.asarray(new).tobytes():
                raise Violation(f"{what} was refused, but {part} of {name} changed before that")


@dataclass(frozen=True)
class Case:
    """A test of one statement of a clause.

    Attributes:
        id: ``CLAUSE/name``, permanent.
        note: why the case exists.
        dtypes: names of the dtypes that it applies to.
        features: features that a backend needs (`adamax_conformance.subject.backend.FEATURES`).
        body: judges a backend; raises `Violation` or `BackendError`.
        trial: makes the run of the case; None if the case does not judge a run step by step.
        beside: the second dtype of its parameters, by the first dtype, if it has two.
    """

    id: str
    note: str
    dtypes: Collection[str]
    features: frozenset[str]
    body: Callable[[Watched, Data], Finding]
    trial: Callable[[Data], Trial] | None = None
    beside: Mapping[str, str] = field(default_factory=dict)

    @property
    def clause(self) -> str:
        """The clause of docs/spec.md that the case cites."""
        return self.id.partition("/")[0]


class Cases:
    """The cases of one group of clauses, in order, collected by decorators."""

    def __init__(self) -> None:
        self.all: list[Case] = []

    def case(
        self, case_id: str, *, dtypes: Collection[str] = FLOATS, features: Iterable[str] = ()
    ) -> Callable[[Callable[[Watched, Data], Finding]], Callable[[Watched, Data], Finding]]:
        """Decorate a case that compares by itself."""

        def register(
            body: Callable[[Watched, Data], Finding],
        ) -> Callable[[Watched, Data], Finding]:
            self.all.append(Case(case_id, _note(body), dtypes, frozenset(features), body))
            return body

        return register

    def run(
        self,
        case_id: str,
        *,
        dtypes: Collection[str] = FLOATS,
        features: Iterable[str] = (),
        judged: Collection[str] = EVERYTHING,
        accurate_correction: bool = False,
        also: Callable[[Run, Arrays, Any], Finding] | None = None,
        beside: Mapping[str, str] | None = None,
    ) -> Callable[[Callable[[Data], Run]], Callable[[Data], Run]]:
        """Decorate a case that returns a run, for `adamax_conformance.judging.judge.judge`."""

        def register(make: Callable[[Data], Run]) -> Callable[[Data], Run]:
            def trial(data: Data) -> Trial:
                return Trial(make(data), judged, accurate_correction)

            def body(backend: Watched, data: Data) -> Finding:
                return judge(backend, trial(data), also=also)

            needs = frozenset(features)
            self.all.append(Case(case_id, _note(make), dtypes, needs, body, trial, beside or {}))
            return make

        return register


def _note(function: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(function) or "").split())
