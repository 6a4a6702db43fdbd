"""A checkpoint as a safetensors file: `save`, which is atomic, and `load`.

The library validates the header. Writing is our own, since `safetensors.serialize_file` needs the
addresses of all tensors at once, for which strided ones would be copied together, and gives no
file descriptor to flush. So is reading the tensors: each is checked in pieces that are in the
cache, in two threads, which takes half of the time of the library.
"""

import errno
import json
import os
import stat
import struct
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from adamax_checkpoint.atomic import replacing
from adamax_checkpoint.checkpoint import (
    DTYPES,
    Array,
    Checkpoint,
    CheckpointError,
    require_checkpoint,
)
from adamax_checkpoint.metadata import (
    KEY,
    REMEDY,
    groups_of,
    hex8,
    metadata_text,
    parsed,
    tensor_entry,
)
from adamax_core import State

Tick = Callable[[int], object]
"""Is called, by any thread, with the number of bytes written or read since the last call."""

_CHUNK = 1 << 20
"""Bytes to check and write while they are in the cache."""


def save(path: str | os.PathLike[str], checkpoint: Checkpoint, *, tick: Tick | None = None) -> None:
    """Save a checkpoint; whatever interrupts it, the path holds the old file or the new one.

    The file is written under another name, ``.NAME.*.partial`` in the same folder, flushed to disk
    and renamed. A killed process can leave that one behind; it may be deleted. Arrays may have any
    strides; at most one of them is copied at a time.

    Args:
        path: the file; it is replaced if it exists, and the target of a symbolic link is.
        checkpoint: what to save.
        tick: see `Tick`; for progress bars.

    Raises:
        CheckpointError: the names are too long for a safetensors file, whose header has 100 MB at
            most.
        OSError: the file cannot be written, such as on a full disk; nothing has changed.
        TypeError: `checkpoint` is no Checkpoint.

    >>> import tempfile
    >>> from adamax_checkpoint import Group
    >>> from adamax_core import Hyperparameters, init
    >>> params = {"w": np.ones(2, np.float32)}
    >>> checkpoint = Checkpoint(init(params), (Group(("w",), Hyperparameters()),), params)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Path(folder, "state.safetensors"), checkpoint)
    ...     load(Path(folder, "state.safetensors")).params
    {'w': array([1., 1.], dtype=float32)}
    """
    require_checkpoint(checkpoint)
    with replacing(path) as file:
        _write(file, checkpoint, tick or _ignore)


def load(path: str | os.PathLike[str], *, tick: Tick | None = None) -> Checkpoint:
    """Load and validate a checkpoint. Each array is read once, into memory of its own.

    Args:
        path: the file.
        tick: see `Tick`; for progress bars.

    Raises:
        CheckpointError: the file is not a checkpoint, is of another version, or is truncated or
            corrupt; names the file and what is wrong.
        OSError: the file cannot be opened.
    """
    require_regular(path)
    while True:
        # The library opens a path, and reports a missing file in words of its own.
        with Path(path).open("rb") as held:
            try:
                return _loaded(path, tick or _ignore)
            except CheckpointError:
                if os.path.samestat(os.fstat(held.fileno()), Path(path).stat()):
                    raise
                # The file was replaced while it was read: read the new one.


def require_regular(path: str | os.PathLike[str]) -> None:
    """Raise unless the path can be read more than once and from any place, as no pipe can.

    Raises:
        OSError: it is a pipe, a socket or a device, or is not there.
    """
    found = Path(path).stat().st_mode
    if not stat.S_ISREG(found) and not stat.S_ISDIR(found):
        raise OSError(errno.EINVAL, f"{path} is not a regular file: copy it to one")


def _loaded(path: str | os.PathLike[str], tick: Tick) -> Checkpoint:
    try:
        return _read(Path(path), tick)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a valid file ({error}). {REMEDY}") from error
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # The checksum of the metadata is right, so another program has written them.
        raise CheckpointError(
            f"{path}: the metadata are malformed ({error!r}). {REMEDY}"
        ) from error


def _ignore(_bytes: int) -> None:
    """No progress to show."""


def _write(file: IO[bytes], checkpoint: Checkpoint, tick: Tick) -> None:
    """Write the tensors, then the header before them, whose length does not depend on checksums."""
    arrays = checkpoint.arrays()
    # Larger elements first, so that each tensor is aligned, as the library writes them.
    keys = sorted(arrays, key=lambda key: (-_real(arrays[key].dtype).itemsize, key))
    sums = dict.fromkeys(keys, 0)
    file.write(_header(checkpoint, arrays, sums))
    for key in keys:
        sums[key] = _write_tensor(file, arrays[key], tick)
    file.seek(0)
    file.write(_header(checkpoint, arrays, sums))


def _write_tensor(file: IO[bytes], array: Array, tick: Tick) -> int:
    """Write a tensor and return its CRC-32. A function, so that a copy is freed before the next."""
    data, crc = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, 0
    for start in range(0, len(data), _CHUNK):
        chunk = data[start : start + _CHUNK]
        crc = zlib.crc32(chunk, crc)
        file.write(chunk)
        tick(len(chunk))
    return crc


def _header(checkpoint: Checkpoint, arrays: Mapping[str, Array], sums: Mapping[str, int]) -> bytes:
    tensors, header, end = {}, {}, 0
    for key, crc in sums.items():
        array, start = arrays[key], end
        end += array.nbytes
        header[key] = {
            "dtype": _code(array.dtype),
            "shape": _stored_shape(array.shape, array.dtype),
            "data_offsets": [start, end],
        }
        tensors[key] = tensor_entry(array, crc)
    content = {"__metadata__": {KEY: metadata_text(checkpoint, tensors)}, **header}
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _MOST_HEADER:
        raise CheckpointError(
            f"the header of the file would have {len(text):,} bytes, and safetensors reads "
            f"{_MOST_HEADER:,} at most: shorten the names, or save the parameters in several files"
        )
    return struct.pack("<Q", len(text)) + text


_MOST_HEADER = 100_000_000


def _read(path: Path, tick: Tick) -> Checkpoint:
    with safe_open(path, "np", backend="pread") as file:
        content = parsed(file.metadata())
        tensors, keys = content["tensors"], file.offset_keys()
        if lost := sorted(set(tensors) ^ set(keys)):
            raise CheckpointError(f"corrupt: tensors are missing or left over: {lost}. {REMEDY}")
        places = [_place(file, key, tensors[key]) for key in keys]
    starts = _starts(path)

    def read(place: _Place) -> Array:
        array, crc = _read_tensor(path, starts[place.key], place, tick)
        if hex8(crc) != tensors[place.key]["crc32"]:
            raise CheckpointError(f"corrupt: the checksum of {place.key} is wrong. {REMEDY}")
        return array

    trees: dict[str, dict[str, Any]] = {field: {} for field in _FIELDS}
    with ThreadPoolExecutor(_THREADS) as readers:
        for place, array in zip(places, readers.map(read, places), strict=True):
            trees[place.field][place.name] = array
    step = {name: int(count) for name, count in trees["step"].items()}
    return Checkpoint(
        State(step, trees["exp_avg"], trees["exp_inf"]),
        groups_of(content),
        trees["param"] or None,
        content["dialect"],
        content["verified"],
    )


_FIELDS = ("step", "exp_avg", "exp_inf", "param")
_THREADS = 2
"""Two take turns with the disk and the processor; more were no faster."""


class _Place(NamedTuple):
    """A tensor of the file, and what becomes of it."""

    key: str
    name: str
    field: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def _place(file: Any, key: str, saved: Mapping[str, Any]) -> _Place:
    """Compare what the header and the metadata tell of a tensor, before memory is allocated."""
    name, _, field = key.rpartition(".")
    if field not in _FIELDS:
        raise CheckpointError(
            f"the tensor {key} is no part of Adamax's state, which has step, exp_avg and "
            f"exp_inf{': it looks like Adam' if field == 'exp_avg_sq' else ''}. Save the "
            "state of Adamax"
        )
    part = file.get_slice(key)
    dtype, shape = _NAMES.get(saved["dtype"]), tuple(saved["shape"])
    if dtype is None or (dtype == np.int64) != (field == "step"):
        raise CheckpointError(f"the dtype of {key} is {saved['dtype']!r}, which it cannot have")
    if (part.get_dtype(), part.get_shape()) != (_code(dtype), _stored_shape(shape, dtype)):
        raise CheckpointError(
            f"corrupt: {key} is {part.get_dtype()} of shape {part.get_shape()}, but the metadata "
            f"tells {saved['dtype']} of shape {list(shape)}. {REMEDY}"
        )
    return _Place(key, name, field, dtype, shape)


def _starts(path: Path) -> dict[str, int]:
    """Where each tensor begins in a file whose header the library has validated."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return {
        key: 8 + length + part["data_offsets"][0]
        for key, part in header.items()
        if key != "__metadata__"
    }


def _read_tensor(path: Path, start: int, place: _Place, tick: Tick) -> tuple[Array, int]:
    """Read a tensor into its own memory; return it with the CRC-32 of its bytes."""
    array, crc = np.empty(place.shape, place.dtype), 0
    left = array.reshape(-1).view(np.uint8).data
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while len(left):
            count = file.readinto(left[:_CHUNK]) or 0
            if not count:
                raise CheckpointError(f"truncated while {place.key} was read. {REMEDY}")
            crc = zlib.crc32(left[:count], crc)
            left = left[count:]
            tick(count)
    return array, crc


_NAMES = {str(dtype): dtype for dtype in (*DTYPES, np.dtype(np.int64))}


def _real(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the parts of complex numbers, which are saved as pairs (A-9)."""
    return np.zeros((), dtype).real.dtype


def _code(dtype: np.dtype[Any]) -> str:
    return DTYPES.get(dtype, "I64")


def _stored_shape(shape: tuple[int, ...], dtype: np.dtype[Any]) -> list[int]:
    return [*shape, 2] if dtype.kind == "c" else [*shape]
