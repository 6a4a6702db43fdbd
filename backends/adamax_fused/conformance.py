"""`step_` as a subject of the judge; only the entry point ``fused`` loads it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from adamax_conformance import DTYPES, FunctionalBackend, Moments
from adamax_core import Hyperparameters, State
from adamax_fused import init, step_


class FusedState(NamedTuple):
    """Private copies of parameters and state, which steps change in place."""

    params: dict[str, Any]
    state: State


def backend() -> FunctionalBackend:
    """The kernel, on arrays that are not aligned to SIMD vectors."""
    return FunctionalBackend(
        "fused",
        init=_init,
        step=_step,
        moments=_moments,
        load=_load,
        dtypes=DTYPES,
        features=("maximize", "weight_decay", "decoupled_weight_decay", "state_dtype", "load"),
    )


def _init(params: Mapping[str, Any], hp: Hyperparameters, state_dtype: Any = None) -> FusedState:
    hp.validate()
    return _own(params, init(dict(params), state_dtype))


def _load(
    params: Mapping[str, Any], _hp: Hyperparameters, saved: Mapping[str, Mapping[str, Any]]
) -> FusedState:
    fields = {field for slot in saved.values() for field in slot}
    return _own(
        params, State(**{field: {k: slot[field] for k, slot in saved.items()} for field in fields})
    )


def _own(params: Mapping[str, Any], state: State) -> FusedState:
    own, exp_avg, exp_inf = (
        {key: _unaligned(np.asarray(array)) for key, array in arrays.items()}
        for arrays in (params, state.exp_avg, state.exp_inf)
    )
    counts = {key: np.array(count) for key, count in state.step.items()}
    return FusedState(own, State(counts, exp_avg, exp_inf))


def _unaligned(array: Any) -> Any:
    """A copy that starts one element after the start of its allocation."""
    copy = np.empty(array.size + 1, array.dtype)[1:].reshape(array.shape)
    copy[...] = array
    return copy


def _step(
    params: Mapping[str, Any], grads: Mapping[str, Any], held: FusedState, hp: Hyperparameters
) -> tuple[dict[str, Any], FusedState]:
    for key, array in held.params.items():
        array[...] = params[key]
    present = {key: grads.get(key) for key in held.params}
    step_(held.params, present, held.state, hp)
    return {key: array.copy() for key, array in held.params.items()}, held


def _moments(held: FusedState) -> dict[str, Moments]:
    state = held.state
    return {
        key: Moments(int(state.step[key]), state.exp_avg[key].copy(), state.exp_inf[key].copy())
        for key in state.step
    }
