"""The state of `adamax_torch.Adamax` and torch.optim.Adamax: pure functions on state dicts.

A state dict calls parameters by numbers. Their names come from the optimizer, if it was made with
``model.named_parameters()``, from `torch.distributed.checkpoint.state_dict`, whose state dicts have
names in place of numbers, or from an argument.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import Tensor

from adamax_checkpoint.checkpoint import (
    Array,
    Checkpoint,
    CheckpointError,
    Group,
    as_count,
    require_canonical,
    require_same,
)
from adamax_checkpoint.torch_fit import (
    held_dtypes,
    require_adamax,
    require_float32_counts,
    require_params,
    state_dtype_for,
)
from adamax_checkpoint.trees import unique
from adamax_core import Hyperparameters, State
from adamax_torch.loading import checked
from adamax_torch.precision import STEP_DTYPE, moment_dtype

StateDict = Mapping[str, Any]


def from_state_dict(
    state_dict: StateDict,
    names: Iterable[str] | None = None,
    params: Mapping[str, Tensor] | None = None,
) -> Checkpoint:
    """A checkpoint of the state dict of an optimizer. Arrays share memory with CPU tensors.

    Args:
        state_dict: of Adamax, ours or torch.optim's.
        names: the names of the parameters in the order of the optimizer, as in
            ``[name for name, _ in model.named_parameters()]``; not needed if the state dict has
            them.
        params: the parameters by name, to save them too, as in
            ``dict(model.named_parameters())``; needed if one has not taken a step yet.

    Raises:
        CheckpointError: names are missing or left over, or are not those that the state dict has;
            a parameter has no state; or the state dict is another optimizer's, such as Adam's.
        TypeError: `params` is not a dict of tensors.

    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.Adamax(model.named_parameters())
    >>> model(torch.ones(2)).backward()
    >>> optimizer.step()
    >>> checkpoint = from_state_dict(optimizer.state_dict())
    >>> checkpoint.names, checkpoint.state.step["bias"]
    (('weight', 'bias'), 1)
    """
    groups = _groups(state_dict)
    named = _named(groups, names)
    if params is not None:
        require_params(named.values(), params)
    slots = {name: _slot(state_dict, key) for key, name in named.items()}
    shapes = {name: _like(name, slot, params) for name, slot in slots.items()}
    targets = [
        {
            "params": [shapes[named[key]] for key in group["params"]],
            "fused": None,
            "decoupled_weight_decay": False,
            "state_dtype": None,
        }
        for group in groups
    ]
    try:
        groups = checked(state_dict, targets)["param_groups"]
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{error}. Parameters by number: {named}") from error
    for group in groups:
        for key in group["params"]:
            name = named[key]
            slots[name] = slots[name] or _zeros(shapes[name], group["state_dtype"])
    return Checkpoint(
        State(
            {name: _count(name, slot["step"]) for name, slot in slots.items()},
            {name: to_numpy(slot["exp_avg"]) for name, slot in slots.items()},
            {name: to_numpy(slot["exp_inf"]) for name, slot in slots.items()},
        ),
        tuple(
            Group(tuple(named[key] for key in group["params"]), _hyperparameters(group))
            for group in groups
        ),
        None if params is None else {name: to_numpy(each) for name, each in params.items()},
    )


def parameter_names(state_dict: StateDict, names: Iterable[str] | None = None) -> tuple[str, ...]:
    """The names of the parameters of a state dict, as `from_state_dict` finds them.

    Raises:
        CheckpointError: it is no state dict, has no names, or `names` are not its own.
    """
    return tuple(_named(_groups(state_dict), names).values())


def to_state_dict(
    checkpoint: Checkpoint,
    like: StateDict,
    names: Iterable[str] | None = None,
    params: Mapping[str, Tensor] | None = None,
) -> dict[str, Any]:
    """A state dict that the optimizer loads, with copies of the arrays.

    The hyperparameters are those of the checkpoint; all else in the groups stays as in `like`,
    but ``state_dtype`` where the moments have another dtype than the optimizer would give them.

    Args:
        checkpoint: of canonical state.
        like: the state dict of the optimizer that is to load it, which may be new.
        names: the names of its parameters, as for `from_state_dict`.
        params: its parameters by name. The state dict of a new optimizer does not tell their shapes
            and dtypes, and PyTorch rounds moments to the dtype of the parameters when it loads
            them. Without `params` they are taken to be like those of the checkpoint.

    Raises:
        CheckpointError: names are missing or left over, parameters of one group have different
            hyperparameters, or the optimizer cannot hold what the checkpoint has, such as another
            shape, or, for torch.optim.Adamax, another dtype.
        TypeError: `checkpoint` is no Checkpoint, or `params` no dict of tensors.

    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.Adamax(model.named_parameters())
    >>> model(torch.ones(2)).backward()
    >>> optimizer.step()
    >>> checkpoint = from_state_dict(optimizer.state_dict())
    >>> there = torch.nn.Linear(2, 1)
    >>> other = torch.optim.Adamax(there.named_parameters())
    >>> params = dict(there.named_parameters())
    >>> other.load_state_dict(to_state_dict(checkpoint, other.state_dict(), params=params))
    """
    require_canonical(checkpoint)
    groups = _groups(like)
    named = _named(groups, names)
    require_same(named.values(), checkpoint.names, "the optimizer", "the checkpoint")
    step, exp_avg, exp_inf = checkpoint.state
    require_adamax(groups)
    held = held_dtypes(checkpoint, {name: _slot(like, key) for key, name in named.items()}, params)
    state = {
        key: {
            "step": _step(name, step[name]),
            "exp_avg": to_torch(exp_avg[name]),
            "exp_inf": to_torch(exp_inf[name]),
        }
        for key, name in named.items()
    }
    filled = [
        _filled(group, [named[key] for key in group["params"]], checkpoint, held)
        for group in groups
    ]
    return {"state": state, "param_groups": filled}


def to_numpy(tensor: Tensor) -> Array:
    """An array that shares memory with the tensor if that is on the CPU; a DTensor is gathered.

    Raises:
        CheckpointError: NumPy has no such tensor: it is on the device meta, or its dtype is float8.
    """
    if hasattr(tensor, "full_tensor"):
        tensor = tensor.full_tensor()
    if tensor.device.type == "meta":
        raise CheckpointError("a tensor on the device meta has no values: load the state first")
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    try:
        return tensor.numpy()
    except TypeError as error:
        raise CheckpointError(f"a tensor of {tensor.dtype} is no array: convert it") from error


def to_torch(array: Array) -> Tensor:
    """A tensor with a copy of the array."""
    copy = np.array(array, order="C")
    if copy.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(copy.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(copy)


def _groups(state_dict: StateDict) -> list[Mapping[str, Any]]:
    try:
        groups = list(state_dict["param_groups"])
        _ = state_dict["state"], [group["params"] for group in groups]
    except (KeyError, TypeError):
        raise CheckpointError(
            "not the state_dict of an optimizer, which has state and param_groups with params: "
            "pass optimizer.state_dict()"
        ) from None
    if not isinstance(state_dict["state"], Mapping):
        raise CheckpointError("the state of the state_dict is no dict: pass optimizer.state_dict()")
    return groups


def _named(groups: list[Mapping[str, Any]], names: Iterable[str] | None) -> dict[Any, str]:
    """The names of the parameters by their keys in a state dict."""
    keys = [key for group in groups for key in group["params"]]
    if keys and all(isinstance(key, str) for key in keys):
        own = keys
    elif all("param_names" in group for group in groups):
        own = [name for group in groups for name in group["param_names"]]
    else:
        own = None
    found = own if names is None else list(names)
    if found is None:
        raise CheckpointError(
            "the state dict has numbers in place of names: pass names, such as [name for name, _ "
            "in model.named_parameters()], or make the optimizer with model.named_parameters()"
        )
    if len(found) != len(keys):
        raise CheckpointError(
            f"{len(found)} names for {len(keys)} parameters: give the names of the parameters "
            "that the optimizer has, in its order"
        )
    for name, its in zip(found, own or found, strict=False):
        if name != its:
            raise CheckpointError(
                f"names has {name!r} where the state dict itself has {its!r}: leave names out, and "
                "rename with adamax_checkpoint.names.rename"
            )
    return dict(zip(keys, unique(found), strict=True))


def _slot(state_dict: StateDict, key: Any) -> Mapping[str, Any]:
    slot = state_dict["state"].get(key)
    return {} if slot is None else slot


def _like(name: str, slot: Mapping[str, Any], params: Mapping[str, Tensor] | None) -> Tensor:
    """A tensor with the shape of a parameter."""
    if params is not None:
        return params[name]
    if not slot:
        raise CheckpointError(
            f"{name} has no state, since it has not taken a step: pass params, by name; a file "
            "needs the model's state_dict beside the optimizer's"
        )
    # What is not the state of Adamax is refused below, with what it looks like.
    moment = slot.get("exp_avg")
    return moment if isinstance(moment, Tensor) else torch.empty(0)


def _zeros(param: Tensor, state_dtype: Any) -> dict[str, Any]:
    zeros = torch.zeros_like(param, dtype=moment_dtype(param, state_dtype))
    return {"step": 0, "exp_avg": zeros, "exp_inf": zeros}


def _step(name: str, count: int) -> Tensor:
    """A count as PyTorch keeps it, a float64."""
    if int(float(count)) != count:
        raise CheckpointError(
            f"{name}: step = {count} is beyond 2**53 and no float64, in which PyTorch counts: load "
            "it into NumPy"
        )
    return torch.tensor(float(count), dtype=STEP_DTYPE)


def _count(name: str, step: Any) -> int:
    return as_count(name, to_numpy(step) if isinstance(step, Tensor) else step)


def _hyperparameters(group: Mapping[str, Any]) -> Hyperparameters:
    return Hyperparameters(
        group["lr"],
        tuple(group["betas"]),
        group["eps"],
        group["weight_decay"],
        maximize=group.get("maximize", False),
        decoupled_weight_decay=group.get("decoupled_weight_decay", False),
    ).numbers()


def _filled(
    group: Mapping[str, Any], names: list[str], checkpoint: Checkpoint, held: Mapping[str, str]
) -> dict[str, Any]:
    """A group with the hyperparameters of its parameters, and the dtype of their moments."""
    sets = [each for each in checkpoint.groups if set(each.names) & set(names)]
    for each in sets[1:]:
        if each.hyperparameters != sets[0].hyperparameters:
            raise CheckpointError(
                f"one group of the optimizer has parameters of two groups of the checkpoint, "
                f"{sets[0].names[0]} with {sets[0].hyperparameters} and {each.names[0]} with "
                f"{each.hyperparameters}: make the optimizer with as many groups"
            )
    if not sets:
        return dict(group)
    hp, own = sets[0].hyperparameters, "decoupled_weight_decay" in group
    if hp.decoupled_weight_decay and hp.weight_decay and not own:
        raise CheckpointError(
            f"weight_decay = {hp.weight_decay} is decoupled, which torch.optim.Adamax is not: load "
            "it into adamax_torch.Adamax"
        )
    chosen = {
        name: getattr(hp, name) for name in ("lr", "betas", "eps", "weight_decay", "maximize")
    }
    if group.get("capturable") and not own:
        require_float32_counts({name: checkpoint.state.step[name] for name in names})
    if own:
        chosen["decoupled_weight_decay"] = hp.decoupled_weight_decay
    if dtype := state_dtype_for(group, names, checkpoint, held):
        if not own:
            raise CheckpointError(
                f"the moments have dtype {dtype}, and the parameters another, which "
                "torch.optim.Adamax would round them to: load it into adamax_torch.Adamax"
            )
        chosen["state_dtype"] = getattr(torch, dtype)
    return {**group, **chosen}
