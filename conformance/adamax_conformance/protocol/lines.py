"""Messages as lines of strict JSON, without NaN or infinity."""

import json
from collections.abc import Mapping
from typing import Any


class LineError(ValueError):
    """A line is not a message; says why."""


def to_line(message: Mapping[str, Any]) -> bytes:
    r"""Encode a message as one line in ASCII.

    >>> to_line({"command": "stop"})
    b'{"command":"stop"}\n'
    """
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def from_line(line: bytes) -> dict[str, Any]:
    """Decode a line into an object.

    Raises:
        LineError: it is not UTF-8, not JSON, nested too deeply, not an object, or has a key twice.

    >>> from_line(b'{"id": NaN}')
    Traceback (most recent call last):
    adamax_conformance.protocol.lines.LineError: NaN is not JSON: send a float as its bits
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
        raise LineError(f"must be an object, but is {type(document).__name__}")
    return document


def _refuse(constant: str) -> Any:
    raise LineError(f"{constant} is not JSON: send a float as its bits")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise LineError(f"duplicate key {twice!r}")
    return made
