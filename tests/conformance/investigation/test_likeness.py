"""A kernel that has the fault of a wrong variant is told so, and no other kernel is."""

from dataclasses import replace
from functools import cache
from io import StringIO
from typing import Any

import numpy as np
import pytest

from adamax_conformance import Report, check
from adamax_conformance.cases import CASES
from adamax_conformance.cases.case import Data
from adamax_conformance.dialects import Dialect
from adamax_conformance.investigation import investigate, likeness
from adamax_conformance.investigation.likeness import matching, right_under
from adamax_conformance.judging.judge import follow
from adamax_conformance.reports import FORMATS, write
from adamax_conformance.reports.failure import describe
from adamax_conformance.spec.alteration import UNALTERED
from adamax_conformance.subject.watched import Watched
from adamax_conformance.subjects.reference import backend as reference
from adamax_conformance.variants import WRONG, Wrong
from wrong_kernels import kernel

pytestmark = pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
CLAUSES = ["A-4", "A-5", "A-6", "A-7", "S-9"]


@cache
def report_on(*faults: str, hidden: bool = False) -> Report:
    return check(kernel(*faults, hidden=hidden), clauses=CLAUSES)


NAMED = {
    "no magnitude": ("norm-without-magnitude", "A-5"),
    "other beta": ("correction-of-the-other-beta", "A-6"),
    "nesterov": ("nesterov", "A-6"),
    "tail forgotten": ("tail-forgotten", "S-9"),
}


@pytest.mark.parametrize("fault", NAMED)
def test_a_fault_that_is_known_is_named(fault: str) -> None:
    name, clause = NAMED[fault]
    report = report_on(fault)
    assert report.diagnosis.startswith(f"computes what `{name}` does: ")
    assert report.suspect == clause
    bad = next(each for each in report.results if each.clause == clause and each.minimal)
    facts = {fact.name: fact.lines for fact in describe(report, bad)}
    assert facts["diagnosis"] == (report.diagnosis,)


@pytest.mark.parametrize("hidden", [False, True])
def test_a_result_that_changes_when_the_run_is_repeated_is_told(hidden: bool) -> None:
    base, left = reference(), [0.0]

    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        stepped, after = base.step(params, grads, state, hp)
        left[0] += 1  # as what is left in a buffer by the runs before
        return {k: (p + left[0]).astype(p.dtype) for k, p in stepped.items()}, after

    moments = (lambda _: None) if hidden else base.moments
    made = replace(base, step=step, moments=moments, features=())
    report = check(made, clauses=["A-5", "A-7"], dtypes=["float32"])
    assert report.diagnosis.startswith("the same run gives another result when it is repeated")
    assert not any(each.minimal for each in report.results)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_each_report_shows_the_name(name: str) -> None:
    stream = StringIO()
    write([report_on("no magnitude")], name, stream)
    assert "norm-without-magnitude" in stream.getvalue()
    assert "negative gradients do not count" in stream.getvalue()


@pytest.mark.parametrize("fault", ["no magnitude", "other beta", "nesterov"])
def test_a_fault_of_the_rule_is_named_where_the_state_is_hidden(fault: str) -> None:
    report = report_on(fault, hidden=True)
    assert f"`{NAMED[fault][0]}`" in report.diagnosis


def test_two_faults_of_the_rule_are_named_together() -> None:
    report = report_on("no magnitude", "other beta")
    assert report.diagnosis.startswith(
        "computes what `norm-without-magnitude` and `correction-of-the-other-beta` do together: "
    )
    assert report.suspect == "A-5"
    shown = [each.message for each in report.results if each.minimal]
    assert shown
    ids = "`norm-without-magnitude` and `correction-of-the-other-beta`"
    assert all(each.endswith(f"; as with the rule of {ids}") for each in shown)


def test_a_second_fault_that_the_first_does_not_explain_is_told() -> None:
    common = reference(Dialect("outside"), "keras")

    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        stepped, new = common.step(params, grads, state, hp)
        return {k: p if p.size != 13 else params[k] for k, p in stepped.items()}, new

    made = replace(common, step=step)
    report = check(made, clauses=["A-5", "S-9"], dtypes=["float32"])
    assert report.diagnosis.startswith("eps outside the maximum")
    assert report.diagnosis.endswith("; that does not explain S-9")


def test_a_fault_of_the_rule_explains_the_failures_that_it_causes() -> None:
    report = report_on("no magnitude")
    shown = [each for each in report.results if each.minimal]
    assert {each.clause for each in shown} == {"A-5", "A-6", "S-9"}
    for each in shown:
        assert each.message.endswith("; as with the rule of `norm-without-magnitude`"), each


def test_a_dialect_explains_the_failures_that_it_causes() -> None:
    report = check(
        reference(Dialect("outside"), "keras"), clauses=["A-5", "A-7"], dtypes=["float32"]
    )
    assert report.diagnosis.startswith("eps outside the maximum")
    shown = [each.message for each in report.results if each.minimal]
    assert shown
    assert all(each.endswith("; as with eps outside the maximum") for each in shown)


# The smallest run of the first has one step only; others have two faults, or one of another size.
@pytest.mark.parametrize(
    "faults",
    [["no magnitude at first"], ["no magnitude", "second eps"], ["second eps"],
     ["tail not stored"]],
)  # fmt: skip
def test_a_fault_that_only_resembles_a_variant_is_not_named(faults: list[str]) -> None:
    report = report_on(*faults)
    assert report.failed_clauses
    assert "computes what" not in report.diagnosis
    assert not any("as with" in each.message for each in report.results)


def test_what_a_dialect_does_not_explain_is_wrong_by_it() -> None:
    keras = reference(Dialect("outside"), "keras")

    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        common = dict.fromkeys(params, max(state.step.values()))
        return keras.step(params, grads, state._replace(step=common), hp)

    case = next(each for each in CASES if each.id == "S-3/late-first-gradient")
    assert case.trial is not None
    trial = case.trial(Data("float32", 0, case.id))
    assert right_under(Watched(keras), trial, Dialect("outside"))
    assert not right_under(Watched(replace(keras, step=step)), trial, Dialect("outside"))


def test_one_element_and_one_step_alone_would_accuse_falsely() -> None:
    made = kernel("no magnitude at first")
    report = check(made, clauses=["A-5"])
    minimal = next(each.minimal for each in report.results if each.minimal)
    assert minimal is not None
    shown = list(follow(Watched(made), minimal.run))
    fitting = [v.id for v in WRONG if likeness._fits(Watched(made), minimal, shown, v)[0]]
    assert "norm-without-magnitude" in fitting


def test_variants_that_cannot_be_told_apart_are_not_named() -> None:
    variant = next(each for each in WRONG if each.id == "nesterov")
    trial = check(variant.backend, cases=["A-6/defaults[float32]"]).results[0].minimal
    assert trial is not None
    watched = Watched(variant.backend)
    assert matching(watched, [trial], [variant]) is variant
    assert matching(watched, [trial], [variant, variant]) is None
    assert matching(watched, [trial], []) is None


def test_the_last_places_of_the_correction_are_not_compared() -> None:
    variant = next(each for each in WRONG if each.id == "printed-correction")
    trial = check(variant.backend, cases=["N-3/last-places[float32]"]).results[0].minimal
    assert trial is not None
    assert trial.accurate_correction
    watched = Watched(variant.backend)
    assert matching(watched, [trial], [variant]) is None
    assert matching(watched, [replace(trial, accurate_correction=False)], [variant]) is variant


def test_the_search_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "STEPS", 20)
    report = check(kernel("nesterov"), clauses=CLAUSES)
    assert "computes what" not in report.diagnosis


@pytest.mark.parametrize(
    ("made", "options"),
    [
        (kernel(), {}),
        # Each deviation has a name, or the judge goes by another rule.
        (reference(Dialect("outside"), "keras"), {}),
        (reference(Dialect("outside"), "keras"), {"dialect": "eps=floor"}),
    ],
)
def test_nothing_is_compared_where_nothing_is_to_be_named(
    made: Any, options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compared(*_arguments: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(investigate, "matching", compared)
    check(made, clauses=CLAUSES, dtypes=["float32"], **options)


ALTERED = [each for each in WRONG if each.alteration is not None]


@pytest.mark.parametrize("variant", ALTERED, ids=lambda each: each.id)
def test_a_variant_is_right_by_its_own_rule_and_wrong_by_the_canonical_one(variant: Wrong) -> None:
    assert variant.alteration is not None
    watched = Watched(variant.backend)
    trials = [
        case.trial(Data("float32", 0, case.id))
        for case in CASES
        if case.clause == variant.clause and case.trial and "float32" in case.dtypes
        and not case.features - watched.features
    ]  # fmt: skip
    wrong = [trial for trial in trials if not right_under(watched, trial, UNALTERED)]
    assert wrong
    with np.errstate(all="ignore"):
        assert all(right_under(watched, trial, variant.alteration) for trial in wrong)
