"""What `Adamax.load_state_dict` takes: the state of Adamax, ours or torch.optim's (S-8)."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from adamax_torch.precision import moment_dtype
from adamax_torch.validation import require_hyperparameters, require_moment

MOMENTS = ("exp_avg", "exp_inf")


def checked(state_dict: Mapping[str, Any], param_groups: list[dict[str, Any]]) -> dict[str, Any]:
    """The same state dict, its groups completed by the options of `param_groups` that it lacks.

    Args:
        state_dict: of Adamax, by whatever version of this class or of torch.optim's.
        param_groups: those of the optimizer that is to load it.

    Raises:
        ValueError: it is another optimizer's, is incomplete, does not fit the parameters, or has a
            hyperparameter outside its domain; names the parameter or the group.
    """
    if missing := {"state", "param_groups"} - state_dict.keys():
        raise ValueError(
            f"this is no optimizer's state_dict: it has no {', '.join(sorted(missing))}"
        )
    saved = state_dict["param_groups"]
    found = _belongs(saved, param_groups)
    for index, slot in state_dict["state"].items():
        # An empty one is that of a parameter that has taken no step, and was asked for its state.
        if slot:
            _require_slot(slot, found.get(index), f"parameter {index}")
    for index, group in enumerate(saved):
        _require_group(group, f"group {index}")
    # Where the numbers of groups differ, the base class says so.
    groups = [{**ours, **theirs} for ours, theirs in zip(param_groups, saved, strict=False)]
    for group in groups:
        require_hyperparameters(group)
    return {**state_dict, "param_groups": [*groups, *saved[len(groups) :]]}


def own_moments(
    state_dict: Mapping[str, Any], param_groups: list[dict[str, Any]]
) -> Iterable[tuple[Tensor, str, Tensor]]:
    """Parameter, name and moment, each a copy in the dtype that its group keeps moments in.

    The base class casts all to the dtypes of the parameters, and copies what it need not cast as
    little as the count: the steps of one optimizer would change the state of the other.
    """
    dtypes = {
        id(param): moment_dtype(param, group["state_dtype"])
        for group in param_groups
        for param in group["params"]
    }
    for index, param in _belongs(state_dict["param_groups"], param_groups).items():
        if slot := state_dict["state"].get(index):
            for name in MOMENTS:
                yield (
                    param,
                    name,
                    slot[name].to(device=param.device, dtype=dtypes[id(param)], copy=True),
                )


def _belongs(saved: list[dict[str, Any]], groups: list[dict[str, Any]]) -> dict[Any, Tensor]:
    """The parameter of each saved index."""
    indices = [index for group in saved for index in group["params"]]
    params = [param for group in groups for param in group["params"]]
    return dict(zip(indices, params, strict=False))


def _require_group(group: dict[str, Any], where: str) -> None:
    """Raise unless the saved options of a group are Adamax's; their domains are not looked at.

    Raises:
        ValueError: names the group and what is missing, or whose it looks like.
    """
    names = ("lr", "betas", "eps", "weight_decay")
    if missing := [name for name in names if name not in group]:
        raise ValueError(f"the saved {where} has no {', '.join(missing)}: it is not Adamax's")
    if "amsgrad" in group:
        raise ValueError(f"the saved {where} has amsgrad: this looks like Adam or AdamW")


def _require_slot(slot: dict[str, Any], param: Tensor | None, where: str) -> None:
    """Raise unless the saved state of a parameter is Adamax's and fits the parameter.

    Raises:
        ValueError: names the parameter, what is saved, and what that looks like.
    """
    if set(slot) != {"step", *MOMENTS}:
        raise ValueError(
            f"the state of {where} has {', '.join(sorted(slot))}; Adamax has step, exp_avg and "
            f"exp_inf{_looks_like(set(slot))}"
        )
    step = slot["step"]
    count = step.item() if isinstance(step, Tensor) and step.numel() == 1 else step
    if not isinstance(count, (int, float)) or not 0 <= count < float("inf"):
        raise ValueError(f"the state of {where} has step = {step!r}, which is not a count")
    # One too many is for the base class to refuse.
    if param is not None:
        for name in MOMENTS:
            require_moment(name, slot[name], param, where)


def _looks_like(keys: set[str]) -> str:
    known = {
        "Adam, AdamW or RAdam": {"step", "exp_avg", "exp_avg_sq"},
        "Adam or AdamW with amsgrad": {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
        "SGD": {"momentum_buffer"},
        "NAdam": {"step", "exp_avg", "exp_avg_sq", "mu_product"},
        "Adagrad": {"step", "sum"},
        "Lion": {"exp_avg"},
    }
    for name, fields in known.items():
        if keys == fields:
            return f": this looks like {name}"
    return ""
