"""Cases, and the decorators that turn a short function into one.

A case is a function of a `Data`. It either returns a run, which the judge compares step by step,
or, for other clauses (a refusal, a derivative), compares by itself. Its id is ``CLAUSE/name``; its
docstring is the note that says why it exists.
"""

import inspect
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from adamax_conformance.bounds.carried import Carried
from adamax_conformance.bounds.oracle import Allowed
from adamax_conformance.bounds.special import Special
from adamax_conformance.judging.finding import Finding, Violation, element, in_bounds
from adamax_conformance.judging.judge import Also, judge
from adamax_conformance.judging.run import EVERYTHING, Run, Trial
from adamax_conformance.spec.formats import DTYPES, FLOATS, dtype_of, format_of
from adamax_conformance.subject.backend import Arrays, Moments
from adamax_conformance.subject.watched import Watched
from adamax_core import Hyperparameters
from adamax_core.rule import bias_correction

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


LATE = Hyperparameters(lr=1.0, betas=(0.999, 0.5), eps=2.0**-10)
"""A beta1 that needs correction for thousands of steps."""

LATEST = replace(LATE, betas=(1 - 2.0**-17, 0.5))
"""A beta1 that needs correction for hundreds of thousands."""


def late(data: Data, step: int, hp: Hyperparameters = LATE, **more: Any) -> Run:
    """Return two steps after `step` others, from a state that these may have left.

    The first moment has the size that its gradients leave, so that no step is longer than a few lr.
    """
    c = bias_correction(hp.betas[0], step)
    saved = Moments(step, data.array(c * data.normal((3,), 1)), data.array([2.0, 3.0, 4.0]))
    run = Run({"w": data.array(np.zeros(3))}, [{"w": data.array([1.0, -0.5, 0.25])}] * 2, hp)
    return replace(run, saved={"w": saved}, **more)


BOUNDARIES = (
    98, 126, 198, 254, 398, 998, 3998, 4094, 9_998, 32_766, 65_502, 65_534, 99_998, 999_998
)  # fmt: skip
"""Counts just before which something else may begin: the two steps after each pass it."""


def judge_each(backend: Watched, trials: Iterable[Trial]) -> Finding:
    """Judge each trial; return the sum of what is found."""
    return sum((judge(backend, trial) for trial in trials), Finding())


def judge_late(
    backend: Watched,
    data: Data,
    hp: Hyperparameters,
    judged: Collection[str] = EVERYTHING,
    **more: Any,
) -> Finding:
    """Judge the two steps of `late` after each of the boundaries."""
    return judge_each(backend, (Trial(late(data, step, hp, **more), judged) for step in BOUNDARIES))


def compare(what: str, got: Any, expected: Carried) -> Finding:
    """Compare each number with its interval, for a case that computes the right result itself.

    Raises:
        Violation: names the worst number, its value, and its interval.
    """
    if got.shape != expected.value.shape:
        raise Violation(f"{what}: shape {got.shape}, must be {expected.value.shape}")
    bound = Allowed(expected, Special.of(np.zeros(got.shape)))
    excess = np.asarray(bound.excess(got))
    index = tuple(map(int, np.unravel_index(int(np.argmax(excess)), excess.shape)))
    worst = float(excess[index])
    if worst > 1:
        raise Violation(
            f"{element(what, index)}: got {float(got[index])!r}, allowed {bound.interval(index)}, "
            f"exactly {bound.exactly(index)}; {in_bounds(worst, 'off by ')}"
        )
    return Finding(got.size, worst)


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
        any_dtype: True if the dtype does not matter: it runs in any that the backend takes.
        digits: True if it needs hyperparameters in all digits of a float64.
        reals: True if it is about real numbers, and complex ones cannot stand in for them.
    """

    id: str
    note: str
    dtypes: Collection[str]
    features: frozenset[str]
    body: Callable[[Watched, Data], Finding]
    trial: Callable[[Data], Trial] | None = None
    beside: Mapping[str, str] = field(default_factory=dict)
    any_dtype: bool = False
    digits: bool = False
    reals: bool = False

    def dtype_for(self, dtype: str, offered: Collection[str]) -> str:
        """Return the dtype to run in instead of one that a backend does not offer, if there is one.

        A backend that takes complex numbers only is judged by them, each a pair of reals (A-9).
        """
        if dtype in offered:
            return dtype
        if self.any_dtype:
            return next((each for each in DTYPES if each in offered), dtype)
        pairs = {"float32": "complex64", "float64": "complex128"}.get(dtype, dtype)
        simple = not (self.features or self.beside or self.reals or pairs in self.dtypes)
        return pairs if simple and pairs in offered and not {*FLOATS} & {*offered} else dtype

    @property
    def clause(self) -> str:
        """The clause of docs/spec.md that the case cites."""
        return self.id.partition("/")[0]


class Cases:
    """The cases of one group of clauses, in order, collected by decorators."""

    def __init__(self) -> None:
        self.all: list[Case] = []

    def case(
        self,
        case_id: str,
        *,
        dtypes: Collection[str] = FLOATS,
        features: Iterable[str] = (),
        beside: Mapping[str, str] | None = None,
        any_dtype: bool = False,
        reals: bool = False,
    ) -> Callable[[Callable[[Watched, Data], Finding]], Callable[[Watched, Data], Finding]]:
        """Decorate a case that compares by itself."""

        def register(
            body: Callable[[Watched, Data], Finding],
        ) -> Callable[[Watched, Data], Finding]:
            self.all.append(
                Case(
                    case_id,
                    _note(body),
                    dtypes,
                    frozenset(features),
                    body,
                    beside=beside or {},
                    any_dtype=any_dtype,
                    reals=reals,
                )
            )
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
        only: Collection[int] = (),
        also: Also | None = None,
        beside: Mapping[str, str] | None = None,
        digits: bool = False,
        reals: bool = False,
    ) -> Callable[[Callable[[Data], Run]], Callable[[Data], Run]]:
        """Decorate a case that returns a run, for `adamax_conformance.judging.judge.judge`."""

        def register(make: Callable[[Data], Run]) -> Callable[[Data], Run]:
            def trial(data: Data) -> Trial:
                return Trial(make(data), judged, accurate_correction, only)

            def body(backend: Watched, data: Data) -> Finding:
                return judge(backend, trial(data), also=also)

            self.all.append(
                Case(
                    case_id,
                    _note(make),
                    dtypes,
                    frozenset(features),
                    body,
                    trial,
                    beside=beside or {},
                    digits=digits,
                    reals=reals,
                )
            )
            return make

        return register


def _note(function: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(function) or "").split())
