"""The program's side of the protocol, for any backend: the command `serve` runs it.

It checks messages as strictly as the judge does and says what is wrong with them. So it can also
test another judge.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

from adamax_conformance.exchange.schemas import SchemaError, require, schema
from adamax_conformance.exchange.wire import (
    Document,
    WireError,
    decode_array,
    decode_hyperparameters,
    decode_run,
    encode_arrays,
    encode_moments,
)
from adamax_conformance.judging.judge import stepwise
from adamax_conformance.protocol import VERSION
from adamax_conformance.protocol.lines import LineError, from_line, to_line
from adamax_conformance.spec.formats import DTYPES
from adamax_conformance.subject.backend import Backend
from adamax_conformance.subject.limits import Limits
from adamax_conformance.subject.watched import BackendError, MalformedError, Watched


class _Failure(Exception):  # noqa: N818 - an answer, not an error of the server
    """An error to send as the answer."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def serve(backend: Backend, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer the requests, one for each line, until ``stop`` or the end of input."""
    # The judge keeps to the limits, or looks whether they are true.
    watched, greeted = Watched(backend).unlimited(), False
    for line in requests:
        number = None
        try:
            message = from_line(line)
            number = message["id"] if type(message.get("id")) is int else None
            command = _command(message)
            if command == "stop":
                return
            if command == "run" and not greeted:
                raise _Failure("message", "run before hello")  # noqa: TRY301 - answered below
            answer = _hello(backend, message) if command == "hello" else _run(watched, message)
            greeted = True
        except (LineError, SchemaError, WireError) as error:
            answer = _error("message", str(error))
        except _Failure as failure:
            answer = _error(failure.kind, str(failure))
        answers.write(to_line({"id": number, **answer}))
        answers.flush()


def _error(kind: str, message: str) -> Document:
    return {"error": {"kind": kind, "message": message}}


def _command(message: Document) -> str:
    command = message.get("command")
    if command not in ("hello", "run", "stop"):
        raise _Failure("message", f"command is {command!r}, must be hello, run or stop")
    require("protocol", message, command)
    return str(command)


def offered() -> tuple[str, ...]:
    """Return the features that the protocol supports."""
    return tuple(schema("protocol")["$defs"]["offer"]["properties"]["features"]["items"]["enum"])


def _hello(backend: Backend, message: Document) -> Document:
    if message["version"] != VERSION:
        raise _Failure(
            "unsupported", f"version {message['version']} of the protocol; this is {VERSION}"
        )
    limits = Limits.of(backend)
    declared: dict[str, Any] = {}
    if limits.names:
        declared["limits"] = sorted(limits.names)
    if not limits.exact:
        declared["hyperparameter_dtype"] = limits.hyperparameter_dtype
    for about in ("language", "packages", "default_eps"):
        if said := getattr(backend, about, None):
            declared[about] = said
    return {
        "version": VERSION,
        "name": backend.name,
        "dtypes": [name for name in DTYPES if name in backend.dtypes],
        "features": [name for name in offered() if name in backend.features],
        **declared,
    }


def _run(backend: Watched, message: Document) -> Document:
    hyperparameters, steps = message["hyperparameters"], len(message["grads"])
    if len(hyperparameters) != max(steps, 1):
        raise _Failure("message", f"{len(hyperparameters)} hyperparameters for {steps} steps")
    run = decode_run({**message, "state": None, "hyperparameters": hyperparameters[:steps]})
    first = decode_hyperparameters(hyperparameters[0])
    _require_offered(backend, message)
    try:
        state = (
            replace(run, hp=first).start(backend)
            if message["state"] is None
            else backend.load(run.params, first, _saved(message["state"]))
        )
        before, *after = _encoded(stepwise(backend, run, state))
    except MalformedError as error:
        raise _Failure("internal", str(error)) from error
    except BackendError as error:
        refused = isinstance(error.cause, ValueError | TypeError)
        text = str(error.cause) or type(error.cause).__name__
        raise _Failure("value" if refused else "internal", text) from error
    return {"initial": before["state"], "records": after}


def _saved(state: Document) -> Mapping[str, Mapping[str, Any]]:
    """Decode a state to load; its arrays may have any names."""
    return {
        name: {key: part if key == "step" else decode_array(part) for key, part in slot.items()}
        for name, slot in state.items()
    }


def _encoded(steps: Iterator[Any]) -> Iterator[Document]:
    for params, moments, _ in steps:
        state = None if moments is None else encode_moments(moments)
        yield {"params": encode_arrays(params), "state": state}


def _require_offered(backend: Watched, message: Document) -> None:
    """Raise if a run needs a dtype or feature that the answer to hello did not offer."""
    hyperparameters = message["hyperparameters"]
    asked = {
        "undecayed": bool(message["undecayed"]),
        "state_dtype": message["state_dtype"] is not None,
        "load": message["state"] is not None,
        "maximize": any(hp["maximize"] for hp in hyperparameters),
        "decoupled_weight_decay": any(hp["decoupled_weight_decay"] for hp in hyperparameters),
    }
    for dtype in sorted({array["dtype"] for array in message["params"].values()}):
        if dtype not in backend.backend.dtypes:
            raise _Failure("unsupported", f"{dtype} was not offered in answer to hello")
    for feature, wanted in asked.items():
        if wanted and feature not in backend.features:
            raise _Failure("unsupported", f"{feature} was not offered in answer to hello")
