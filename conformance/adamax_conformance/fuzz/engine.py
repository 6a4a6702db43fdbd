"""`fuzz`: draw examples with Hypothesis, judge them, and shrink the first failure.

The examples depend only on the seed, the dtype, and the versions of this package and of Hypothesis.
A call stores nothing for the next.
"""

import contextlib
import json
import time
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

import adamax_conformance_supervisor as supervisor
from adamax_conformance.exchange.wire import encode_run
from adamax_conformance.fuzz.arrays import LARGEST, LONG
from adamax_conformance.fuzz.repro import Failure, failure_of
from adamax_conformance.fuzz.runs import Offers, runs
from adamax_conformance.fuzz.sessions import Session, encode_session, runs_of, sessions
from adamax_conformance.judging.judge import follow
from adamax_conformance.judging.run import EVERYTHING, Run, Trial
from adamax_conformance.judging.shrink import smallest
from adamax_conformance.registry import find, require_backend
from adamax_conformance.spec.formats import DTYPES, FLOAT32, dtype_of, format_of
from adamax_conformance.subject.backend import Backend
from adamax_conformance.subject.printable import printable
from adamax_conformance.subject.watched import BackendError, Watched
from adamax_core import Hyperparameters

_SERIES = 25
"""Examples in one call of Hypothesis; calls repeat until examples and elements are enough."""

_ATTEMPTS = 1000
"""Smaller examples to try for a failure; a time limit would not be reproducible."""


LARGEST_HIDDEN = 1024
"""Largest array if the state is hidden: judging a whole trajectory in exact numbers is slow."""


@dataclass(frozen=True)
class Fuzzed:
    """The result of a series of examples in one dtype.

    Attributes:
        dtype: dtype of the parameters.
        examples: number of examples judged.
        elements: number of parameter elements that took a step; each has three judged quantities.
        seconds: duration.
        failure: the first failure, or None.
        trial: the shrunk run that fails; None if nothing fails, or if the failure is not in a run.
    """

    dtype: str
    examples: int
    elements: int
    seconds: float
    failure: Failure | None = None
    trial: Trial | None = None


class _FoundError(Exception):
    """A backend fails an example; Hypothesis shrinks it."""


class _Series:
    """Counts of the examples in one dtype, and the first failure."""

    def __init__(self, backend: Watched, dtype: str, advance: Callable[[int], None]) -> None:
        self.backend = backend
        self.dtype = dtype
        shown = _shows_state(backend, dtype)
        # A process gets its arrays as text.
        largest = LARGEST if shown and not backend.takes_runs else LONG if shown else LARGEST_HIDDEN
        self.offers = Offers(dtype, backend.features, largest, backend.limits.names)
        # The last places of the correction (N-3) are invisible in half precision or with a hidden
        # state, and a backend that is known to lack them would fail nothing else.
        known = any(clause.startswith("N-3") for clause in backend.deviations)
        self._accurate = shown and not known and format_of(dtype).unit <= FLOAT32.unit
        self.advance = advance
        self.examples = 0
        self.elements = 0
        self.failure: Failure | None = None
        self.trial: Trial | None = None
        self._attempts = 0
        self._failing: set[str] = set()

    def judge(self, example: Run | Session) -> None:
        """Judge one example.

        Raises:
            _FoundError: the backend fails it.
        """
        if self.failure is not None:
            # Hypothesis is shrinking: it tries smaller examples, and the smallest once more.
            self._attempts += 1
            if self._attempts > _ATTEMPTS and _key(example) not in self._failing:
                return
        # The examples overflow on purpose, in the backend and in the judge.
        with np.errstate(all="ignore"):
            elements = self._look(example)
        if elements is None:
            self._failing.add(_key(example))
            raise _FoundError
        if self.failure is None:
            self.examples += 1
            self.elements += elements
            self.advance(elements)

    def shrink(self) -> None:
        """Make the run that fails smaller."""
        if self.failure is None or self.trial is None:
            return
        smaller = smallest(self.backend, self.trial)
        # If the failure does not repeat, report it as it was first seen.
        if again := failure_of(self.backend, smaller):
            self.failure, self.trial = again, smaller

    def _look(self, example: Run | Session) -> int | None:
        """Return the number of elements that took a step; record a failure and return None."""
        name = printable(self.backend.backend.name)
        supervisor.note(f"example {self.examples + 1} in {self.dtype} of {name}")
        elements = 0
        try:
            for run in [example] if isinstance(example, Run) else runs_of(self.backend, example):
                trial = Trial(run, EVERYTHING, self._accurate)
                failure = failure_of(self.backend, trial)
                if failure is not None:
                    self.failure, self.trial = failure, trial
                    return None
                elements += sum(grad.size for grads in run.grads for grad in grads.values())
        except BackendError as error:
            # The failure is in saving the session, so it has no run of steps.
            self.failure, self.trial = Failure(str(error)), None
            return None
        return elements


def _key(example: Run | Session) -> str:
    if isinstance(example, Run):
        return json.dumps(encode_run(example))
    return json.dumps(encode_session(example))


def fuzz(
    backend: Backend | str,
    *,
    dtypes: Collection[str] | None = None,
    examples: int = 100,
    elements: int = 0,
    seed: int = 0,
    stateful: bool = False,
    advance: Callable[[int], None] = lambda _elements: None,
) -> Iterator[Fuzzed]:
    """Judge a backend by random examples, a series in each dtype, until one fails.

    Args:
        backend: a `Backend`, or a name that `adamax_conformance.registry.find` knows.
        dtypes: dtypes of parameters; all that the backend takes by default.
        examples: smallest number of examples in each dtype.
        elements: smallest number of elements that take a step in each dtype.
        seed: seed of the examples.
        stateful: draw sessions (`adamax_conformance.fuzz.sessions`) instead of runs.
        advance: called with the number of elements after each example.

    Yields:
        The result of each dtype, as soon as it is known.

    Raises:
        ValueError: an unknown dtype, or one that the backend does not take.
        LookupError: no backend has this name.
        BackendError: the known deviations of the backend cannot be read.

    >>> [found] = fuzz("numpy", dtypes=["float32"], examples=5)
    >>> found.examples, found.failure
    (5, None)
    """
    subject = find(backend) if isinstance(backend, str) else require_backend(backend)
    chosen = [dtype for dtype in DTYPES if dtype in (dtypes or subject.dtypes)]
    if unknown := [dtype for dtype in dtypes or () if dtype not in subject.dtypes]:
        raise ValueError(
            f"dtype {unknown[0]!r}: {subject.name} takes {', '.join(subject.dtypes) or 'none'}"
        )
    for dtype in chosen:
        begin, number = time.monotonic(), 0
        series = _Series(Watched(subject), dtype, advance)
        strategy = sessions(series.offers) if stateful else runs(series.offers)
        while series.failure is None and (series.examples < examples or series.elements < elements):
            _draw(strategy, series.judge, min(_SERIES, max(examples, 1)), [seed, number, dtype])
            number += 1
        series.shrink()
        yield Fuzzed(
            dtype,
            series.examples,
            series.elements,
            time.monotonic() - begin,
            series.failure,
            series.trial,
        )
        if series.failure is not None:
            return


def _shows_state(backend: Watched, dtype: str) -> bool:
    run = Run({"a": np.zeros(1, dtype_of(dtype))}, [], Hyperparameters())
    try:
        return next(follow(backend, run)).moments is not None
    except BackendError:
        return True


def _draw(
    strategy: st.SearchStrategy[Any],
    judge_example: Callable[[Any], None],
    examples: int,
    seed: Any,
) -> None:
    """Draw so many examples; if one fails, let Hypothesis shrink it."""

    @hypothesis.seed(zlib.crc32(repr(seed).encode()))
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(strategy)
    def judged(example: Any) -> None:
        judge_example(example)

    with contextlib.suppress(_FoundError):
        judged()
