"""The reference as a subject of the judge; only the entry point ``numpy`` loads it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import adamax_core
from adamax_conformance.spec.formats import DTYPES
from adamax_conformance.subject.backend import FunctionalBackend, Moments, Steps
from adamax_core import CANONICAL, Cotangents, Hyperparameters, Rule, State, step_vjp
from adamax_core.rule import Step


def _init(params: Any, hp: Hyperparameters, state_dtype: str | None = None) -> State:
    hp.validate()
    return adamax_core.init(dict(params), None if state_dtype is None else np.dtype(state_dtype))


def _moments(state: State) -> dict[str, Moments]:
    return {
        name: Moments(state.step[name], state.exp_avg[name], state.exp_inf[name])
        for name in state.step
    }


def _load(_params: Any, _hp: Hyperparameters, saved: Mapping[str, Mapping[str, Any]]) -> State:
    fields = {field for slot in saved.values() for field in slot}
    return State(**{field: {k: slot[field] for k, slot in saved.items()} for field in fields})


def _vjp(wrt: str, steps: Steps) -> Any:
    """Run forward, recording the inputs of each step, then backward from the last step."""
    params, hp = dict(steps.params), steps.hp
    state = _load(params, hp, {name: slot._asdict() for name, slot in steps.saved.items()})
    begins = []
    for grads in map(dict, steps.grads):
        begins.append((params, grads, state))
        params, state = adamax_core.step(params, grads, state, hp)
    cotangents, found = Cotangents(dict(steps.cotangents)), []
    for before, grads, start in reversed(begins):
        found.append(step_vjp(before, grads, start, hp, cotangents))
        cotangents = found[-1].before
    if wrt in cotangents._fields:
        return getattr(cotangents, wrt)
    each = [getattr(derivatives, wrt) for derivatives in reversed(found)]
    return each if wrt == "grads" else sum(each)


def backend(rule: Rule | Callable[..., Step] = CANONICAL, name: str = "numpy") -> FunctionalBackend:
    """Return the backend of the NumPy reference, or of a dialect: the same code with another rule.

    It offers derivatives for the canonical rule only, whose closed form the core has.
    """

    def step(params: Any, grads: Any, state: State, hp: Hyperparameters) -> tuple[Any, State]:
        present = {key: grads.get(key) for key in params}
        return adamax_core.step(dict(params), present, state, hp, rule=rule)

    return FunctionalBackend(
        name,
        init=_init,
        step=step,
        moments=_moments,
        load=_load,
        vjp=_vjp,
        dtypes=DTYPES,
        features=(
            "maximize", "weight_decay", "decoupled_weight_decay", "state_dtype", "load",
            *(["vjp"] if rule == CANONICAL else []),
        ),
    )  # fmt: skip
