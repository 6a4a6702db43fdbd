"""`pytorch_optimizer.AdaMax` as a subject.

A group of parameters has the count, and the optimizer has `maximize`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pytorch_optimizer import AdaMax
from torch import Tensor

from adamax_conformance.spec.formats import DTYPES
from adamax_conformance.subject.backend import Arrays, FunctionalBackend, Moments
from adamax_conformance.subjects.glue.defaults import default_eps
from adamax_conformance.subjects.glue.other_dtypes import OTHER_DTYPES
from adamax_conformance.subjects.glue.saved import one_count
from adamax_conformance.subjects.glue.torch import (
    as_gradient,
    set_gradient,
    to_numpy,
    to_torch,
)
from adamax_conformance.subjects.glue.versions import versions
from adamax_core import Hyperparameters

_DEVIATIONS = {
    **dict.fromkeys(("A-9/missing-and-late", "S-3"), "there is one count for each group"),
    "S-10/atomic[complex64]": "raises in the middle of the step, when others have been stepped",
    "S-4/unchanged": "maximize and coupled weight decay rewrite the gradient",
    **dict.fromkeys(
        OTHER_DTYPES,
        "gradients of another dtype than their parameters raise in lerp",
    ),
    "S-8": "a state without the norm loads without a word; the next step raises KeyError",
    **dict.fromkeys(
        ("N-1/zero-first-gradient[float16]", "N-7/small[float16]"),
        "eps rounds to zero in float16: 0 / 0",
    ),
    **dict.fromkeys(
        (
            "N-3/last-places[float64]",
            "N-3/every-beta1[float64]",
            "N-3/any-beta1[float64]",
            "N-3/late[float64]",
            "N-3/correction-alone[float64]",
        ),
        "1 - beta1**step cancels in float64",
    ),
    **dict.fromkeys(
        ("H-1/negative", "H-1/just-negative", "H-1/barely-negative"),
        "NegativeLRError is no ValueError",
    ),
    **dict.fromkeys(
        ("H-1/infinite", "H-1/nan", "H-2/infinite", "H-2/nan", "H-4/infinite", "H-4/nan"),
        "infinity and NaN pass the checks",
    ),
    **dict.fromkeys(
        ("H-1/between-steps", "H-2/between-steps", "H-3/between-steps", "H-4/between-steps"),
        "hyperparameters are checked in the constructor alone",
    ),
    **dict.fromkeys(
        (
            "H-2/negative",
            "H-2/just-negative",
            "H-2/barely-negative",
            "H-3/beta1-negative",
            "H-3/beta2-negative",
            "H-3/beta1-just-negative",
            "H-3/beta1-barely-negative",
            "H-3/beta2-just-negative",
            "H-3/beta2-barely-negative",
            "H-3/beta1-infinite",
            "H-3/beta2-infinite",
            "H-3/beta1-nan",
            "H-3/beta2-nan",
            "H-3/beta1-above-one",
            "H-3/beta2-above-one",
            "H-4/negative",
            "H-4/just-negative",
            "H-4/barely-negative",
        ),
        "the message does not show the value",
    ),
}


class _State(NamedTuple):
    optimizer: Any
    params: dict[str, Tensor]


def _options(hp: Hyperparameters) -> dict[str, Any]:
    options = {name: getattr(hp, name) for name in ("lr", "betas", "eps", "weight_decay")}
    return options | {"weight_decouple": hp.decoupled_weight_decay}


def _init(foreach: bool | None) -> Callable[..., _State]:
    def init(params: Arrays, hp: Hyperparameters, undecayed: Sequence[str] = ()) -> _State:
        tensors = {name: to_torch(param) for name, param in params.items()}
        groups: list[dict[str, Any]] = [
            {"params": [tensors[name] for name in params if name not in undecayed]}
        ]
        if undecayed:
            groups += [{"params": [tensors[name] for name in undecayed], "weight_decay": 0.0}]
        optimizer = AdaMax(groups, **_options(hp), maximize=hp.maximize, foreach=foreach)
        return _State(optimizer, tensors)

    return init


def _step(
    params: Arrays, grads: Arrays, state: _State, hp: Hyperparameters
) -> tuple[Arrays, _State]:
    state.optimizer.maximize = hp.maximize
    for index, group in enumerate(state.optimizer.param_groups):
        group.update(_options(hp) | ({"weight_decay": 0.0} if index else {}))
    for name, tensor in state.params.items():
        tensor.copy_(to_torch(params[name]))
        tensor.grad = None
        if name in grads:
            set_gradient(tensor, as_gradient(grads[name]))
    state.optimizer.step()
    return {name: to_numpy(tensor) for name, tensor in state.params.items()}, state


def _moments(state: _State) -> dict[str, Moments]:
    counts = {
        tensor: group.get("step", 0)
        for group in state.optimizer.param_groups
        for tensor in group["params"]
    }
    shown = {}
    for name, tensor in state.params.items():
        # The state of a parameter is made at its first step.
        zero = tensor.new_zeros(tensor.shape)
        slot = state.optimizer.state.get(tensor) or {"exp_avg": zero, "exp_inf": zero}
        shown[name] = Moments(counts[tensor], to_numpy(slot["exp_avg"]), to_numpy(slot["exp_inf"]))
    return shown


def _load(params: Arrays, hp: Hyperparameters, saved: Mapping[str, Arrays]) -> _State:
    """Return a fresh optimizer that has loaded a state dict with these slots."""
    fresh = _init(None)(params, hp)
    slots = {
        index: {key: to_torch(value).clone() for key, value in saved[name].items() if key != "step"}
        for index, name in enumerate(params)
    }
    count = one_count(saved)
    groups = [group | {"step": count} for group in fresh.optimizer.state_dict()["param_groups"]]
    fresh.optimizer.load_state_dict({"state": slots, "param_groups": groups})
    return fresh


def backend(*, foreach: bool | None = None) -> FunctionalBackend:
    """Return the backend of the stock optimizer; with foreach=False, one parameter at a time."""
    return FunctionalBackend(
        "pytorch_optimizer"
        if foreach is None
        else f"pytorch_optimizer?foreach={str(foreach).lower()}",
        init=_init(foreach),
        step=_step,
        moments=_moments,
        load=_load,
        features=[
            "maximize",
            "weight_decay",
            "decoupled_weight_decay",
            "undecayed",
            "load",
            "sparse",
        ],
        dtypes=DTYPES,
        language="Python",
        packages=versions("pytorch_optimizer", "torch"),
        default_eps=default_eps(AdaMax),
        deviations=_DEVIATIONS,
    )
