"""A message as a line of JSON, and back, with nothing in it that JSON does not have."""

import json
from collections.abc import Mapping
from typing import Any


class LineError(ValueError):
    """A line that is no message; says what does not fit."""


def to_line(message: Mapping[str, Any]) -> bytes:
    r"""One line, in ASCII.

    >>> to_line({"command": "stop"})
    b'{"command":"stop"}\n'
    """
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def from_line(line: bytes) -> dict[str, Any]:
    """The object of a line.

    Raises:
        LineError: it is not UTF-8, not JSON, nested too deeply, not an object, or has a key twice.

    >>> from_line(b'{"id": NaN}')
    Traceback (most recent call last):
    adamax_conformance.protocol.lines.LineError: NaN is not JSON: a float is sent as its bits
    """
    try:
        document = json.loads(
            line.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_object
        )
    except LineError:
        raise
    except UnicodeDecodeError as error:
        raise LineError(f"not UTF-8: {error.reason} at byte {error.start}") from error
    except RecursionError as error:
        raise LineError("nested too deeply") from error
    except ValueError as error:
        raise LineError(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise LineError(f"not an object, but {type(document).__name__}")
    return document


def _refuse(constant: str) -> Any:
    raise LineError(f"{constant} is not JSON: a float is sent as its bits")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise LineError(f"the key {twice!r} is there twice")
    return made
