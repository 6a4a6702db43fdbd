"""Sessions: any interleaving of step, missing gradient, save, load, and change of hyperparameters.

A session is judged as a sequence of runs, each from the start or a load to the next load or the
end. So each failure is one run, which can be replayed by itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hypothesis import strategies as st

from adamax_conformance.exchange.wire import Document, encode_arrays, encode_hyperparameters
from adamax_conformance.fuzz.runs import Offers, gradients, hyperparameters, parameters
from adamax_conformance.judging.judge import follow
from adamax_conformance.judging.run import Run
from adamax_conformance.subject.backend import Arrays, Moments
from adamax_conformance.subject.watched import Watched
from adamax_core import Hyperparameters

_LONGEST = 12


class Step(NamedTuple):
    """A step with these gradients; a missing key is a missing gradient."""

    grads: Arrays


class Change(NamedTuple):
    """Use other hyperparameters from here on (H-6)."""

    hp: Hyperparameters


class Save(NamedTuple):
    """Save a copy of parameters and state, then continue."""


class Load(NamedTuple):
    """Continue from the last save, or, without one, from the present parameters and state."""


Operation = Step | Change | Save | Load


@dataclass(frozen=True)
class Session:
    """A sequence of operations on an optimizer.

    Attributes:
        params: initial parameters.
        hp: initial hyperparameters.
        operations: the operations, in order.
    """

    params: Arrays
    hp: Hyperparameters
    operations: tuple[Operation, ...]


class _Saved(NamedTuple):
    params: Arrays
    moments: Mapping[str, Moments]


@st.composite
def sessions(draw: st.DrawFn, offers: Offers) -> Session:
    """Draw a session of up to twelve operations; without save and load if `load` is not offered."""
    params = draw(parameters(offers))
    kinds: tuple[type[Operation], ...] = (Step, Step, Step)
    if "fixed_hyperparameters" not in offers.limits:
        kinds += (Change,)
    if "load" in offers.features:
        kinds += (Save, Load)
    operations: list[Operation] = []
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=_LONGEST)):
        if kind is Step:
            operations.append(Step(draw(gradients(params, offers))))
        elif kind is Change:
            operations.append(Change(draw(hyperparameters(offers))))
        else:
            operations.append(Save() if kind is Save else Load())
    return Session(params, draw(hyperparameters(offers)), tuple(operations))


def runs_of(backend: Watched, session: Session) -> Iterator[Run]:
    """Yield the runs of a session that have steps; judge each before taking the next.

    A run with a save in it comes twice, first up to the save. To continue after a save or load, the
    backend takes the run again; do not ask for more runs after a wrong one.

    Raises:
        BackendError: the backend raised.
    """
    hp, grads, hps = session.hp, list[Arrays](), list[Hyperparameters]()
    start, saved = _Saved(session.params, {}), None

    def run() -> Run:
        return Run(start.params, list(grads), list(hps) or hp, saved=start.moments or None)

    for operation in session.operations:
        match operation:
            case Step():
                grads.append(operation.grads)
                hps.append(hp)
            case Change():
                hp = operation.hp
            case Save():
                if grads:
                    yield run()
                saved = _end(backend, run())
            case Load():
                if grads:
                    yield run()
                start = saved or _end(backend, run()) or start
                grads, hps = [], []
    if grads:
        yield run()


def _end(backend: Watched, run: Run) -> _Saved | None:
    """Return parameters and moments at the end of a run; None if the state is not accessible."""
    *_, last = follow(backend, run)
    return None if last.moments is None else _Saved(last.params, last.moments)


def encode_session(session: Session) -> Document:
    """Encode a session as JSON, to compare sessions."""
    return {
        "params": encode_arrays(session.params),
        "hyperparameters": encode_hyperparameters(session.hp),
        "operations": [_encoded(each) for each in session.operations],
    }


def _encoded(operation: Operation) -> Any:
    match operation:
        case Step():
            return ["step", encode_arrays(operation.grads)]
        case Change():
            return ["change", encode_hyperparameters(operation.hp)]
        case _:
            return [type(operation).__name__.lower()]
