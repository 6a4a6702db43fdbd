"""The judge's side of the protocol: a program, as a `Backend`.

A run is sent whole, from its first step, whenever something is to be known of it. So the program
keeps nothing between the messages, and one that is lost is started again for the next.
"""

import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from adamax_conformance.exchange.schemas import SchemaError, require
from adamax_conformance.exchange.wire import (
    Document,
    WireError,
    decode_arrays,
    decode_moments,
    encode_array,
    encode_arrays,
    encode_hyperparameters,
    encode_run,
)
from adamax_conformance.judging.run import Run
from adamax_conformance.protocol import TIMEOUT, VERSION
from adamax_conformance.protocol.lines import LineError, from_line, to_line
from adamax_conformance.protocol.process import HungError, Process
from adamax_conformance.spec.formats import DTYPES
from adamax_conformance.subject.backend import Arrays, LostError, Moments, Steps
from adamax_conformance.subject.printable import LONGEST, printable
from adamax_core import Hyperparameters

PATIENCE = 5
"""After so many runs in a row that took too long, no further one is begun."""


class CommandError(ValueError):
    """A command line that cannot be run; the message says why."""


class RefusedError(ValueError):
    """The program refused an argument: its answer was an error of the kind ``value``."""


class FailedError(RuntimeError):
    """The program answered with an error of another kind."""


@dataclass(frozen=True)
class Position:
    """Where a run has come to: what `Backend` calls a state.

    Attributes:
        run: the message, up to here.
        params: the parameters that the program gave last.
        moments: the state that it showed last.
    """

    run: Document
    params: Arrays
    moments: Mapping[str, Moments] | None


class _Offer(NamedTuple):
    """What a program says of itself."""

    name: str
    dtypes: Sequence[str]
    features: Sequence[str]


class ProgramBackend:
    """A program that speaks the protocol; it is started when something is first asked of it.

    Attributes:
        name: as on the command line.
        deviations: none; a file of expectations may have them.

    Args:
        name: how reports call it, ``cmd:./program arguments``.
        command: the program and its arguments.
        timeout: seconds for each answer.
    """

    def __init__(self, name: str, command: Sequence[str], timeout: float = TIMEOUT) -> None:
        self.name = printable(name, LONGEST)
        self.deviations: Mapping[str, str] = {}
        self._command = tuple(command)
        self._timeout = timeout
        self._process: Process | None = None
        self._asked = 0
        self._hung = 0
        self._offer: _Offer | None = None
        self._unknown: LostError | None = None

    @classmethod
    def of(cls, name: str, timeout: float = TIMEOUT) -> "ProgramBackend":
        """The backend of a name ``cmd:PROGRAM ARGUMENTS``, quoted as for a shell.

        Raises:
            CommandError: there is no such program here.

        >>> ProgramBackend.of("cmd:no-such-program --fast")
        Traceback (most recent call last):
        adamax_conformance.protocol.client.CommandError: there is no program 'no-such-program' here
        """
        try:
            command = shlex.split(name.partition(":")[2])
        except ValueError as error:
            raise CommandError(f"the command cannot be read: {error}") from error
        if not command or not command[0]:
            raise CommandError("there is no command: write cmd:./program arguments")
        if shutil.which(command[0]) is None:
            raise CommandError(f"there is no program {command[0]!r} here")
        return cls(name, command, timeout)

    @property
    def dtypes(self) -> Sequence[str]:
        """Those that the program names; all where it does not even say hello, to say so later."""
        return offer.dtypes if (offer := self._met()) else DTYPES

    @property
    def features(self) -> Sequence[str]:
        """Those that the program names."""
        return offer.features if (offer := self._met()) else ()

    def init(self, params: Arrays, hp: Hyperparameters, **options: Any) -> Position:
        """A run without a step: whether these hyperparameters are accepted, and the state."""
        undecayed = options.get("undecayed", ())
        run = Run(params, [], hp, state_dtype=options.get("state_dtype"), undecayed=undecayed)
        return self._begun(_message(run), params)

    def load(
        self, params: Arrays, hp: Hyperparameters, saved: Mapping[str, Mapping[str, Any]]
    ) -> Position:
        """The same from a state, which may be another optimizer's."""
        state = {
            name: {key: part if key == "step" else encode_array(part) for key, part in slot.items()}
            for name, slot in saved.items()
        }
        return self._begun({**_message(Run(params, [], hp)), "state": state}, params)

    def _begun(self, run: Document, params: Arrays) -> Position:
        return Position(run, params, self._shown(run, params)[0][1])

    def step(
        self, params: Arrays, grads: Arrays, state: Position, hp: Hyperparameters
    ) -> tuple[Arrays, Position]:
        """The run so far and one step more.

        Raises:
            TypeError: a gradient of a dtype that the protocol does not have.
            ValueError: `params` are not those of the state.
        """
        for name, grad in grads.items():
            if grad.dtype.name not in DTYPES:
                raise TypeError(
                    f"a gradient of {grad.dtype} for {name}: one of {', '.join(DTYPES)} can be sent"
                )
        if any(array.tobytes() != state.params[name].tobytes() for name, array in params.items()):
            raise ValueError(
                "the parameters were changed between two steps, and a run is sent whole"
            )
        before = state.run["grads"]
        run = {
            **state.run,
            "hyperparameters": [
                *(state.run["hyperparameters"] if before else []), encode_hyperparameters(hp)
            ],
            "grads": [*before, encode_arrays(grads)],
        }  # fmt: skip
        stepped, moments = self._shown(run, params)[-1]
        return stepped, Position(run, stepped, moments)

    def moments(self, state: Position) -> Mapping[str, Moments] | None:
        """What the program showed with its last answer."""
        return state.moments

    def trajectory(self, run: Run) -> list[tuple[Arrays, Mapping[str, Moments] | None]]:
        """The whole run in one message; see `adamax_conformance.judging.judge.follow`."""
        return self._shown(_message(run), run.params)

    def vjp(self, wrt: str, steps: Steps) -> Any:
        """Not in this version of the protocol."""
        raise NotImplementedError("the protocol has no derivatives")

    def close(self) -> None:
        """Stop the program; it is started again where something more is asked of it."""
        if self._process is not None:
            self._process.end()

    def _shown(
        self, run: Document, params: Arrays
    ) -> list[tuple[Arrays, Mapping[str, Moments] | None]]:
        """Parameters and state before the first step and after each, as the program has them."""
        answer = self._answer(run)
        if "error" in answer:
            raise _failure(answer["error"])
        try:
            states = [answer["initial"], *(record["state"] for record in answer["records"])]
            shown = [params, *(decode_arrays(record["params"]) for record in answer["records"])]
            moments = [None if state is None else decode_moments(state) for state in states]
        except WireError as error:
            raise self._lost(f"answered out of form: {printable(error, LONGEST)}") from error
        if len(shown) != len(run["grads"]) + 1:
            raise self._lost(
                f"gave {len(shown) - 1} records for {len(run['grads'])} steps, must give one a step"
            )
        for number, arrays in enumerate(shown):
            if set(arrays) != set(params):
                raise self._lost(
                    f"gave params of {_names(arrays)} in record {number}, must be {_names(params)}"
                )
        return list(zip(shown, moments, strict=True))

    def _answer(self, run: Document) -> Document:
        """The answer to a run, of the form that it has to have."""
        if self._hung >= PATIENCE:
            raise LostError(
                f"not asked any more: the last {PATIENCE} answers took longer than "
                f"{self._timeout:g} s each; --timeout gives more time"
            )
        try:
            answer = self._asked_for("run", run, "records")
        except HungError:
            self._hung += 1
            raise
        self._hung = 0
        return answer

    def _met(self) -> _Offer | None:
        """What the program said of itself at first; None where it did not."""
        if self._offer is None and self._unknown is None:
            try:
                self._start()
            except LostError as error:
                self._unknown = error
        return self._offer

    def _start(self) -> None:
        """Start the program, and hear what it offers.

        Raises:
            LostError: it does not say; or not the same as before.
        """
        try:
            self._process, self._asked = Process(self._command), 0
        except LostError as error:
            raise LostError(f"{self._called} {error}") from error
        answer = self._exchange("hello", {"version": VERSION}, "offer")
        if "error" in answer:
            raise self._lost(f"refused hello: {_failure(answer['error'])}")
        offer = _Offer(printable(answer["name"], 40), answer["dtypes"], answer["features"])
        if self._offer not in (None, offer):
            raise self._lost("says another thing in answer to hello than at first")
        self._offer = offer

    def _asked_for(self, command: str, content: Document, part: str) -> Document:
        if self._unknown is not None:
            raise self._unknown
        if self._process is None or self._process.ended:
            self._start()
        return self._exchange(command, content, part)

    def _exchange(self, command: str, content: Document, part: str) -> Document:
        """Send a message; its answer, of this part of the schema or an error."""
        process, number = self._process, self._asked
        assert process is not None  # noqa: S101 - for mypy: it was started
        self._asked += 1
        try:
            line = process.ask(
                to_line({"command": command, "id": number, **content}), self._timeout
            )
            answer = from_line(line)
            require("protocol", answer, "failure" if "error" in answer else part)
        except LostError as error:
            raise type(error)(f"{self._called} {error}") from error
        except LineError as error:
            what = (
                f"{printable(error, LONGEST)}: {_beginning(line)}; all that is not an answer "
                "goes to the standard error"
            )
            raise self._lost(f"answered out of form: {what}") from error
        except SchemaError as error:
            raise self._lost(f"answered out of form: {printable(error, LONGEST)}") from error
        if answer["id"] != number and not ("error" in answer and answer["id"] is None):
            raise self._lost(f"answered {answer['id']}, was asked {number}")
        return answer

    def _lost(self, what: str) -> LostError:
        """The error of a program that is not to be relied on any more."""
        if self._process is not None:
            self._process.kill()
        return LostError(f"{self._called} {what}")

    @property
    def _called(self) -> str:
        """The subject of a message: the name that the program gave, once it has."""
        return self._offer.name if self._offer else "hello: the program"


def _message(run: Run) -> Document:
    """A run as it is sent: with hyperparameters also where there is no step."""
    document = encode_run(run)
    none = [encode_hyperparameters(run.at(0))]
    return {**document, "hyperparameters": document["hyperparameters"] or none}


def _failure(error: Mapping[str, str]) -> Exception:
    kind, message = error["kind"], printable(error["message"], LONGEST)
    return RefusedError(message) if kind == "value" else FailedError(f"{kind}: {message}")


def _names(arrays: Arrays) -> str:
    return printable(", ".join(sorted(arrays)), 60) or "nothing"


def _beginning(line: bytes) -> str:
    return repr(printable(line[:200].decode(errors="replace"), 60))
