"""Whether an optimizer of PyTorch can hold the moments of a checkpoint: their shapes and dtypes."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn.parameter import is_lazy

from adamax_checkpoint.checkpoint import Checkpoint, CheckpointError, require_same
from adamax_checkpoint.trees import require_shapes
from adamax_torch.loading import whose_groups


def require_params(names: Iterable[str], params: Mapping[str, Tensor]) -> None:
    """Raise unless `params` is a dict of tensors by these names.

    Raises:
        CheckpointError: names are missing or left over.
        TypeError: it is something else.
    """
    if not isinstance(params, Mapping) or not all(isinstance(p, Tensor) for p in params.values()):
        raise TypeError("params is not a dict of tensors: pass dict(model.named_parameters())")
    if lazy := [name for name, param in params.items() if is_lazy(param)]:
        raise CheckpointError(f"{', '.join(lazy)} has no shape yet: run the model once before")
    try:
        require_same(names, params, "the optimizer", "params")
    except CheckpointError as error:
        # A state_dict of the model has buffers too, and shared parameters twice.
        raise CheckpointError(f"{error}, as dict(model.named_parameters()) does") from None


def require_adamax(groups: Iterable[Mapping[str, Any]]) -> None:
    """Raise if groups of an optimizer have the options of another than Adamax."""
    if whose := whose_groups(list(groups)):
        raise CheckpointError(f"the optimizer that is to load the state is no Adamax{whose}")


def require_float32_counts(steps: Mapping[str, int]) -> None:
    """Raise if torch.optim.Adamax would round a count, which it keeps in float32 if capturable."""
    for name, step in steps.items():
        if int(np.float32(step)) != step:
            raise CheckpointError(
                f"{name}: step = {step} is no float32, in which torch.optim.Adamax counts if it is "
                "capturable: load it into adamax_torch.Adamax"
            )


def held_dtypes(
    checkpoint: Checkpoint,
    slots: Mapping[str, Mapping[str, Any]],
    params: Mapping[str, Tensor] | None,
) -> dict[str, str]:
    """The real dtypes that the loading optimizer would give to moments, by its parameters.

    Raises:
        CheckpointError: its parameters have other shapes, or are real where these are complex.
    """
    if params is not None:
        require_params(slots, params)
    moments = {name: slot.get("exp_avg") for name, slot in slots.items()}
    tensors = {name: each for name, each in moments.items() if isinstance(each, Tensor)}
    tensors |= params or {}
    require_shapes(checkpoint, {name: tuple(each.shape) for name, each in tensors.items()})
    for name, tensor in tensors.items():
        if tensor.is_complex() != (checkpoint.state.exp_avg[name].dtype.kind == "c"):
            raise CheckpointError(
                f"{name}: the moments are {checkpoint.state.exp_avg[name].dtype}, and in the "
                f"optimizer {tensor.dtype}: give the parameters of this training"
            )
    saved = checkpoint.params or checkpoint.state.exp_avg
    own = {name: each.dtype for name, each in tensors.items()}
    reals = {name: dtype.to_real() if dtype.is_complex else dtype for name, dtype in own.items()}
    return {name: _plain(reals.get(name, saved[name].real.dtype)) for name in slots}


def state_dtype_for(
    group: Mapping[str, Any], names: list[str], checkpoint: Checkpoint, held: Mapping[str, str]
) -> str:
    """The real dtype of the moments if the optimizer would round them to another, else empty."""
    _, exp_avg, exp_inf = checkpoint.state
    moments = {name: str(exp_avg[name].real.dtype) for name in names}
    for name, dtype in moments.items():
        if dtype != str(exp_inf[name].real.dtype):
            raise CheckpointError(
                f"{name}: exp_avg is {exp_avg[name].dtype} and exp_inf {exp_inf[name].dtype}, and "
                "PyTorch has one dtype for both: convert one"
            )
    given = group.get("state_dtype")
    if moments == {name: _plain(given) if given else held[name] for name in names}:
        return ""
    if len(dtypes := sorted({*moments.values()})) > 1:
        raise CheckpointError(
            f"the parameters of one group have moments of {' and '.join(dtypes)}, which the "
            "optimizer would round: make the optimizer with a group for each"
        )
    return dtypes[0]


def _plain(dtype: Any) -> str:
    """The name of a dtype, which may be a name, that PyTorch and NumPy share."""
    return str(dtype).rpartition(".")[2]
