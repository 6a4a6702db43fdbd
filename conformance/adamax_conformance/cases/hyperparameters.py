"""H-1 to H-6: which hyperparameters are refused, which are not, and that they may change."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from adamax_conformance.cases.alike import require_kept
from adamax_conformance.cases.case import PLAIN, Cases, Data
from adamax_conformance.cases.state import modes
from adamax_conformance.judging.finding import Finding, Violation
from adamax_conformance.judging.judge import judge
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.subject.backend import LostError, unvalidated
from adamax_conformance.subject.memory import copies
from adamax_conformance.subject.watched import BackendError, MalformedError, Watched
from adamax_core import Hyperparameters

CASES = Cases()
BAD_NUMBERS = {
    "negative": -0.5,
    "just-negative": -(2.0**-7),
    "barely-negative": -(2.0**-126),  # the nearest to zero that no format flushes
    "infinite": np.inf,
    "nan": np.nan,
}
BAD_BETAS = BAD_NUMBERS | {"one": 1.0, "above-one": 1.5}
BAD_LATER = {
    "H-1": ("lr", -0.5),
    "H-2": ("eps", -0.5),
    "H-3": ("betas", (0.75, 1.0)),
    "H-4": ("weight_decay", -0.5),
}
"""The value of each clause that a schedule sets in the middle of a published vector."""


_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|inf(?:inity)?|nan)\b", re.IGNORECASE
)


def _shows(message: str, value: float) -> bool:
    """Does the message contain the value, in however many digits it is printed?"""
    for text in _NUMBER.findall(message):
        printed = Decimal(text)
        if not np.isfinite(value):
            shown = str(float(printed)) == str(value)
        else:
            # An infinity has no digits to round to.
            rounded = Decimal(value).quantize(printed) if printed.is_finite() else None
            shown = printed == rounded and bool(printed) == bool(value)
        if shown:
            return True
    return False


def _refuses(attempt: Callable[[], Any], name: str, value: float) -> Finding:
    """Check that `attempt` raises a ValueError that shows the value."""
    what = f"{name} = {value}"
    try:
        attempt()
    except MalformedError as error:
        raise Violation(f"{what} was accepted, and then {error}") from error
    except BackendError as error:
        if isinstance(error.cause, LostError):
            raise
        if not isinstance(error.cause, ValueError):
            raise Violation(f"{what}: {error}, must be a ValueError") from error
        if not _shows(str(error.cause), value):
            raise Violation(f"{what}: {error}, which does not show the value") from error
        return Finding(1)
    raise Violation(f"{what} was accepted")


def _register(
    case_id: str, field: str, note: str, body: Callable[[Watched, Data], Finding]
) -> None:
    """Add a case in one dtype, which does not matter; decay cases need their feature."""
    features = ["weight_decay"] if field == "weight_decay" else []
    body.__doc__ = note
    CASES.case(case_id, dtypes=["float32"], features=features, any_dtype=True)(body)


def _add(clause: str, kind: str, field: str, given: Any, name: str, value: float) -> None:
    def body(backend: Watched, data: Data) -> Finding:
        params = {"w": data.array([1.0, 0.5])}
        bad = unvalidated(PLAIN, **{field: given})

        def attempt() -> None:
            backend.step(params, copies(params), backend.init(params, bad), bad)

        return _refuses(attempt, name, value)

    note = f"{name} = {value} is outside the domain; a step with it ascends, stalls or gives NaN."
    _register(f"{clause}/{kind}", field, note, body)


def _add_later(clause: str, field: str) -> None:
    def body(backend: Watched, data: Data) -> Finding:
        return sum((_refuses_later(backend, data, *each) for each in _bad_values(field)), Finding())

    note = f"A schedule that goes wrong in the middle of a run: each bad {field} in a second step."
    _register(f"{clause}/between-steps", field, note, body)


def _bad_values(field: str) -> Iterator[tuple[str, Any, str, float]]:
    """Yield each bad value: the field, what it is given, and the name and the value to show."""
    if field == "betas":
        for value in BAD_BETAS.values():
            yield field, (value, 0.875), "beta1", value
            yield field, (0.75, value), "beta2", value
    else:
        for value in BAD_NUMBERS.values():
            yield field, value, field, value


def _refuses_later(
    backend: Watched, data: Data, field: str, given: Any, name: str, value: float
) -> Finding:
    run = data.run(PLAIN, steps=2)
    params, state = backend.step(run.params, run.grads[0], run.start(backend), PLAIN)
    before = backend.moments(params, state)
    bad = unvalidated(PLAIN, **{field: given})
    found = _refuses(lambda: backend.step(params, run.grads[1], state, bad), name, value)
    require_kept(before, backend.moments(params, state), f"when {name} = {value} was refused")
    return found


for _kind, _value in BAD_NUMBERS.items():
    _add("H-1", _kind, "lr", _value, "lr", _value)
_add_later("H-1", "lr")
for _kind, _value in BAD_NUMBERS.items():
    _add("H-2", _kind, "eps", _value, "eps", _value)
_add_later("H-2", "eps")
for _kind, _value in BAD_BETAS.items():
    _add("H-3", f"beta1-{_kind}", "betas", (_value, 0.875), "beta1", _value)
    _add("H-3", f"beta2-{_kind}", "betas", (0.75, _value), "beta2", _value)
_add_later("H-3", "betas")
for _kind, _value in BAD_NUMBERS.items():
    _add("H-4", _kind, "weight_decay", _value, "weight_decay", _value)
_add_later("H-4", "weight_decay")


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


@CASES.case("H-6/all-digits", dtypes=["float64"])
def _(backend: Watched, data: Data) -> Finding:
    """Each value is used in all the digits that the format has, not in those that it prints in."""
    numbers = {"lr": 1 / 3, "betas": (2 / 3, 6 / 7), "eps": 1 / 7}
    found = Finding()
    for mode in modes(backend):
        decay = {"weight_decay": 1 / 9} if "weight_decay" in mode else {}
        run = data.run(Hyperparameters(**{**numbers, **mode, **decay}), steps=2)
        found += judge(backend, Trial(run))
    return found
