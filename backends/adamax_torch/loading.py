"""Validate and convert what `Adamax.load_state_dict` loads, ours or torch.optim's (S-8)."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from adamax_torch.precision import STEP_DTYPE, moment_dtype
from adamax_torch.validation import MOMENTS, require_hyperparameters, require_moment

OWN_OPTIONS = ("fused", "decoupled_weight_decay", "state_dtype")
"""Options that torch.optim.Adamax does not save; the loading optimizer keeps its own."""


def checked(state_dict: Any, param_groups: list[dict[str, Any]]) -> dict[str, Any]:
    """Validate a state dict; return it with the options that torch.optim does not save.

    Args:
        state_dict: of Adamax, from any version of this class or of torch.optim's.
        param_groups: the groups of the loading optimizer.

    Raises:
        ValueError: it is another optimizer's, is incomplete, does not match the parameters, or has
            a hyperparameter outside its domain; names the parameter or the group.
    """
    saved = _require_form(state_dict)
    whose = whose_groups(saved)
    for index, param in _belongs(saved, param_groups).items():
        slot = state_dict["state"].get(index)
        # Reading optimizer.state[param] before the first step creates an empty slot.
        if slot is not None and slot != {}:
            _require_slot(slot, param, f"parameter {index}", whose)
    for index, group in enumerate(saved):
        _require_group(group, f"group {index}", whose)
    # The base class raises if the numbers of groups differ.
    pairs = zip(param_groups, saved, strict=False)
    groups = [{**{name: ours[name] for name in OWN_OPTIONS}, **theirs} for ours, theirs in pairs]
    for group in groups:
        flags = {"foreach": None, "differentiable": False}
        require_hyperparameters({**flags, **group})
    return {**state_dict, "param_groups": [*groups, *saved[len(groups) :]]}


def own_state(
    state_dict: Mapping[str, Any], param_groups: list[dict[str, Any]]
) -> Iterable[tuple[Tensor, str, Tensor]]:
    """Yield parameter, name and a copy of each state tensor, in the dtype of its group.

    The base class casts state to the dtypes of the parameters, and does not copy tensors that need
    no cast, nor counts: steps of one optimizer would change the state of the other.
    """
    dtypes = {
        param: moment_dtype(param, group["state_dtype"])
        for group in param_groups
        for param in group["params"]
    }
    for index, param in _belongs(state_dict["param_groups"], param_groups).items():
        if slot := state_dict["state"].get(index):
            for name in MOMENTS:
                moment = slot[name].to(device=param.device, dtype=dtypes[param], copy=True)
                yield param, name, moment
            # The base class may round the count to float32 (S-7).
            yield param, "step", torch.as_tensor(slot["step"], dtype=STEP_DTYPE).clone()


def _belongs(saved: list[Mapping[str, Any]], groups: list[dict[str, Any]]) -> dict[Any, Tensor]:
    """Map each saved index to its parameter."""
    indices = [index for group in saved for index in group["params"]]
    params = [param for group in groups for param in group["params"]]
    return dict(zip(indices, params, strict=False))


def require_dict(state_dict: Any) -> None:
    """Raise unless `state_dict` is a dict.

    Raises:
        ValueError: names its class.
    """
    if not isinstance(state_dict, Mapping):
        raise ValueError(  # noqa: TRY004 - every invalid state dict is a ValueError
            f"not an optimizer's state_dict: it is {type(state_dict).__name__}, not a dict"
        )


def _require_form(state_dict: Any) -> list[Mapping[str, Any]]:
    """Return the groups of a state dict.

    Raises:
        ValueError: it does not have the form of a state dict.
    """
    require_dict(state_dict)
    if missing := {"state", "param_groups"} - state_dict.keys():
        raise ValueError(f"not an optimizer's state_dict: it has no {', '.join(sorted(missing))}")
    state, groups = state_dict["state"], state_dict["param_groups"]
    well_formed = (
        isinstance(state, Mapping)
        and isinstance(groups, list | tuple)
        and all(isinstance(group, Mapping) and "params" in group for group in groups)
    )
    if not well_formed:
        raise ValueError(
            "not an optimizer's state_dict: state must be a dict, and param_groups a list of dicts "
            "with params"
        )
    return list(groups)


FOREIGN = {
    "amsgrad": "Adam or AdamW",
    "momentum_decay": "NAdam",
    "rho": "Adadelta",
    "lr_decay": "Adagrad",
    "beta2_decay": "Adafactor",
    "lambd": "ASGD",
    "ns_steps": "Muon",
    "centered": "RMSprop",
    "etas": "Rprop",
    "nesterov": "SGD",
}
"""Options that Adamax does not have, and the optimizers that do."""


def whose_groups(groups: list[Mapping[str, Any]]) -> str:
    """Guess the optimizer that saved these groups, as the end of a sentence; empty for Adamax."""
    options = {option for group in groups for option in group}
    for option, optimizer in FOREIGN.items():
        if option in options:
            return f": by its {option} this looks like {optimizer}"
    if "decoupled_weight_decay" in options and "state_dtype" not in options:
        return ": by its decoupled_weight_decay, without state_dtype, this looks like RAdam"
    return ""


def _require_group(group: Mapping[str, Any], where: str, whose: str) -> None:
    """Raise unless the saved options of a group are Adamax's; does not check their domains.

    Raises:
        ValueError: names the group and the missing options, or the optimizer it looks like.
    """
    names = ("lr", "betas", "eps", "weight_decay")
    missing = [name for name in names if name not in group]
    if missing or whose:
        lacks = f" has no {', '.join(missing)}, and" if missing else ""
        raise ValueError(f"the saved {where}{lacks} is not Adamax's{whose}")


def _require_slot(slot: Any, param: Tensor, where: str, whose: str) -> None:
    """Raise unless the saved state of a parameter is Adamax's and matches the parameter.

    Additional entries are allowed and kept.

    Raises:
        ValueError: names the parameter, what was saved, and the optimizer it looks like.
    """
    if not isinstance(slot, Mapping):
        raise ValueError(f"the state of {where} is {type(slot).__name__}, not a dict")  # noqa: TRY004 - as above
    if not {"step", *MOMENTS} <= slot.keys():
        raise ValueError(
            f"the state of {where} has {', '.join(sorted(map(str, slot)))}; Adamax has step, "
            f"exp_avg and exp_inf{whose or _looks_like(set(slot))}"
        )
    _require_steps(slot["step"], where)
    # A lazy parameter has no shape yet.
    if not is_lazy(param):
        for name in MOMENTS:
            require_moment(name, slot[name], param, where, ValueError)


def _require_steps(step: Any, where: str) -> None:
    if isinstance(step, Tensor) and step.device.type == "meta":
        return
    try:
        count = float(step)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        count = -1.0
    if not 0 <= count < float("inf"):
        raise ValueError(f"the state of {where} has step = {step!r}, not a finite number >= 0")


def _looks_like(keys: set[str]) -> str:
    known = {
        "Adam, AdamW or RAdam": {"step", "exp_avg", "exp_avg_sq"},
        "Lion": {"exp_avg"},
    }
    for name, fields in known.items():
        if keys == fields:
            return f": this looks like {name}"
    return ""
