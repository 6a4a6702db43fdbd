"""`adamax_torch` as subjects of the judge; only the entry points load it."""

from collections.abc import Mapping
from typing import Any

import optree
import torch
from torch import Tensor

from adamax_conformance import DTYPES, FunctionalBackend, Moments
from adamax_conformance.subject.backend import Steps
from adamax_conformance.subjects.glue.torch import (
    TorchBackend,
    as_gradient,
    chosen,
    to_numpy,
    to_torch,
)
from adamax_core import Hyperparameters
from adamax_torch import Adamax
from adamax_torch import functional as F  # noqa: N812 - the usual name of torch.nn.functional
from adamax_torch.precision import STEP_DTYPE


def backend(
    *,
    foreach: bool | None = None,
    differentiable: bool = False,
    capturable: bool = False,
    fused: bool | None = None,
) -> TorchBackend:
    """`Adamax` with these arguments of its constructor."""
    return TorchBackend(
        "torch",
        Adamax,
        offers=[
            "maximize", "weight_decay", "decoupled_weight_decay", "undecayed", "state_dtype",
            "load", "sparse",
        ],
        variant=chosen(
            foreach=foreach, differentiable=differentiable, capturable=capturable, fused=fused
        ),
    )  # fmt: skip


def functional() -> FunctionalBackend:
    """`adamax_torch.functional`."""
    return FunctionalBackend(
        "torch.functional",
        init=_init,
        step=_step,
        moments=_moments,
        dtypes=DTYPES,
        features=[
            "maximize", "weight_decay", "decoupled_weight_decay", "state_dtype", "load", "sparse",
            "vjp",
        ],
        load=_load,
        vjp=_vjp,
    )  # fmt: skip


def _init(params: Any, hp: Hyperparameters, state_dtype: str | None = None) -> F.State:
    hp.validate()
    return F.init(_tensors(params), state_dtype)


def _step(params: Any, grads: Any, state: F.State, hp: Hyperparameters) -> tuple[Any, F.State]:
    present = {key: as_gradient(grads[key]) if key in grads else None for key in params}
    stepped, state = F.step(_tensors(params), present, state, hp)
    return {key: to_numpy(tensor) for key, tensor in stepped.items()}, state


def _moments(state: F.State) -> dict[str, Moments]:
    return {
        key: Moments(int(step), to_numpy(state.exp_avg[key]), to_numpy(state.exp_inf[key]))
        for key, step in state.step.items()
    }


def _load(_params: Any, _hp: Hyperparameters, saved: Mapping[str, Mapping[str, Any]]) -> F.State:
    if unknown := {name for slot in saved.values() for name in slot} - set(F.State._fields):
        raise ValueError(f"no state of Adamax has {', '.join(sorted(unknown))}")
    return F.State(
        {key: torch.tensor(slot["step"], dtype=STEP_DTYPE) for key, slot in saved.items()},
        {key: to_torch(slot["exp_avg"]) for key, slot in saved.items()},
        {key: to_torch(slot["exp_inf"]) for key, slot in saved.items()},
    )


def _vjp(wrt: str, steps: Steps) -> Any:
    """The `torch.func.vjp` of all the steps, with respect to one input."""
    saved = {key: slot._asdict() for key, slot in steps.saved.items()}
    params, state = _tensors(steps.params), _load(None, steps.hp, saved)
    series = [_tensors(grads) for grads in steps.grads]
    inputs: dict[str, Any] = {
        "params": params, "grads": series, "exp_avg": state.exp_avg, "exp_inf": state.exp_inf,
        **dict(zip(("beta1", "beta2"), steps.hp.betas, strict=True)),
        **{name: getattr(steps.hp, name) for name in ("lr", "eps", "weight_decay")},
    }  # fmt: skip
    at = inputs[wrt]
    if isinstance(at, float | int):
        at = torch.tensor(at, dtype=torch.float64)

    def after(value: Any) -> Any:
        given = inputs | {wrt: value}
        hp = F.Hyperparameters(
            **{name: given[name] for name in ("lr", "eps", "weight_decay")},
            betas=(given["beta1"], given["beta2"]),
            maximize=steps.hp.maximize,
            decoupled_weight_decay=steps.hp.decoupled_weight_decay,
        )
        params = given["params"]
        moments = state._replace(exp_avg=given["exp_avg"], exp_inf=given["exp_inf"])
        for grads in given["grads"]:
            params, moments = F.step(params, grads, moments, hp)
        return params

    pull = torch.func.vjp(after, at)[1]
    (slopes,) = pull(_tensors(steps.cotangents))
    return optree.tree_map(to_numpy, slopes)


def _tensors(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    return {key: to_torch(array) for key, array in arrays.items()}
