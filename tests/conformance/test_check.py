"""`check`, its report, and faults of a backend."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import adamax_conformance
from adamax_conformance import ConformanceError, FunctionalBackend, Status, Verdict, check
from adamax_conformance.cases import CASES
from adamax_conformance.check import Subject
from adamax_conformance.spec.clauses import CLAUSES
from adamax_conformance.subject.backend import slots
from adamax_conformance.subjects.reference import backend as reference
from adamax_core import CANONICAL

BASE = reference()
EPS_OUTSIDE = CANONICAL._replace(infinity_norm=lambda u, g, b2, _eps: np.maximum(b2 * u, abs(g)))


def raising(*_args: Any, **_kwargs: Any) -> Any:
    raise RuntimeError("the kernel said no\nand then some")


def exiting(*_args: Any, **_kwargs: Any) -> Any:
    raise SystemExit(3)


def test_reference_is_conformant_and_the_totals_add_up() -> None:
    report = check("numpy", dtypes=["float32"])
    assert report.verdict is Verdict.PARTIAL
    assert not report.conformant
    assert sum(report.counts.values()) == len(report.results)
    assert report.counts[Status.PASS] + report.counts[Status.UNSUPPORTED] == len(report.results)
    assert report.elements == sum(result.elements for result in report.results) > 5000
    assert report.suspect is None
    report.raise_for_status()


def test_another_seed_gives_other_data_and_the_same_one_the_same() -> None:
    used = [
        [r.bound_used for r in check("numpy", clauses=["A-4"], seed=seed).results]
        for seed in (0, 0, 1)
    ]
    assert used[0] == used[1] != used[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clauses": ["A-99"]}, "unknown clause 'A-99': choose from A-1, A-2"),
        ({"dtypes": ["float8"]}, "unknown dtype 'float8': choose from float16"),
        ({"seed": -1}, "seed = -1 is negative"),
    ],
)
def test_unknown_selection_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check("numpy", **arguments)


@pytest.mark.parametrize("backend", [42, None, object()])
def test_object_that_is_not_a_backend_is_a_type_error(backend: Any) -> None:
    with pytest.raises(TypeError, match="is not a backend: it lacks name, dtypes"):
        check(backend)


def test_one_clause_and_one_dtype_may_be_given_as_text() -> None:
    assert len(check("numpy", clauses="A-3", dtypes="float32").results) == 1


def test_backend_is_not_conformant_if_nothing_ran() -> None:
    assert check("numpy", clauses=["A-10"]).verdict is Verdict.INCOMPLETE


def test_state_that_is_shown_and_then_hidden_is_an_error() -> None:
    # The smoke test looks twice in each dtype.
    shown = iter([True] * (2 * len(BASE.dtypes) + 1))
    hiding = replace(BASE, moments=lambda s: BASE.moments(s) if next(shown, False) else None)
    report = check(hiding, clauses=["A-4"], dtypes=["float32"])
    assert "returned None after reporting moments" in report.results[-1].message


def test_clause_whose_state_is_hidden_is_not_passed() -> None:
    blind = replace(BASE, moments=lambda _state: None)
    report = check(blind, clauses=["N-3"], dtypes=["float32"])
    assert report.verdict is Verdict.INCOMPLETE
    assert {r.message for r in report.results} == {"not offered: a state that is shown"}
    assert report.suspect is None


@pytest.mark.parametrize(
    ("clause", "part", "answer", "message"),
    [
        ("D-1", "vjp", None, "vjp raised TypeError"),
        ("D-1", "vjp", {}, "vjp raised KeyError"),
        ("D-2", "vjp", 3.0, "vjp raised TypeError"),
        ("D-3", "vjp", "x", "vjp raised ValueError"),
        ("A-4", "moments", {"w": (np.inf, 0, 0), "b": (0, 0, 0)}, "moments raised"),
    ],
)
def test_answers_of_every_form_end_in_the_report(
    clause: str, part: str, answer: Any, message: str
) -> None:
    features = () if part == "moments" else (part,)
    made = replace(BASE, features=features, **{part: lambda *_args: answer})  # type: ignore[arg-type]  # mypy mixes up the fields of a ** argument
    report = check(made, clauses=[clause], dtypes=["float32"])
    assert message in report.results[0].message


@pytest.mark.parametrize("body", [raising, exiting])
def test_error_inside_the_judge_is_an_error_of_the_case(body: Any) -> None:
    """An object that a backend returns may raise anywhere in the judge."""
    result = Subject(BASE).judge(replace(CASES[0], body=body), "float32")
    assert result.status is Status.ERROR
    assert result.message.startswith("cannot judge what the backend returned: ")


def test_error_of_the_judge_itself_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing outside the judge takes part in it."""
    monkeypatch.setattr("adamax_conformance.judging.judge.bounds", dict[str, int].__getitem__)
    report = check("numpy", clauses=["A-5"], dtypes=["float32"])
    assert {each.status for each in report.results} == {Status.UNJUDGED}
    assert report.results[0].message.startswith("the judge failed: TypeError: ")
    assert report.results[0].message.endswith(
        "please report this, with the command and the message"
    )
    assert report.verdict is Verdict.UNJUDGED
    assert not report.arithmetic
    assert str(report.arithmetic) == "arithmetic: the judge failed in A-5, judged in part"
    with pytest.raises(ConformanceError, match="the judge failed"):
        report.raise_for_status()
    wrong = replace(report.results[0], status=Status.FAIL)
    both = replace(report, results=(wrong, *report.results[1:]))
    assert both.verdict is Verdict.NOT_CONFORMANT


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda p, _s: p, "step raised"),
        (lambda _p, s: ({}, s), "step raised KeyError"),
        (lambda p, s: ({k: v[:1] for k, v in p.items()}, s), "came back as float64 (1,)"),
        (lambda p, s: ({k: v.astype(np.float32) for k, v in p.items()}, s), "came back as float32"),
    ],
)
def test_malformed_answers_are_the_backends_fault(
    answer: Callable[[Any, Any], Any], message: str
) -> None:
    one = ("float64",)
    backend = replace(BASE, step=lambda p, _g, s, _hp: answer(dict(p), s), dtypes=one)
    assert message in check(backend, clauses=["A-4"], dtypes=one).broken


@pytest.mark.parametrize(
    ("moments", "message"),
    [
        ({}, "moments has the keys [], the parameters have ['w']"),
        ({"w": (0.5, np.zeros(2), np.zeros(2))}, "step 0.5 is not a whole number"),
        ({"w": (1, np.zeros(3), np.zeros(2))}, r"exp_avg has shape (3,), the parameter (2,)"),
        ({"w": (1, np.zeros(2, int), np.zeros(2))}, "exp_avg has dtype int64, the parameter"),
        ({"w": (1, np.zeros(2, complex), np.zeros(2))}, "exp_avg has dtype complex128"),
    ],
)
def test_moments_are_checked(moments: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared whole below
        slots({"w": np.zeros(2)}, moments)
    assert message in str(caught.value)


def test_error_in_one_case_leaves_the_others() -> None:
    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        return raising() if hp.maximize else BASE.step(p, g, s, hp)

    report = check(replace(BASE, step=step), clauses=["A-1", "A-4"], dtypes=["float32"])
    expected = {"A-1": Status.ERROR, "A-4": Status.PASS}
    assert all(result.status is expected[result.clause] for result in report.results)
    here = raising.__code__.co_firstlineno + 1
    message = f"step raised RuntimeError: the kernel said no (test_check.py:{here})"
    assert report.results[0].message == message
    assert report.verdict is Verdict.NOT_CONFORMANT


def test_required_clause_that_did_not_run_is_incomplete_not_conformant() -> None:
    report = check(replace(BASE, dtypes=("float64",)), clauses=["A-4", "A-5"], dtypes=["float32"])
    assert report.missing == ("A-4", "A-5")
    assert report.verdict is Verdict.INCOMPLETE
    assert not report.conformant
    with pytest.raises(ConformanceError, match="did not run: A-4, A-5"):
        report.raise_for_status()


def test_expected_deviation_is_counted_apart_and_has_to_show() -> None:
    wrong = replace(BASE, step=lambda p, _g, s, _hp: (dict(p), s))
    known = {"A-4": "idle by design"}
    report = check(replace(wrong, deviations=known), clauses=["A-4"], dtypes=["float32"])
    assert report.verdict is Verdict.DEVIATES
    assert not report.conformant
    assert {r.status for r in report.results} == {Status.XFAIL}
    assert report.results[0].message.startswith("idle by design (step 1, ")

    report = check(replace(BASE, deviations=known), clauses=["A-4"], dtypes=["float32"])
    assert report.verdict is Verdict.NOT_CONFORMANT
    assert {r.status for r in report.results} == {Status.XPASS}
    assert "passed, but is known to deviate: idle by design" in report.results[0].message


def test_deviation_of_an_unknown_case_is_a_broken_adapter() -> None:
    report = check(replace(BASE, deviations={"A-4/gone": "x"}), clauses=["A-4"])
    assert report.broken == "deviations of unknown cases: A-4/gone"


class Documented:
    """The reference with a property of its own for its known deviations."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self.read = read

    def __getattr__(self, name: str) -> Any:
        return getattr(BASE, name)

    @property
    def deviations(self) -> Any:
        return self.read()


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (raising, "deviations raised RuntimeError: the kernel said no (test_check.py:"),
        (lambda: None, "deviations raised TypeError: 'NoneType' object is not a mapping"),
        (lambda: {1: "x"}, "deviations raised TypeError: ids and reasons must be text, but one"),
        (lambda: {"A-5": None}, "deviations raised TypeError: ids and reasons must be text, but"),
    ],
)
def test_deviations_that_cannot_be_read_are_a_broken_adapter(
    read: Callable[[], Any], message: str
) -> None:
    report = check(Documented(read), clauses=["A-4"])
    assert report.verdict is Verdict.BROKEN
    assert report.broken.startswith(message)


def test_backend_without_a_known_dtype_is_broken() -> None:
    assert "include none of float16" in check(replace(BASE, dtypes=())).broken
    with pytest.raises(ValueError, match=r"unknown dtypes \['float8'\]: choose among"):
        replace(BASE, dtypes=("float32", "float8"))


def test_unknown_feature_is_refused_when_the_backend_is_made() -> None:
    with pytest.raises(ValueError, match=r"unknown features \['maximise'\]: choose among"):
        replace(BASE, features=("maximise",))


def test_missing_operation_says_that_it_is_missing() -> None:
    with pytest.raises(ValueError, match="the feature vjp needs the function vjp"):
        FunctionalBackend("bare", init=BASE.init, step=BASE.step, features=("vjp",))


def test_ten_lines_make_a_backend_without_visible_state() -> None:
    """It is judged along its trajectory: the same verdict, from fewer quantities."""
    blind = replace(BASE, moments=lambda _state: None)
    report = check(blind, clauses=["A-7", "A-8", "S-2", "S-3", "N-4"], dtypes=["float32"])
    assert not report.failed_clauses
    lagging = replace(blind, step=lambda p, _g, s, _hp: (dict(p), s))
    assert check(lagging, clauses=["A-4"], dtypes=["float32"]).failed_clauses == ("A-4",)


def test_failure_names_step_element_quantity_and_interval() -> None:
    report = check(
        reference(EPS_OUTSIDE, "eps outside"),
        clauses=["A-5"],
        dtypes=["float32"],
    )
    message = report.results[0].message
    assert message.startswith("step 1, ")
    for part in ("exp_inf: got ", "allowed [", "], exactly ", "times the bound"):
        assert part in message
    assert report.suspect == "A-5"
    assert [report.as_dict()[k] for k in ("conformant", "suspect")] == [False, "A-5"]


def test_public_names() -> None:
    assert set(adamax_conformance.__all__) >= {"check", "FunctionalBackend", "Report", "Backend"}
    assert len({clause.id for clause in CLAUSES}) == len(CLAUSES)


def test_changed_arguments_do_not_change_the_expected_result() -> None:
    def emptied(_wrt: str, steps: Any) -> Any:
        for cotangent in steps.cotangents.values():
            cotangent[...] = 0
        return BASE.vjp(_wrt, steps)

    def forgetful(params: Any, hp: Any, saved: Any) -> Any:
        for slot in saved.values():
            slot["exp_avg"][...] = 0
        return BASE.load(params, hp, saved)

    report = check(replace(BASE, vjp=emptied, load=forgetful), clauses=["D-1", "S-3"])
    assert report.failed_clauses == ("S-3", "D-1")
