"""The metadata of a file: one JSON text, which describes every tensor and carries the checksums.

The checksums are CRC-32, which detects accidents, not forgery.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from adamax_checkpoint.checkpoint import Array, Checkpoint, CheckpointError, Group
from adamax_core import Hyperparameters

KEY = "adamax"
"""The entry of the safetensors metadata that holds the JSON text."""

FORMAT, VERSION = "adamax-checkpoint", 1

_NUMBERS = [each.name for each in fields(Hyperparameters)]


def described(checkpoint: Checkpoint, tensors: Mapping[str, Mapping[str, Any]]) -> str:
    """The metadata of a checkpoint, with dtype, shape and checksum of its tensors by their keys."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "dialect": checkpoint.dialect,
        "verified": checkpoint.verified,
        "groups": _plain(checkpoint.groups),
        "tensors": tensors,
    }
    return _text(content | {"crc32": crc32(_text(content).encode())})


def told(array: Array, crc: int) -> dict[str, Any]:
    """What the metadata tell of a tensor with this CRC-32."""
    return {"dtype": str(array.dtype), "shape": [*array.shape], "crc32": f"{crc:08x}"}


def sealed(checkpoint: Checkpoint) -> str:
    """The metadata of a checkpoint whose tensors are in a file of another format."""
    return described(checkpoint, _all_told(checkpoint))


def unsealed(checkpoint: Checkpoint, text: str) -> Checkpoint:
    """The checkpoint as it was sealed, with its dialect and how it was verified.

    Raises:
        CheckpointError: it is not what was sealed, or the metadata are corrupt.
    """
    content, found = parsed({KEY: text}), _all_told(checkpoint)
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


def _all_told(checkpoint: Checkpoint) -> dict[str, dict[str, Any]]:
    return {
        key: told(array, zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data))
        for key, array in checkpoint.arrays().items()
    }


def _plain(groups: tuple[Group, ...]) -> list[dict[str, Any]]:
    return [{"names": group.names, **_as_numbers(group.hyperparameters)} for group in groups]


def _as_numbers(hyperparameters: Hyperparameters) -> dict[str, Any]:
    hp = hyperparameters.numbers()
    floats = {name: float(getattr(hp, name)) for name in ("lr", "eps", "weight_decay")}
    flags = {name: bool(getattr(hp, name)) for name in ("maximize", "decoupled_weight_decay")}
    return {**floats, **flags, "betas": [float(beta) for beta in hp.betas]}


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
    if content.get("version") != VERSION:
        raise CheckpointError(
            f"version {content.get('version')!r} of the format; this program reads version "
            f"{VERSION}: use the release of adamax-spec that wrote the file, or a newer one"
        )
    checksum = content.pop("crc32", None)
    if checksum != crc32(_text(content).encode()):
        raise CheckpointError(f"corrupt: the checksum of the metadata is wrong. {REMEDY}")
    return content


REMEDY = "Restore the file from a copy"


def groups_of(content: Mapping[str, Any]) -> tuple[Group, ...]:
    """The groups in the metadata.

    Raises:
        CheckpointError: a hyperparameter is outside its domain, or they are malformed.
    """
    try:
        return tuple(
            Group(
                tuple(group["names"]),
                Hyperparameters(
                    **{name: group[name] for name in _NUMBERS if name not in ("betas", "_")},
                    betas=tuple(group["betas"]),
                ),
            )
            for group in content["groups"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the groups are not valid: {error}. Save it again") from error


def crc32(data: Any, before: int = 0) -> str:
    """The CRC-32 of a buffer as eight hexadecimal digits.

    >>> crc32(b"123456789")
    'cbf43926'
    """
    return f"{zlib.crc32(data, before):08x}"


def _text(content: Any) -> str:
    # One text for one content: the file of a state has the same bytes each time.
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
