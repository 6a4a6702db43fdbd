"""H-1 to H-6: which hyperparameters are refused, which are not, and that they may change."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from adamax_conformance.cases.case import PLAIN, Cases, Data, require_kept
from adamax_conformance.judging.finding import Finding, Violation
from adamax_conformance.judging.run import Run
from adamax_conformance.subject.backend import LostError, unvalidated
from adamax_conformance.subject.watched import BackendError, Watched
from adamax_core import Hyperparameters

CASES = Cases()
BAD_NUMBERS = {"negative": -0.5, "just-negative": -(2.0**-7), "infinite": np.inf, "nan": np.nan}
BAD_BETAS = BAD_NUMBERS | {"one": 1.0, "above-one": 1.5}
BAD_LATER = {
    "H-1": ("lr", -0.5),
    "H-2": ("eps", -0.5),
    "H-3": ("betas", (0.75, 1.0)),
    "H-4": ("weight_decay", -0.5),
}
"""Values that a schedule sets during a run."""


def _refuses(attempt: Callable[[], Any], what: str) -> Finding:
    """Check that `attempt` raises a ValueError that shows the value, the last word of `what`."""
    try:
        attempt()
    except BackendError as error:
        if isinstance(error.cause, LostError):
            raise
        if not isinstance(error.cause, ValueError):
            raise Violation(f"{what}: {error}, must be a ValueError") from error
        value = what.rpartition(" ")[2]
        if value not in str(error.cause).lower():
            raise Violation(f"{what}: {error}, which does not show the value") from error
        return Finding(1)
    raise Violation(f"{what} was accepted")


def _register(
    case_id: str, field: str, note: str, body: Callable[[Watched, Data], Finding]
) -> None:
    """Add a case in one dtype, since dtypes do not matter; decay cases need their feature."""
    features = ["weight_decay"] if field == "weight_decay" else []
    body.__doc__ = note
    CASES.case(case_id, dtypes=["float32"], features=features)(body)


def _add(clause: str, name: str, field: str, value: Any, text: str) -> None:
    def body(backend: Watched, data: Data) -> Finding:
        params = {"w": data.array([1.0, 0.5])}
        return _refuses(lambda: backend.init(params, unvalidated(PLAIN, **{field: value})), text)

    note = f"{text} is outside the domain; a step with it ascends, stalls or gives NaN."
    _register(f"{clause}/{name}", field, note, body)


def _add_later(clause: str, text: str) -> None:
    field, value = BAD_LATER[clause]

    def body(backend: Watched, data: Data) -> Finding:
        run = data.run(PLAIN, steps=2)
        params, state = backend.step(run.params, run.grads[0], run.start(backend), PLAIN)
        before = backend.moments(params, state)
        bad = unvalidated(PLAIN, **{field: value})
        found = _refuses(lambda: backend.step(params, run.grads[1], state, bad), text)
        require_kept(before, backend.moments(params, state), text)
        return found

    note = f"A schedule that goes wrong in the middle of a run: {text} in the second step."
    _register(f"{clause}/between-steps", field, note, body)


for _name, _value in BAD_NUMBERS.items():
    _add("H-1", _name, "lr", _value, f"lr = {_value}")
_add_later("H-1", "lr = -0.5")
for _name, _value in BAD_NUMBERS.items():
    _add("H-2", _name, "eps", _value, f"eps = {_value}")
_add_later("H-2", "eps = -0.5")
for _name, _value in BAD_BETAS.items():
    _add("H-3", f"beta1-{_name}", "betas", (_value, 0.875), f"beta1 = {_value}")
    _add("H-3", f"beta2-{_name}", "betas", (0.75, _value), f"beta2 = {_value}")
_add_later("H-3", "beta2 = 1.0")
for _name, _value in BAD_NUMBERS.items():
    _add("H-4", _name, "weight_decay", _value, f"weight_decay = {_value}")
_add_later("H-4", "weight_decay = -0.5")


@CASES.run("H-5/lr-zero")
def _(data: Data) -> Run:
    """A warm-up starts at zero: the moments move, the parameters do not."""
    return data.run(replace(PLAIN, lr=0.0), steps=2)


@CASES.run("H-5/far-apart", dtypes=["float32"])
def _(data: Data) -> Run:
    """What nobody uses is in the domain all the same, and nothing is clamped to what is usual."""
    hp = [
        Hyperparameters(lr=1000.0, betas=(0.95, 0.9), eps=16.0),
        Hyperparameters(lr=2.0**-20, betas=(0.99, 0.999), eps=2.0**-40),
    ]
    params = data.params()
    return Run(params, [data.grads(params) for _ in hp], hp)


@CASES.run("H-5/decay-far-apart", dtypes=["float32"], features=["weight_decay"])
def _(data: Data) -> Run:
    """The same for the decay: one of 8, and one of a few millionths."""
    hp = [replace(PLAIN, weight_decay=decay) for decay in (8.0, 2.0**-18)]
    params = {"w": data.normal((6,), 1)}
    return Run(params, [{"w": params["w"] * 0}] * 2, hp)


@CASES.run("H-5/decoupled-far-apart", features=["decoupled_weight_decay"])
def _(data: Data) -> Run:
    """And where it is decoupled; without a gradient the decay is all that moves."""
    base = replace(PLAIN, decoupled_weight_decay=True)
    hp = [replace(base, lr=lr, weight_decay=wd) for lr, wd in ((1.0, 8.0), (2.0**10, 2.0**-14))]
    params = {"w": data.normal((6,), 1)}
    return Run(params, [{"w": params["w"] * 0}] * 2, hp)


@CASES.run("H-5/betas-zero")
def _(data: Data) -> Run:
    """beta1 = 0 has no momentum, beta2 = 0 no memory; neither has a logarithm."""
    return data.run(replace(PLAIN, betas=(0.0, 0.0)), steps=3)


@CASES.run("H-5/beta1-zero")
def _(data: Data) -> Run:
    """0^t is 0: the correction is 1 from the first step on."""
    return data.run(replace(PLAIN, betas=(0.0, 0.875)), steps=3)


@CASES.run(
    "H-6/modes",
    features=["maximize", "weight_decay", "decoupled_weight_decay"],
)
def _(data: Data) -> Run:
    """Sign and decay may change as well, as when a schedule ends the decay."""
    hp = [
        replace(PLAIN, weight_decay=0.5),
        replace(PLAIN, weight_decay=0.25, maximize=True),
        replace(PLAIN, weight_decay=0.5, decoupled_weight_decay=True),
        PLAIN,
    ]
    return replace(data.run(PLAIN, steps=4), hp=hp)


@CASES.run("H-6/schedule")
def _(data: Data) -> Run:
    """Each step takes the values in force; nothing is kept from the values before."""
    run = data.run(PLAIN, steps=4)
    hp = [
        replace(PLAIN, lr=lr, betas=betas, eps=eps)
        for lr, betas, eps in (
            (0.125, (0.75, 0.875), 0.5),
            (0.5, (0.75, 0.875), 0.5),
            (0.5, (0.5, 0.25), 0.5),
            (0.25, (0.875, 0.5), 2.0),
        )
    ]
    return replace(run, hp=hp)
