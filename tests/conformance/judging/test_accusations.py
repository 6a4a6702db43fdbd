"""A fault counts against the clause that it is about, and against no other."""

from dataclasses import replace
from typing import Any

import numpy as np

from adamax_conformance.check import check
from adamax_conformance.reports.result import BAD
from adamax_conformance.subjects.reference import backend

BASE = replace(backend(), features=("load",))


def bad(subject: Any, **chosen: Any) -> set[str]:
    report = check(subject, investigate=False, **chosen)
    return {result.case for result in report.results if result.status in BAD}


def test_a_state_that_is_wider_from_the_start_keeps_its_dtype() -> None:
    def init(params: Any, hp: Any) -> Any:
        return BASE.init(params, hp, state_dtype="float32")

    assert bad(replace(BASE, init=init), clauses=["S-5"], dtypes=["float16", "bfloat16"]) == set()


def test_a_state_that_is_wider_after_the_first_step_does_not() -> None:
    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        if not any(state.step.values()):
            state = BASE.init(params, hp, state_dtype="float32")
        return BASE.step(params, grads, state, hp)

    promoting = replace(BASE, step=step, features=())
    assert "S-5/dtypes-stay" in bad(promoting, clauses=["S-5"], dtypes=["float16"])


def test_one_count_for_all_is_no_error_of_the_bias_correction() -> None:
    def load(params: Any, hp: Any, saved: Any) -> Any:
        count = max(slot["step"] for slot in saved.values())
        return BASE.load(params, hp, {k: {**slot, "step": count} for k, slot in saved.items()})

    shared = replace(BASE, load=load)
    assert bad(shared, clauses=["N-3", "S-3"], dtypes=["float32"]) == {"S-3/loaded-counts"}


def test_what_takes_no_empty_array_fails_in_sizes_alone() -> None:
    def init(params: Any, hp: Any) -> Any:
        if not all(param.size for param in params.values()):
            raise ValueError("empty")
        return BASE.init(params, hp)

    raising = replace(BASE, init=init, features=())
    report = check(raising, clauses=["S-1", "S-9"], dtypes=["float32"], investigate=False)
    assert report.failed_clauses == ("S-9",)
    assert report.suspect == "S-9"


def keeping(moment: Any, stepped: float = 0.0) -> Any:
    """Return a backend that takes right steps, but keeps `moment` of each first moment."""

    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        params, state = BASE.step(params, grads, state, hp)
        params = {k: p + p.dtype.type(stepped) for k, p in params.items()}
        return params, state._replace(exp_avg={k: moment(m) for k, m in state.exp_avg.items()})

    return replace(BASE, step=step, features=())


def narrow(moment: Any) -> Any:
    return moment.astype(np.float16).astype(moment.dtype)


def quantities(report: Any, clause: str) -> set[str]:
    found = (each.divergence for each in report.results if each.clause == clause)
    return {each.quantity for each in found if each}


def test_a_moment_that_is_stored_wrongly_is_no_error_of_the_step_that_is_right() -> None:
    chosen: Any = {"clauses": ["A-4", "A-6", "A-7"], "dtypes": ["float32"], "investigate": False}
    report = check(keeping(narrow), **chosen)
    assert report.suspect == "A-4"
    assert all(quantities(report, clause) == {"exp_avg"} for clause in chosen["clauses"])
    # A step that is wrong by either moment is an error of its own.
    assert "param" in quantities(check(keeping(narrow, stepped=1.0), **chosen), "A-7")


def test_a_moment_that_is_flushed_is_told_of_storing_and_not_of_the_step() -> None:
    def flushed(moment: Any) -> Any:
        return np.where(abs(moment) < 2**-8, 0, moment)  # as if float16 had fewer exponents

    cases = ["N-1/small-gradients", "A-6/corrects-the-first-moment"]
    report = check(keeping(flushed), dtypes=["float16"], cases=cases, investigate=False)
    assert (report.failed_clauses, report.suspect) == (("A-6", "N-1"), "N-1")
