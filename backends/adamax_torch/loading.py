"""What `Adamax.load_state_dict` takes: the state of Adamax, ours or torch.optim's (S-8)."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from adamax_torch.precision import STEP_DTYPE, moment_dtype
from adamax_torch.validation import MOMENTS, require_hyperparameters, require_moment

OWN_OPTIONS = ("fused", "decoupled_weight_decay", "state_dtype")
"""What the groups of torch.optim.Adamax do not have; those of the loading optimizer stay."""


def checked(state_dict: Any, param_groups: list[dict[str, Any]]) -> dict[str, Any]:
    """The same state dict, its groups completed by the options that torch.optim does not save.

    Args:
        state_dict: of Adamax, by whatever version of this class or of torch.optim's.
        param_groups: those of the optimizer that is to load it.

    Raises:
        ValueError: it is another optimizer's, is incomplete, does not fit the parameters, or has a
            hyperparameter outside its domain; names the parameter or the group.
    """
    saved = _require_form(state_dict)
    whose = _whose(saved)
    for index, param in _belongs(saved, param_groups).items():
        slot = state_dict["state"].get(index)
        # An empty one is that of a parameter that has taken no step, and was asked for its state.
        if slot is not None and slot != {}:
            _require_slot(slot, param, f"parameter {index}", whose)
    for index, group in enumerate(saved):
        _require_group(group, f"group {index}", whose)
    # Where the numbers of groups differ, the base class says so.
    pairs = zip(param_groups, saved, strict=False)
    groups = [{**{name: ours[name] for name in OWN_OPTIONS}, **theirs} for ours, theirs in pairs]
    for group in groups:
        flags = {"foreach": None, "differentiable": False}
        require_hyperparameters({**flags, **group})
    return {**state_dict, "param_groups": [*groups, *saved[len(groups) :]]}


def own_state(
    state_dict: Mapping[str, Any], param_groups: list[dict[str, Any]]
) -> Iterable[tuple[Tensor, str, Tensor]]:
    """Parameter, name and value of its state, each a copy, in the dtype that its group keeps.

    The base class casts all to the dtypes of the parameters, and copies what it need not cast as
    little as the count: the steps of one optimizer would change the state of the other.
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
            # Which the base class may have rounded to float32 on its way (S-7).
            yield param, "step", torch.as_tensor(slot["step"], dtype=STEP_DTYPE).clone()


def _belongs(saved: list[Mapping[str, Any]], groups: list[dict[str, Any]]) -> dict[Any, Tensor]:
    """The parameter of each saved index."""
    indices = [index for group in saved for index in group["params"]]
    params = [param for group in groups for param in group["params"]]
    return dict(zip(indices, params, strict=False))


def require_dict(state_dict: Any) -> None:
    """Raise unless it is a dict, whatever is in it.

    Raises:
        ValueError: says what it is.
    """
    if not isinstance(state_dict, Mapping):
        raise ValueError(f"this is no optimizer's state_dict: it is {type(state_dict).__name__}")  # noqa: TRY004 - a ValueError, as whatever else is wrong with it


def _require_form(state_dict: Any) -> list[Mapping[str, Any]]:
    """The groups of what has the form of a state dict.

    Raises:
        ValueError: it has not.
    """
    require_dict(state_dict)
    if missing := {"state", "param_groups"} - state_dict.keys():
        raise ValueError(
            f"this is no optimizer's state_dict: it has no {', '.join(sorted(missing))}"
        )
    state, groups = state_dict["state"], state_dict["param_groups"]
    well_formed = (
        isinstance(state, Mapping)
        and isinstance(groups, list | tuple)
        and all(isinstance(group, Mapping) and "params" in group for group in groups)
    )
    if not well_formed:
        raise ValueError(
            "this is no optimizer's state_dict: state is no dict, or param_groups no list of dicts "
            "that have params"
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
"""Options that no Adamax has, and who has them."""


def _whose(groups: list[Mapping[str, Any]]) -> str:
    """Whose options these are, as the end of a sentence; empty where they may be Adamax's."""
    options = {option for group in groups for option in group}
    for option, optimizer in FOREIGN.items():
        if option in options:
            return f": by its {option} this looks like {optimizer}"
    if "decoupled_weight_decay" in options and "state_dtype" not in options:
        return ": by its decoupled_weight_decay, without state_dtype, this looks like RAdam"
    return ""


def _require_group(group: Mapping[str, Any], where: str, whose: str) -> None:
    """Raise unless the saved options of a group are Adamax's; their domains are not looked at.

    Raises:
        ValueError: names the group and what is missing, or whose it looks like.
    """
    names = ("lr", "betas", "eps", "weight_decay")
    missing = [name for name in names if name not in group]
    if missing or whose:
        lacks = f" has no {', '.join(missing)}, and" if missing else ""
        raise ValueError(f"the saved {where}{lacks} is not Adamax's{whose}")


def _require_slot(slot: Any, param: Tensor, where: str, whose: str) -> None:
    """Raise unless the saved state of a parameter is Adamax's and fits the parameter.

    It may have more than Adamax's, which whoever has put it there is left with.

    Raises:
        ValueError: names the parameter, what is saved, and what that looks like.
    """
    if not isinstance(slot, Mapping):
        raise ValueError(f"the state of {where} is {type(slot).__name__}, which is no dict")  # noqa: TRY004 - as above
    if not {"step", *MOMENTS} <= slot.keys():
        raise ValueError(
            f"the state of {where} has {', '.join(sorted(map(str, slot)))}; Adamax has step, "
            f"exp_avg and exp_inf{whose or _looks_like(set(slot))}"
        )
    _require_steps(slot["step"], where)
    # The shape of one that is not yet materialized nobody knows.
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
        raise ValueError(f"the state of {where} has step = {step!r}, which is not a count")


def _looks_like(keys: set[str]) -> str:
    known = {
        "Adam, AdamW or RAdam": {"step", "exp_avg", "exp_avg_sq"},
        "Lion": {"exp_avg"},
    }
    for name, fields in known.items():
        if keys == fields:
            return f": this looks like {name}"
    return ""
