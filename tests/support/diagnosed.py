"""Backends to diagnose, and the deviations that were found."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from adamax_conformance import Diagnosis, FunctionalBackend
from adamax_conformance.subjects.reference import backend
from adamax_core import Rule, State

BASE = backend()


def made(rule: Any) -> FunctionalBackend:
    """Return the reference with another rule."""
    return backend(rule=cast("Rule", rule), name="made")


def hidden(shown: FunctionalBackend) -> FunctionalBackend:
    """Return the backend with a hidden state."""
    return replace(shown, moments=lambda _state: None)


def stepping(step: Callable[..., Any]) -> FunctionalBackend:
    return replace(BASE, name="made", step=step)


def deviations(diagnosis: Diagnosis) -> dict[str, str]:
    """Return the found alternative of each axis that deviates."""
    return {found.axis: found.found for found in diagnosis.deviating}


def sgd(params: Any, grads: Any, state: State, hp: Any) -> Any:
    return {k: (p - hp.lr * grads.get(k, 0)).astype(p.dtype) for k, p in params.items()}, state
