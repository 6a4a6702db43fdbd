"""The judge's side of the protocol: a program as a `Backend`.

Each message is a whole run, from its first step. So the program keeps nothing between messages, and
after a crash the judge restarts it for the next run.
"""

import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
from adamax_conformance.protocol.offer import Offer
from adamax_conformance.protocol.process import HungError, Process
from adamax_conformance.spec.formats import DTYPES
from adamax_conformance.subject.backend import Arrays, LostError, Moments, Steps
from adamax_conformance.subject.printable import LONGEST, printable
from adamax_core import Hyperparameters

PATIENCE = 5
"""After so many timeouts the judge sends no further run."""


class CommandError(ValueError):
    """The command line cannot be run; the message says why."""


class RefusedError(ValueError):
    """The program refused an argument: it answered with an error of the kind ``value``."""


class FailedError(RuntimeError):
    """The program answered with an error of another kind."""


@dataclass(frozen=True)
class Position:
    """The steps of a run so far, and their result: what `Backend` calls a state.

    Attributes:
        run: the message with the steps so far.
        params: parameters after these steps.
        moments: moments after these steps; None if the program does not report them.
    """

    run: Document
    params: Arrays
    moments: Mapping[str, Moments] | None


class ProgramBackend:
    """A program that speaks the protocol; it starts at the first request.

    Attributes:
        deviations: none; use a file of expectations.

    Args:
        name: its name on the command line, ``cmd:./program arguments``.
        command: the program and its arguments.
        timeout: seconds for each answer.
    """

    def __init__(self, name: str, command: Sequence[str], timeout: float = TIMEOUT) -> None:
        self._named = printable(name, LONGEST)
        self.deviations: Mapping[str, str] = {}
        self._command = tuple(command)
        self._timeout = timeout
        self._process: Process | None = None
        self._sent = 0
        self._hung = 0
        self._offer: Offer | None = None
        self._unknown: LostError | None = None

    @classmethod
    def of(cls, name: str, timeout: float = TIMEOUT) -> "ProgramBackend":
        """Return the backend of a name ``cmd:PROGRAM ARGUMENTS``, quoted as for a shell.

        Raises:
            CommandError: the program was not found, or the quotes do not match.

        >>> ProgramBackend.of("cmd:no-such-program --fast")
        Traceback (most recent call last):
        adamax_conformance.protocol.client.CommandError: program 'no-such-program' not found
        """
        try:
            command = shlex.split(name.partition(":")[2])
        except ValueError as error:
            raise CommandError(f"cannot parse the command: {error}") from error
        if not command or not command[0]:
            raise CommandError("the command is empty: write cmd:./program arguments")
        if shutil.which(command[0]) is None:
            raise CommandError(f"program {command[0]!r} not found")
        return cls(name, command, timeout)

    @property
    def name(self) -> str:
        """The name that the program gives itself; that of the command line if ``hello`` fails."""
        return self._offered().name

    @property
    def dtypes(self) -> Sequence[str]:
        """The dtypes that the program offers; all if ``hello`` fails, so that a run reports why."""
        return self._offered().dtypes

    @property
    def features(self) -> Sequence[str]:
        """The features that the program offers."""
        return self._offered().features

    @property
    def limits(self) -> Sequence[str]:
        """The limits that the program declares."""
        return self._offered().limits

    @property
    def hyperparameter_dtype(self) -> str:
        """The format that the program holds hyperparameters in."""
        return self._offered().hyperparameter_dtype

    @property
    def language(self) -> str:
        """The language that the rule is written in; empty if the program does not say."""
        return self._offered().language

    @property
    def packages(self) -> Mapping[str, str]:
        """The versions of packages that the program names."""
        return self._offered().packages

    @property
    def default_eps(self) -> float | None:
        """The eps where its user names none; None if the program does not say."""
        return self._offered().default_eps

    def init(self, params: Arrays, hp: Hyperparameters, **options: Any) -> Position:
        """Send a run without steps; the program checks `hp` and returns the state."""
        undecayed = options.get("undecayed", ())
        run = Run(params, [], hp, state_dtype=options.get("state_dtype"), undecayed=undecayed)
        return self._begun(_message(run), params)

    def load(
        self, params: Arrays, hp: Hyperparameters, saved: Mapping[str, Mapping[str, Any]]
    ) -> Position:
        """Send a run without steps that begins with a saved state, perhaps of another optimizer."""
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
        """Send the run so far with one more step.

        Raises:
            TypeError: the protocol does not have the dtype of a gradient.
            ValueError: `params` differ from those of the state.
        """
        for name, grad in grads.items():
            if grad.dtype.name not in DTYPES:
                raise TypeError(
                    f"the gradient of {name} has dtype {grad.dtype}, must be one of "
                    f"{', '.join(DTYPES)}"
                )
        if any(array.tobytes() != state.params[name].tobytes() for name, array in params.items()):
            raise ValueError(
                "the parameters were changed between two steps; a program gets whole runs only"
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
        """Return the moments of the program's last answer."""
        return state.moments

    def trajectory(self, run: Run) -> list[tuple[Arrays, Mapping[str, Moments] | None]]:
        """Send the whole run in one message; see `adamax_conformance.judging.judge.follow`."""
        return self._shown(_message(run), run.params)

    def vjp(self, wrt: str, steps: Steps) -> Any:
        """Raise: this version of the protocol has no derivatives."""
        raise NotImplementedError("the protocol has no derivatives")

    def close(self) -> None:
        """Stop the program; another request restarts it."""
        if self._process is not None:
            self._process.end()

    def _shown(
        self, run: Document, params: Arrays
    ) -> list[tuple[Arrays, Mapping[str, Moments] | None]]:
        """Return the program's parameters and moments before the first step and after each."""
        answer = self._answer(run)
        if "error" in answer:
            raise _failure(answer["error"])
        try:
            states = [answer["initial"], *(record["state"] for record in answer["records"])]
            shown = [params, *(decode_arrays(record["params"]) for record in answer["records"])]
            moments = [None if state is None else decode_moments(state) for state in states]
        except WireError as error:
            raise self._lost(f"gave a malformed answer: {printable(error, LONGEST)}") from error
        if len(shown) != len(run["grads"]) + 1:
            raise self._lost(
                f"gave {len(shown) - 1} records for {len(run['grads'])} steps, must be one per step"
            )
        for number, arrays in enumerate(shown):
            if set(arrays) != set(params):
                raise self._lost(
                    f"gave params {_names(arrays)} in record {number}, must be {_names(params)}"
                )
        return list(zip(shown, moments, strict=True))

    def _answer(self, run: Document) -> Document:
        """Return the answer to a run, checked against the schema."""
        if self._hung >= PATIENCE:
            raise LostError(
                f"not run: {PATIENCE} answers took longer than {self._timeout:g} s each; "
                "raise --timeout"
            )
        try:
            return self._request("run", run, "records")
        except HungError:
            self._hung += 1
            raise

    def _offered(self) -> Offer:
        """Return the program's first answer to ``hello``; if that failed, what a run may report."""
        if self._offer is None and self._unknown is None:
            try:
                self._start()
            except LostError as error:
                self._unknown = error
        return self._offer or Offer(self._named, DTYPES)

    def _start(self) -> None:
        """Start the program and read its offer.

        Raises:
            LostError: ``hello`` failed, or its answer differs from the first one.
        """
        try:
            self._process, self._sent = Process(self._command), 0
        except LostError as error:
            raise LostError(f"{self._subject} {error}") from error
        answer = self._exchange("hello", {"version": VERSION}, "offer")
        if "error" in answer:
            raise self._lost(f"refused hello: {_failure(answer['error'])}")
        offer = Offer.of(answer)
        if self._offer not in (None, offer):
            raise self._lost("answered hello differently from the first time")
        self._offer = offer

    def _request(self, command: str, content: Document, part: str) -> Document:
        if self._unknown is not None:
            raise self._unknown
        if self._process is None or self._process.ended:
            self._start()
        return self._exchange(command, content, part)

    def _exchange(self, command: str, content: Document, part: str) -> Document:
        """Send a message; return the answer, which fits this part of the schema or is an error."""
        process, number = self._process, self._sent
        assert process is not None  # noqa: S101 - for mypy: it was started
        self._sent += 1
        try:
            line = process.ask(
                to_line({"command": command, "id": number, **content}), self._timeout
            )
            answer = from_line(line)
            require("protocol", answer, "failure" if "error" in answer else part)
        except LostError as error:
            raise type(error)(f"{self._subject} {error}") from error
        except LineError as error:
            what = (
                f"{printable(error, LONGEST)}: {_beginning(line)}; print anything else to the "
                "standard error"
            )
            raise self._lost(f"gave a malformed answer: {what}") from error
        except SchemaError as error:
            raise self._lost(f"gave a malformed answer: {printable(error, LONGEST)}") from error
        if answer["id"] != number and not ("error" in answer and answer["id"] is None):
            raise self._lost(f"gave an answer with id {answer['id']} to request {number}")
        return answer

    def _lost(self, what: str) -> LostError:
        """Kill the program; return the error to raise."""
        if self._process is not None:
            self._process.kill()
        return LostError(f"{self._subject} {what}")

    @property
    def _subject(self) -> str:
        """The subject of a message: the program's name, once it has answered ``hello``."""
        return self._offer.name if self._offer else "hello: the program"


def _message(run: Run) -> Document:
    """Encode a run; one without steps has hyperparameters too, for `init` to check."""
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
