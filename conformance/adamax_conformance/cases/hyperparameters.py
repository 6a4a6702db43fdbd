"""H-1 to H-6: which hyperparameters are refused, which are not, and that they may change."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

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


class Bad(NamedTuple):
    """A value outside its domain.

    Attributes:
        field: the field of `Hyperparameters` that has it.
        given: what this field is given.
        name: the hyperparameter that an error must name.
        value: the value that it must show.
    """

    field: str
    given: Any
    name: str
    value: float


_NUMBERS = {
    "negative": -0.5,
    "just-negative": -(2.0**-7),
    "barely-negative": -(2.0**-126),  # the nearest to zero that no format flushes
    "infinite": np.inf,
    "nan": np.nan,
}
BAD = {
    "H-1": {kind: Bad("lr", value, "lr", value) for kind, value in _NUMBERS.items()},
    "H-2": {kind: Bad("eps", value, "eps", value) for kind, value in _NUMBERS.items()},
    "H-3": {
        f"{name}-{kind}": Bad("betas", betas, name, value)
        for kind, value in {**_NUMBERS, "one": 1.0, "above-one": 1.5}.items()
        for name, betas in (("beta1", (value, 0.875)), ("beta2", (0.75, value)))
    },
    "H-4": {
        kind: Bad("weight_decay", value, "weight_decay", value) for kind, value in _NUMBERS.items()
    },
}
"""The bad values of each clause, by the name of their case."""

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


def _refuses(attempt: Callable[[], Any], bad: Bad) -> Finding:
    """Check that `attempt` raises a ValueError that shows the value."""
    what = f"{bad.name} = {bad.value}"
    try:
        attempt()
    except MalformedError as error:
        raise Violation(f"{what} was accepted, and then {error}") from error
    except BackendError as error:
        if isinstance(error.cause, LostError):
            raise
        if not isinstance(error.cause, ValueError):
            raise Violation(f"{what}: {error}, must be a ValueError") from error
        if not _shows(str(error.cause), bad.value):
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


def _add(case_id: str, bad: Bad) -> None:
    def body(backend: Watched, data: Data) -> Finding:
        params = {"w": data.array([1.0, 0.5])}
        hp = unvalidated(PLAIN, **{bad.field: bad.given})

        def attempt() -> None:
            backend.step(params, copies(params), backend.init(params, hp), hp)

        return _refuses(attempt, bad)

    what = f"{bad.name} = {bad.value}"
    note = f"{what} is outside the domain; a step with it ascends, stalls or gives NaN."
    _register(case_id, bad.field, note, body)


def _add_later(case_id: str, field: str, values: Iterable[Bad]) -> None:
    def body(backend: Watched, data: Data) -> Finding:
        return sum((_refuses_later(backend, data, bad) for bad in values), Finding())

    note = f"A schedule that goes wrong in the middle of a run: each bad {field} in a second step."
    _register(case_id, field, note, body)


def _refuses_later(backend: Watched, data: Data, bad: Bad) -> Finding:
    run = data.run(PLAIN, steps=2)
    params, state = backend.step(run.params, run.grads[0], run.start(backend), PLAIN)
    before = backend.moments(params, state)
    hp = unvalidated(PLAIN, **{bad.field: bad.given})
    found = _refuses(lambda: backend.step(params, run.grads[1], state, hp), bad)
    what = f"when {bad.name} = {bad.value} was refused"
    require_kept(before, backend.moments(params, state), what)
    return found


for _clause, _values in BAD.items():
    for _kind, _bad in _values.items():
        _add(f"{_clause}/{_kind}", _bad)
    _add_later(f"{_clause}/between-steps", _bad.field, _values.values())


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
