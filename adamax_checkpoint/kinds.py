"""The kinds of files, found by their first bytes: canonical, torch and optax."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from adamax_checkpoint import file
from adamax_checkpoint.checkpoint import Checkpoint, CheckpointError
from adamax_checkpoint.file import Tick
from adamax_core import Hyperparameters


class Kind(StrEnum):
    """The kinds of files."""

    torch = "torch"
    optax = "optax"
    canonical = "canonical"


def kind_of(path: Path) -> Kind:
    """The kind of a file, by its first bytes.

    Raises:
        CheckpointError: it is of no kind.
        OSError: the file cannot be read.
    """
    file.require_regular(path)
    with path.open("rb") as opened:
        start = opened.read(9)
    if start[8:] == b"{":  # a safetensors file: the length of its header, which is JSON
        return Kind.canonical
    if start.startswith((b"PK\x03\x04", b"\x80\x02")):  # a zip file, or a bare pickle
        return Kind.torch
    # The first byte of a map of MessagePack.
    is_map = len(start) > 1 and (start[0] in range(0x81, 0x90) or start[0] in (0xDE, 0xDF))
    if is_map:
        return Kind.optax
    raise CheckpointError(
        f"{path}: neither a safetensors file, nor one of torch.save, nor one of Flax's "
        "serialization: give the file that the framework saved, or restore it from a copy"
    )


def read(
    path: Path,
    names: Iterable[str] | None = None,
    hyperparameters: Hyperparameters | None = None,
    tick: Tick | None = None,
) -> Checkpoint:
    """The checkpoint of a file of any kind.

    Args:
        path: the file.
        names: of the parameters, for a torch file that has none.
        hyperparameters: for an optax file that has none.
        tick: for progress bars, of a canonical file.

    Raises:
        CheckpointError: the file is not valid, or has other names or hyperparameters itself.
        OSError: the file cannot be read.
    """
    chosen = None if names is None else list(names)
    found = _of_kind(path, chosen, hyperparameters, tick)
    if chosen is not None and {*chosen} != {*found.names}:
        raise CheckpointError(
            f"{path}: it has names itself, {', '.join(found.names)}: leave out the names "
            f"{', '.join(chosen)}"
        )
    for group in found.groups:
        if hyperparameters not in (None, group.hyperparameters):
            raise CheckpointError(
                f"{path}: it has hyperparameters itself, {group.hyperparameters}: leave out "
                f"{hyperparameters}"
            )
    return found


def _of_kind(
    path: Path,
    names: Iterable[str] | None,
    hyperparameters: Hyperparameters | None,
    tick: Tick | None,
) -> Checkpoint:
    kind = kind_of(path)
    if kind is Kind.torch:
        from adamax_checkpoint import torch_file  # noqa: PLC0415 - other kinds need no PyTorch

        return torch_file.read(path, names)
    if kind is Kind.optax:
        from adamax_checkpoint import optax_file  # noqa: PLC0415 - other kinds need no JAX

        return optax_file.read(path, hyperparameters)
    return file.load(path, tick=tick)


def write(path: Path, kind: Kind, checkpoint: Checkpoint, tick: Tick | None = None) -> None:
    """Save a checkpoint as a file of this kind.

    Raises:
        CheckpointError: the kind cannot hold the state.
        OSError: the file cannot be written; nothing has changed.
    """
    if kind is Kind.torch:
        from adamax_checkpoint import torch_file  # noqa: PLC0415 - as above

        torch_file.write(path, checkpoint)
    elif kind is Kind.optax:
        from adamax_checkpoint import optax_file  # noqa: PLC0415 - as above

        optax_file.write(path, checkpoint)
    else:
        file.save(path, checkpoint, tick=tick)
