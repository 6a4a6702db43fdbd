"""Files of `torch.save` with the state of an optimizer, read without running code from them."""

import os
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adamax_checkpoint.atomic import replacing
from adamax_checkpoint.checkpoint import Checkpoint, CheckpointError
from adamax_checkpoint.metadata import KEY, REMEDY, sealed, unsealed
from adamax_checkpoint.torch import from_state_dict, parameter_names, to_state_dict, to_torch

OPTIMIZER, MODEL = "optimizer", "model"
"""The keys of the dict that `write` saves, beside `metadata.KEY`."""


def read(path: str | os.PathLike[str], names: Iterable[str] | None = None) -> Checkpoint:
    """The checkpoint of a file that holds the state dict of an optimizer, or a dict with one.

    A dict beside it, such as the model's, gives the parameters, if it has tensors with their names.
    The checksums of a zip file are checked, and what `write` saved is compared with its own.

    Raises:
        CheckpointError: the file is corrupt, needs code to be unpickled, or has no state dict, or
            more than one, or more than one set of parameters; or see
            `adamax_checkpoint.torch.from_state_dict`.
        OSError: the file cannot be opened.
    """
    _require_sums(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: unpickling it would run code from the file, so it is not read. In a program "
            "that you trust with it, load it and save optimizer.state_dict() and "
            f"model.state_dict() alone ({str(error).splitlines()[0]})"
        ) from error
    except Exception as error:  # of a corrupt file PyTorch raises classes of all kinds
        raise CheckpointError(f"{path}: not a valid file of torch.save ({error})") from error
    parts = {"": content, **(content if isinstance(content, Mapping) else {})}
    optimizers = {key: part for key, part in parts.items() if _is_optimizer(part)}
    if len(optimizers) != 1:
        raise CheckpointError(
            f"{path}: {len(optimizers) or 'no'} state dicts of optimizers"
            f"{' (' + ', '.join(map(str, optimizers)) + ')' if optimizers else ''}: save one, as "
            "torch.save({'optimizer': optimizer.state_dict(), 'model': model.state_dict()}, path)"
        )
    (state_dict,) = optimizers.values()
    try:
        own = parameter_names(state_dict, names)
        models = {key: part for key, part in parts.items() if _has_tensors(part, own)}
        if len(models) > 1:
            raise CheckpointError(
                f"{' and '.join(map(str, models))} have the parameters: save one of them"
            )
        params = next(({name: part[name] for name in own} for part in models.values()), None)
        found = from_state_dict(state_dict, names, params)
        seal = parts.get(KEY)
        return unsealed(found, seal) if isinstance(seal, str) else found
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def write(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Save a dict with the state dict of ``adamax_torch.Adamax``, and the parameters if there.

    Its groups have the names of their parameters, and their order is that of the checkpoint. The
    file is replaced at once, see `adamax_checkpoint.atomic`.

    Raises:
        CheckpointError: the state is not canonical.
        OSError: the file cannot be written; nothing has changed.
    """
    like: dict[str, Any] = {"state": {}, "param_groups": []}
    start = 0
    for group in checkpoint.groups:
        end = start + len(group.names)
        own = {"params": [*range(start, end)], "param_names": [*group.names]}
        flags = {"foreach": None, "fused": None, "differentiable": False, "capturable": False}
        # Who loads the file may have parameters of another dtype.
        dtypes = {str(checkpoint.state.exp_avg[name].real.dtype) for name in group.names}
        state_dtype = dtypes.pop() if len(dtypes) == 1 and checkpoint.params is None else None
        like["param_groups"].append(
            {**own, **flags, **vars(group.hyperparameters), "state_dtype": state_dtype}
        )
        start = end
    content: dict[str, Any] = {
        OPTIMIZER: to_state_dict(checkpoint, like),
        KEY: sealed(checkpoint),
    }
    for group in content[OPTIMIZER]["param_groups"]:
        # Unpickling a dtype is allowed, but its name is what every version reads.
        group["state_dtype"] = group["state_dtype"] and str(group["state_dtype"]).split(".")[-1]
    if checkpoint.params is not None:
        content[MODEL] = {name: to_torch(array) for name, array in checkpoint.params.items()}
    with replacing(path) as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # PyTorch hides what has stopped it, such as a full disk or an interrupt.
            raise error.__context__ or error from None


def _require_sums(path: str | os.PathLike[str]) -> None:
    """Raise if a part of a zip file has another CRC-32 than the file says; PyTorch ignores it.

    A file of PyTorch before 1.6 is a bare pickle, without checksums.
    """
    with Path(path).open("rb") as file:
        try:
            wrong = zipfile.ZipFile(file).testzip() if zipfile.is_zipfile(file) else None
        except Exception as error:  # of a corrupt file zipfile raises classes of all kinds
            raise CheckpointError(f"{path}: not a valid file of torch.save ({error})") from error
    if wrong is not None:
        raise CheckpointError(
            f"{path}: corrupt: the checksum of {wrong} is wrong. {REMEDY}, or save it again, with "
            "torch.serialization.set_crc32_options(True)"
        )


def _is_optimizer(part: Any) -> bool:
    return isinstance(part, Mapping) and {"state", "param_groups"} <= part.keys()


def _has_tensors(part: Any, names: Iterable[str]) -> bool:
    tensors = [part.get(name) for name in names] if isinstance(part, Mapping) else []
    return bool(tensors) and all(isinstance(tensor, Tensor) for tensor in tensors)
