"""Limits: what a backend declares that it cannot do is not asked for, and nothing more."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adamax_conformance.check import check
from adamax_conformance.fuzz import fuzz
from adamax_conformance.reports.report import Report, Verdict
from adamax_conformance.reports.result import BAD, Status
from adamax_conformance.reports.text import after_outcome
from adamax_conformance.subject.backend import FunctionalBackend, unvalidated
from adamax_conformance.subjects.reference import backend as reference
from adamax_core import Hyperparameters

BASE = replace(reference(), dtypes=("float32",), features=())
"""The reference as a plain kernel; one dtype saves time."""


def changed(
    name: str, hp_of: Callable[[Hyperparameters], Hyperparameters], **more: Any
) -> FunctionalBackend:
    """Return the kernel that sees hyperparameters through a function."""

    def init(params: Any, hp: Any, **options: Any) -> Any:
        return BASE.init(params, hp_of(hp), **options)

    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        return BASE.step(params, grads, state, hp_of(hp))

    return replace(BASE, name=name, init=init, step=step, **more)


def in_float32(hp: Hyperparameters) -> Hyperparameters:
    def held(value: float) -> float:
        return float(np.float32(value))

    names = ("lr", "eps", "weight_decay")
    scalars = {name: held(getattr(hp, name)) for name in names}
    return unvalidated(hp, betas=tuple(map(held, hp.betas)), **scalars)


def refusing_zero(name: str) -> Callable[[Hyperparameters], Hyperparameters]:
    def positive(hp: Hyperparameters) -> Hyperparameters:
        if getattr(hp, name) == 0:
            raise ValueError(f"{name} = 0 is not positive")
        return hp

    return positive


def needing_all(params: Any, grads: Any, state: Any, hp: Any) -> Any:
    return BASE.step(params, {name: grads[name] for name in params}, state, hp)


def broadcasting(params: Any, grads: Any, state: Any, hp: Any) -> Any:
    """Step with gradients written into arrays of the kernel's own."""
    own = {name: np.empty_like(params[name]) for name in grads}
    for name, grad in grads.items():
        own[name].flat = np.real(grad)
    return BASE.step(params, own, state, hp)


def fixed(**more: Any) -> FunctionalBackend:
    """Return a kernel that keeps the hyperparameters that it was made with."""

    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        made, inner = state
        hp.validate()
        stepped, inner = BASE.step(params, grads, inner, made)
        return stepped, (made, inner)

    return replace(
        BASE,
        name="fixed",
        init=lambda params, hp: (hp, BASE.init(params, hp)),
        step=step,
        moments=lambda state: BASE.moments(state[1]),
        **more,
    )


LIMITED: dict[str, FunctionalBackend] = {
    "float16 alone": replace(BASE, dtypes=("float16",)),
    "bfloat16 alone": replace(BASE, dtypes=("bfloat16",)),
    "float32 alone": BASE,
    "float64 alone": replace(BASE, dtypes=("float64",)),
    "complex64 alone": replace(BASE, dtypes=("complex64",)),
    "complex128 alone": replace(BASE, dtypes=("complex128",)),
    "halves": replace(BASE, dtypes=("float16", "bfloat16")),
    "hidden state": replace(BASE, moments=lambda _state: None),
    "no missing gradients": replace(BASE, step=needing_all, limits=["no_missing_gradients"]),
    "fitting gradients": replace(BASE, step=broadcasting, limits=["fitting_gradients"]),
    "fixed hyperparameters": fixed(limits=["fixed_hyperparameters"]),
    "positive lr": changed("positive lr", refusing_zero("lr"), limits=["positive_lr"]),
    "positive eps": changed("positive eps", refusing_zero("eps"), limits=["positive_eps"]),
    "float32 hyperparameters": changed("float32", in_float32, hyperparameter_dtype="float32"),
    "float32 hyperparameters in float64": changed(
        "wide", in_float32, hyperparameter_dtype="float32", dtypes=("float64",)
    ),
    "weight decay alone": replace(BASE, features=("weight_decay",)),
}


AFFECTED = (
    "A-2",
    "A-4",
    "A-7",
    "S-2",
    "S-3",
    "S-10",
    "N-3",
    "N-6",
    "H-1",
    "H-2",
    "H-3",
    "H-5",
    "H-6",
)
"""The clauses that a limit can touch."""


@functools.cache
def report_of(name: str, clauses: tuple[str, ...] | None = AFFECTED) -> Report:
    return check(LIMITED[name], clauses=clauses, investigate=False)


@pytest.mark.parametrize("name", LIMITED)
def test_limit_touches_no_clause_in_another_way(name: str) -> None:
    report = report_of(name)
    assert [(each.id, each.message) for each in report.results if each.status in BAD] == []
    assert report.missing == ()
    assert report.verdict is Verdict.PARTIAL


@pytest.mark.slow
@pytest.mark.parametrize("name", LIMITED)
def test_right_kernel_with_one_limit_is_conformant(name: str) -> None:
    report = report_of(name, None)
    assert [(each.id, each.message) for each in report.results if each.status in BAD] == []
    assert report.missing == ()
    assert report.verdict is Verdict.CONFORMANT


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hidden state", "not offered: a state that is shown (A-7, N-3)"),
        ("no missing gradients", "not offered: a parameter without a gradient (S-2, S-3)"),
        (
            "fitting gradients",
            "not offered: a gradient that does not fit its parameter (S-10)",
        ),
        ("positive eps", "not offered: an eps of zero (N-6)"),
        ("positive lr", "not offered: an lr of zero (H-5)"),
        ("float32 alone", ""),
    ],
)
def test_verdict_says_what_was_not_judged(name: str, words: str) -> None:
    assert words in after_outcome(report_of(name))
    assert bool(report_of(name).limits) is bool(words)


def doubled(kernel: FunctionalBackend) -> FunctionalBackend:
    """Return the kernel with twice the step."""

    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        stepped, new = kernel.step(params, grads, state, hp)
        twice = {k: stepped[k] + (stepped[k] - params[k]) for k in params}
        return {k: v.astype(params[k].dtype) for k, v in twice.items()}, new

    return replace(kernel, step=step)


@pytest.mark.parametrize("name", LIMITED)
def test_wrong_kernel_with_the_same_limit_is_not(name: str) -> None:
    report = check(doubled(LIMITED[name]), clauses=["A-7", "A-6"], investigate=False)
    assert report.verdict is Verdict.NOT_CONFORMANT
    assert "A-7" in report.failed_clauses


@pytest.mark.parametrize(
    ("kernel", "case"),
    [
        (replace(BASE, limits=["no_missing_gradients"]), "S-2/missing-once"),
        (replace(BASE, limits=["fitting_gradients"]), "S-10/shape"),
        (replace(BASE, limits=["fixed_hyperparameters"]), "H-6/schedule"),
        (replace(BASE, limits=["positive_lr"]), "H-5/lr-zero"),
        (replace(BASE, limits=["positive_eps"]), "N-6/zero-over-zero"),
        (replace(BASE, hyperparameter_dtype="float32"), "A-4/beta1-near-one"),
    ],
)
def test_false_declaration_is_a_failure(kernel: FunctionalBackend, case: str) -> None:
    report = check(kernel, cases=[case], dtypes=["float32"], investigate=False)
    [result] = report.results
    assert result.status is Status.XPASS
    assert "declares that it does not offer" in result.message
    assert not report.conformant


@pytest.mark.parametrize(
    ("kernel", "case", "status"),
    [
        (replace(BASE, step=needing_all), "S-2/missing-once", Status.ERROR),
        (replace(BASE, step=broadcasting), "S-10/shape", Status.FAIL),
        (fixed(), "H-6/schedule", Status.FAIL),
        (changed("lr", refusing_zero("lr")), "H-5/lr-zero", Status.REFUSED),
        (changed("float32", in_float32), "A-4/beta1-near-one", Status.FAIL),
    ],
)
def test_limit_that_is_not_declared_is_no_excuse(
    kernel: FunctionalBackend, case: str, status: Status
) -> None:
    report = check(kernel, cases=[case], dtypes=["float32"], investigate=False)
    assert [each.status for each in report.results] == [status]


def test_marks_tell_refusal_crash_and_not_offered_apart() -> None:
    refusing = changed("refusing", refusing_zero("lr"))
    crashing = replace(BASE, step=needing_all)
    limited = LIMITED["positive lr"]
    each = [
        (refusing, "H-5/lr-zero"),
        (crashing, "S-2/missing-once"),
        (limited, "H-5/lr-zero"),
    ]
    found = [
        check(kernel, cases=[case], dtypes=["float32"], investigate=False).results[0].status
        for kernel, case in each
    ]
    assert found == [Status.REFUSED, Status.ERROR, Status.UNSUPPORTED]


def test_hyperparameters_are_rounded_to_the_nearest_in_the_domain() -> None:
    seen: list[Hyperparameters] = []

    def looked(hp: Hyperparameters) -> Hyperparameters:
        seen.append(hp)
        return in_float32(hp)

    kernel = changed("seen", looked, hyperparameter_dtype="float32")
    [found] = fuzz(kernel, dtypes=["float32"], examples=60)
    assert found.failure is None
    assert all(hp == in_float32(hp) for hp in seen)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "no missing gradients",
        "fitting gradients",
        "fixed hyperparameters",
        "positive lr",
        "positive eps",
    ],
)
@pytest.mark.parametrize("stateful", [False, True])
def test_fuzzer_keeps_to_the_limits(name: str, stateful: bool) -> None:
    [found] = fuzz(LIMITED[name], examples=20, stateful=stateful)
    assert found.failure is None


def test_unknown_limit_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"unknown limits \['slow'\]: choose among \['fitting"):
        replace(BASE, limits=["slow"])
    with pytest.raises(ValueError, match="unknown hyperparameter_dtype"):
        replace(BASE, hyperparameter_dtype="float16")
