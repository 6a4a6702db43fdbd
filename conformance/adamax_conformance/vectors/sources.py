"""Definitions of the vectors: the cases of the judge on small data, and some additional ones.

A case draws its data from a `Data`; here that has small shapes. A few cases are too long for a
readable file, and shorter ones stand in for them. Cases that do not judge a run of steps (memory,
dtypes, derivatives) have no vector.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from adamax_conformance.cases import CASES
from adamax_conformance.cases.case import EXTREME, LATEST, PLAIN, Cases, Data
from adamax_conformance.cases.hyperparameters import BAD, Bad
from adamax_conformance.cases.state import with_gradients
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.spec.formats import WITH_COMPLEX
from adamax_conformance.subject.backend import Moments, unvalidated
from adamax_core import Hyperparameters

MORE = Cases()

RETIRED: dict[str, str] = {}
"""Ids of published vectors that were removed, with the reason; no vector may reuse them."""

LEFT_OUT = {
    "A-2/coupled": "a hundred numbers; A-2/without-eps is the short one",
    "A-6/many-steps": "410 steps; A-6/ten-steps is the short one",
    "N-8/long-step": "28 steps; N-8/small-lr is the short one",
    "S-9/alike": "fifty numbers in nine parameters; S-9/several is the short one",
    "S-9/backwards": "a vector has no strides; S-9/not-contiguous is the short one",
    "S-9/blocks": "6132 elements; S-9/tail is the short one",
    "S-9/layouts-differ": "180 numbers, laid out anyhow; S-9/not-contiguous is the short one",
    "S-9/long": "1037 elements; S-9/tail is the short one",
    "S-9/loaded-in-any-order": "a vector has one order; S-9/any-order is the short one",
    "S-9/longer": "131,077 elements; S-9/tail is the short one",
    "S-9/more": "300 parameters; S-9/several is the short one",
    "S-9/narrowest-dtype-first": "72 numbers; S-9/mixed-dtypes is the short one",
    "S-9/repeated": "a vector has no strides; S-9/not-contiguous is the short one",
    "S-9/many": "20 parameters; S-9/several is the short one",
}
"""Cases with a run that are not made into vectors, with the reason."""


class Small(Data):
    """Data of a readable size."""

    def params(self, shapes: dict[str, tuple[int, ...]] | None = None) -> dict[str, Any]:
        """Return two small parameters, unless shapes say otherwise."""
        return super().params(shapes or {"w": (2, 2), "b": (3,)})


class Source(NamedTuple):
    """The definition of a vector: everything that is not computed."""

    id: str
    note: str
    dtype: str
    flags: tuple[str, ...]
    trial: Trial
    refused: bool = False


@MORE.run("A-2/without-eps", features=["weight_decay"], judged=["exp_avg", "exp_inf"])
def _(data: Data) -> Run:
    """Coupled decay goes through both moments; without eps nothing else is in the norm."""
    params = {"w": data.normal((6,))}
    grads = [{"w": data.normal((6,))} for _ in range(3)]
    return Run(params, grads, replace(EXTREME, weight_decay=0.3, eps=0.0))


@MORE.run("A-6/ten-steps", judged=["param"])
def _(data: Data) -> Run:
    """Ten steps: a correction that is dropped after some, or counts wrongly later, shows."""
    params = {"w": data.array(np.zeros(1))}
    grads = [{"w": data.array([1.0])} for _ in range(10)]
    return Run(params, grads, Hyperparameters(lr=0.5, betas=(0.875, 0.5), eps=2.0**-10))


@MORE.run("A-6/later", features=["load"], judged=["param"])
def _(data: Data) -> Run:
    """Deep in a long run, with a beta1 whose correction lasts: a count that stops."""
    params = {"w": data.array(np.zeros(3))}
    saved = {"w": Moments(20_000, data.normal((3,), 1), data.array([2.0, 3.0, 4.0]))}
    return Run(params, [{"w": data.array([1.0, -0.5, 0.25])}] * 2, LATEST, saved=saved)


@MORE.run("S-1/zero", dtypes=WITH_COMPLEX)
def _(data: Data) -> Run:
    """From any other state than zero the first step comes out otherwise."""
    return data.run(PLAIN, steps=1)


@MORE.run("S-5/float32-gradients", dtypes=["float16", "bfloat16"])
def _(data: Data) -> Run:
    """Gradients that were accumulated in float32 for half precision parameters."""
    return with_gradients(data, np.float32)


@MORE.run("S-5/float16-gradients", dtypes=["float32"])
def _(data: Data) -> Run:
    """Gradients of a model that runs in half precision, for the float32 copy of its weights."""
    return with_gradients(data, np.float16)


@MORE.run("S-9/tail", judged=["param"])
def _(data: Data) -> Run:
    """Longer than a vector register, and no multiple of one: the tail is stepped as the rest."""
    params = {"w": data.array(np.zeros(43))}
    grads = [{"w": data.normal((43,)) * data.array(scale)} for scale in (1.0, 2.0**-6)]
    return Run(params, grads, PLAIN)


@MORE.run("S-9/several", dtypes=["float32"], judged=["param"])
def _(data: Data) -> Run:
    """Several parameters, none of which gets what is another's."""
    params = {f"w{i}": data.normal((2,)) for i in range(6)}
    return Run(params, [data.grads(params) for _ in range(2)], PLAIN)


def _bad(bad: Bad, *before: Hyperparameters) -> Callable[[Data], Run]:
    """Return a function for a run whose last step alone has a hyperparameter out of its domain."""

    def make(data: Data) -> Run:
        params = {"w": data.array([1.0, 0.5])}
        hp = [*before, unvalidated(PLAIN, **{bad.field: bad.given})]
        return Run(params, [params] * len(hp), hp)

    return make


def _misfit(make: Callable[[Data], Any]) -> Callable[[Data], Run]:
    """Return a function for a run whose second step has a gradient that does not fit."""

    def run(data: Data) -> Run:
        params = {"a": data.normal((3,)), "w": data.normal((4,))}
        return Run(params, [data.grads(params), {"a": data.normal((3,)), "w": make(data)}], PLAIN)

    return run


_LATER = {"H-1": "negative", "H-2": "negative", "H-3": "beta2-one", "H-4": "negative"}
"""The kind of bad value of each clause that a schedule sets in the middle of a run."""

_REFUSED: dict[str, Callable[[Data], Run]] = {
    **{
        f"{clause}/{kind}": _bad(bad)
        for clause, values in BAD.items()
        # The order of the file: beta2 comes after all of beta1.
        for kind, bad in sorted(values.items(), key=lambda each: each[1].name)
    },
    **{
        f"{clause}/between-steps": _bad(BAD[clause][kind], PLAIN) for clause, kind in _LATER.items()
    },
    "S-10/shape": _misfit(lambda data: data.normal((3,))),
    "S-10/one-for-many": _misfit(lambda data: data.normal((1,))),
    "S-10/scalar": _misfit(lambda data: data.normal(())),
    "S-10/column": _misfit(lambda data: data.normal((4, 1))),
    "S-10/kind": _misfit(lambda data: data.normal((4,)).astype(np.complex64)),
    "S-10/real-for-complex": _misfit(lambda _data: np.ones(4, np.float32)),
}
_OWN_NOTES = {
    "S-10/one-for-many": "A gradient of one number for all would broadcast.",
    "S-10/scalar": "And so would a number without a shape.",
    "S-10/column": "A column for a row broadcasts to a square.",
    "S-10/kind": "A complex gradient for a real parameter would lose its imaginary part.",
}


def sources() -> Iterator[Source]:
    """Yield the definition of every vector."""
    for case in (*CASES, *MORE.all):
        if case.trial is None or case.id in LEFT_OUT:
            continue
        flags = tuple(sorted(case.features))
        for dtype in case.dtypes:
            trial = case.trial(_data(dtype, case.id))
            yield Source(f"{case.id}[{dtype}]", case.note, dtype, flags, trial)
    cases = {case.id: case for case in CASES}
    for name, make in _REFUSED.items():
        known = cases.get(name)
        dtype = "complex64" if name == "S-10/real-for-complex" else "float32"
        yield Source(
            id=f"{name}[{dtype}]",
            note=_OWN_NOTES[name] if known is None or name in _OWN_NOTES else known.note,
            dtype=dtype,
            flags=tuple(sorted(known.features)) if known else (),
            trial=Trial(make(_data(dtype, name)), judged=()),
            refused=True,
        )


def _data(dtype: str, name: str) -> Data:
    return Small(dtype, 0, name)
