"""The metadata of a file: one JSON text, which describes every tensor and carries the checksums.

The checksums are CRC-32, which detects accidents, not forgery.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from adamax_checkpoint.checkpoint import Array, Checkpoint, CheckpointError, Group
from adamax_core import Hyperparameters

KEY = "adamax"
"""The entry of the safetensors metadata that holds the JSON text."""

FORMAT, VERSION = "adamax-checkpoint", 1

_FLOATS = ("lr", "eps", "weight_decay")
_FLAGS = ("maximize", "decoupled_weight_decay")
_HYPERPARAMETERS = (*_FLOATS, *_FLAGS, "betas")


def metadata_text(checkpoint: Checkpoint, tensors: Mapping[str, Mapping[str, Any]]) -> str:
    """The metadata of a checkpoint, with dtype, shape and checksum of its tensors by their keys."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "dialect": checkpoint.dialect,
        "verified": checkpoint.verified,
        "groups": [
            {"names": group.names}
            | {name: getattr(group.hyperparameters, name) for name in _HYPERPARAMETERS}
            for group in checkpoint.groups
        ],
        "tensors": tensors,
    }
    return _text(content | {"crc32": crc32(_text(content).encode())})


def tensor_entry(array: Array, crc: int) -> dict[str, Any]:
    """The entry of a tensor with this CRC-32."""
    return {"dtype": str(array.dtype), "shape": [*array.shape], "crc32": hex8(crc)}


def sealed(checkpoint: Checkpoint) -> str:
    """The metadata of a checkpoint whose tensors are in a file of another format."""
    return metadata_text(checkpoint, _tensor_entries(checkpoint))


def unsealed(checkpoint: Checkpoint, text: str) -> Checkpoint:
    """The checkpoint as it was sealed, with its dialect and how it was verified.

    Raises:
        CheckpointError: it is not what was sealed, or the metadata are corrupt.
    """
    content, found = parsed({KEY: text}), _tensor_entries(checkpoint)
    tensors = content["tensors"]
    if wrong := [key for key in {**tensors, **found} if tensors.get(key) != found.get(key)]:
        raise CheckpointError(
            f"corrupt: {wrong[0]} is not what was saved. {REMEDY}, or remove the entry {KEY!r} "
            "from it if it was changed on purpose"
        )
    if groups_of(content) != checkpoint.groups:
        raise CheckpointError(
            f"corrupt: the hyperparameters are not what was saved. {REMEDY}, or remove the entry "
            f"{KEY!r} from it if they were changed on purpose"
        )
    return replace(checkpoint, dialect=content["dialect"], verified=content["verified"])


def _tensor_entries(checkpoint: Checkpoint) -> dict[str, dict[str, Any]]:
    return {
        key: tensor_entry(
            array, zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        )
        for key, array in checkpoint.arrays().items()
    }


def parsed(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """The content of the metadata of a file.

    Raises:
        CheckpointError: it is not a checkpoint, is of another version, or is corrupt.
    """
    if not metadata or KEY not in metadata:
        raise CheckpointError(
            f"not an Adamax checkpoint: its metadata has no {KEY!r}. To read the file of a "
            "framework, use adamax-checkpoint convert"
        )
    try:
        content = json.loads(metadata[KEY])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"corrupt: the metadata is not JSON ({error}). {REMEDY}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"not an Adamax checkpoint: its format is not {FORMAT!r}. {REMEDY}")
    version = content.get("version")
    if type(version) is not int or version != VERSION:
        raise CheckpointError(
            f"version {version!r} of the format; this program reads version "
            f"{VERSION}: use the release of adamax-spec that wrote the file, or a newer one"
        )
    checksum = content.pop("crc32", None)
    if checksum != crc32(_text(content).encode()):
        raise CheckpointError(f"corrupt: the checksum of the metadata is wrong. {REMEDY}")
    # Another program has written what follows, since the checksum is right.
    _require_kinds("the metadata", content, _ENTRIES)
    for key, tensor in content["tensors"].items():
        _require_kinds(key, tensor, _TENSOR)
    return content


REMEDY = "Restore the file from a copy"


def groups_of(content: Mapping[str, Any]) -> tuple[Group, ...]:
    """The groups in the metadata.

    Raises:
        CheckpointError: a hyperparameter is outside its domain, or they are malformed.
    """
    try:
        return tuple(map(_group, content["groups"]))
    except CheckpointError:
        raise
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"the groups are not valid: {error}. Save the state with adamax_checkpoint"
        ) from error


def _group(saved: Mapping[str, Any]) -> Group:
    _require_kinds("a group", saved, _GROUP)
    _require_kinds("betas", dict(enumerate(saved["betas"])), {0: "a number", 1: "a number"})
    beta1, beta2 = map(float, saved["betas"])
    rest: dict[str, Any] = {name: float(saved[name]) for name in _FLOATS}
    rest |= {name: saved[name] for name in _FLAGS}
    return Group(tuple(saved["names"]), Hyperparameters(betas=(beta1, beta2), **rest))


_JSON = {str: "text", int: "a number", float: "a number", bool: "true or false", list: "a list"}
_ENTRIES = {
    **dict.fromkeys(("format", "dialect", "verified"), "text"),
    "version": "a number",
    "groups": "a list",
    "tensors": "an object",
}
_TENSOR = {"dtype": "text", "shape": "a list", "crc32": "text"}
_GROUP = {
    **dict.fromkeys(("names", "betas"), "a list"),
    **dict.fromkeys(_FLOATS, "a number"),
    **dict.fromkeys(_FLAGS, "true or false"),
}


def _require_kinds(what: str, content: Any, kinds: Mapping[Any, str]) -> None:
    """Raise a CheckpointError unless this is a JSON object with these entries, each of its kind."""
    if not isinstance(content, dict):
        raise CheckpointError(
            f"the metadata are malformed: {what} is {content!r}; it must be an object. Save the "
            "state with adamax_checkpoint"
        )
    found = {name: _JSON.get(type(value), "an object") for name, value in content.items()}
    for name in {**kinds, **found}:
        if found.get(name) != kinds.get(name):
            raise CheckpointError(
                f"the metadata are malformed: {name} of {what} is {found.get(name, 'missing')}; "
                f"it must be {kinds.get(name, 'left out')}. Save the state with adamax_checkpoint"
            )


def crc32(data: Any) -> str:
    """The CRC-32 of a buffer as eight hexadecimal digits.

    >>> crc32(b"123456789")
    'cbf43926'
    """
    return hex8(zlib.crc32(data))


def hex8(crc: int) -> str:
    """A CRC-32 as eight hexadecimal digits."""
    return f"{crc:08x}"


def _text(content: Any) -> str:
    # One text for one content: the file of a state has the same bytes each time.
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
