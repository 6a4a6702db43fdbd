"""Sessions: any interleaving of step, missing gradient, save, load, and change of hyperparameters.

A session is judged as the runs that it is made of: from the start or from a load to the next load
or the end. So whatever goes wrong in one is a run, which can be replayed by itself.
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
    """From here on other hyperparameters are in force (H-6)."""

    hp: Hyperparameters


class Save(NamedTuple):
    """Parameters and state are kept aside; the training goes on."""


class Load(NamedTuple):
    """The training goes on from what was saved last, or from where it is."""


Operation = Step | Change | Save | Load


@dataclass(frozen=True)
class Session:
    """What happens to an optimizer, in order.

    Attributes:
        params: initial parameters.
        hp: hyperparameters to begin with.
        operations: what is done.
    """

    params: Arrays
    hp: Hyperparameters
    operations: tuple[Operation, ...]


class _Saved(NamedTuple):
    params: Arrays
    moments: Mapping[str, Moments]


@st.composite
def sessions(draw: st.DrawFn, offers: Offers) -> Session:
    """A session of up to twelve operations; without loading where it is not offered."""
    params = draw(parameters(offers))
    kinds: tuple[type[Operation], ...] = (Step, Step, Step, Change)
    if "load" in offers.features:
        kinds += (Save, Load)
    operations: list[Operation] = []
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=_LONGEST)):
        if kind is Step:
            operations.append(Step(draw(gradients(params, offers.dtype))))
        elif kind is Change:
            operations.append(Change(draw(hyperparameters(offers.features))))
        else:
            operations.append(Save() if kind is Save else Load())
    return Session(params, draw(hyperparameters(offers.features)), tuple(operations))


def runs_of(backend: Watched, session: Session) -> Iterator[Run]:
    """The runs of a session, to be judged as they come; those without a step are left out.

    A run that is saved comes twice, once as far as it was then. Where a load follows, the backend
    is asked for what it has come to, so that a run that is wrong should not be gone beyond.

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
    """What a run leaves to be saved; None where the state cannot be seen."""
    *_, last = follow(backend, run)
    return None if last.moments is None else _Saved(last.params, last.moments)


def encode_session(session: Session) -> Document:
    """A session as JSON, to compare two."""
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
