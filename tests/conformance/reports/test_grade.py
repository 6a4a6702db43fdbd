"""Grades and profiles: each grade alone rejects a wrong backend, and the profile decides."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import adamax_core
from adamax_conformance import ConformanceError, Report, Result, Status, Verdict, check
from adamax_conformance.judging.finding import Divergence
from adamax_conformance.reports.grade import Grade, grade_of
from adamax_conformance.reports.report import PROFILES
from adamax_conformance.reports.text import conclusion, outcome
from adamax_conformance.spec.clauses import CLAUSES
from adamax_conformance.subjects.reference import backend
from adamax_core import State

BASE = backend()
CLAUSE = {"arithmetic": "N-1", "interface": "H-1", "state": "S-8", "derivatives": "D-2"}
"""A clause of each grade."""


def unvalidated(params: Any, _hp: Any, **_more: Any) -> Any:
    return adamax_core.init(dict(params))


def lenient(params: Any, grads: Any, state: Any, hp: Any) -> Any:
    """Do nothing where hyperparameters are bad, and refuse nothing."""
    try:
        hp.validate()
    except ValueError:
        return dict(params), state
    return BASE.step(params, grads, state, hp)


def loads_adam(params: Any, hp: Any, saved: Any) -> Any:
    slots = {
        name: {
            "step": 0,
            "exp_avg": slot["exp_avg"],
            "exp_inf": slot.get("exp_inf", slot["exp_avg"]),
        }
        for name, slot in saved.items()
    }
    return BASE.load(params, hp, slots)


def stalls(params: Any, grads: Any, state: Any, hp: Any) -> tuple[Any, State]:
    """Move parameters by a zero gradient."""
    stepped, new = BASE.step(params, grads, state, hp)
    return {k: p + p.dtype.type(1) if not grads[k].any() else p for k, p in stepped.items()}, new


WRONG = {
    "arithmetic": replace(BASE, step=stalls),
    "interface": replace(BASE, init=unvalidated, step=lenient),
    "state": replace(BASE, load=loads_adam),
    "derivatives": replace(BASE, vjp=lambda _wrt, steps: BASE.vjp("params", steps)),
}


def judged(subject: Any, **more: Any) -> Report:
    chosen: dict[str, Any] = {"clauses": list(CLAUSE.values()), "dtypes": ["float32"]}
    return check(subject, investigate=False, **(chosen | more))


@pytest.mark.parametrize("name", CLAUSE)
def test_each_grade_alone_rejects_a_backend(name: str) -> None:
    report = judged(WRONG[name])
    failed = {grade.name for grade in report.grades if grade.failed_clauses}
    assert failed == {name}
    assert report.failed_clauses == (CLAUSE[name],)
    assert report.verdict is Verdict.NOT_CONFORMANT


@pytest.mark.parametrize("name", CLAUSE)
@pytest.mark.parametrize("profile", PROFILES)
def test_the_profile_decides_which_grades_count(name: str, profile: str) -> None:
    report = judged(WRONG[name], profile=profile)
    counts = name in PROFILES[profile]
    assert report.outcome is (Verdict.NOT_CONFORMANT if counts else Verdict.PARTIAL)
    assert report.suspect == (CLAUSE[name] if counts else None)
    if counts:
        with pytest.raises(ConformanceError, match="not conformant"):
            report.raise_for_status()
    else:
        report.raise_for_status()


def test_unknown_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown profile 'gpu': choose from optimizer, kernel"):
        check("numpy", profile="gpu")


def test_every_clause_counts_for_one_grade() -> None:
    graded = {clause.id: grade_of(clause.id) for clause in CLAUSES}
    assert {c for c, name in graded.items() if name == "interface"} == {
        "H-1", "H-2", "H-3", "H-4", "S-10",
    }  # fmt: skip
    assert {c for c, name in graded.items() if name == "state"} == {"S-6", "S-7", "S-8", "S-11"}
    assert {c[0] for c, name in graded.items() if name == "derivatives"} == {"D"}
    assert {c[0] for c, name in graded.items() if name == "arithmetic"} == {"A", "S", "N", "H"}


def test_kernel_without_validation_is_told_that_its_arithmetic_is_right() -> None:
    kernel = replace(BASE, name="mine", init=unvalidated, step=lenient, features=())
    report = check(kernel, dtypes=["float32"], profile="kernel")
    assert report.arithmetic
    assert not report.interface
    assert report.outcome is Verdict.PARTIAL
    assert report.verdict is Verdict.NOT_CONFORMANT
    assert [str(grade) for grade in report.grades] == [
        "arithmetic: conformant in float32",
        "interface: does not refuse bad hyperparameters (H-1 to H-3)",
        "state: not judged (loading and a state dtype not offered)",
    ]
    document = report.as_dict()
    assert document["grades"]["arithmetic"]["conformant"] is True
    assert document["outcome"] == "passes in part"


def results(*rows: tuple[str, str, Status], **more: Any) -> tuple[Result, ...]:
    return tuple(Result(f"{c}/x", c, dtype, status, **more) for c, dtype, status in rows)


PASS, FAIL, ABSENT = Status.PASS, Status.FAIL, Status.UNSUPPORTED


@pytest.mark.parametrize(
    ("name", "rows", "required", "sentence", "conformant"),
    [
        ("arithmetic", [("A-5", "float16", PASS), ("A-5", "float32", PASS)], ["A-5"],
         "conformant in float16, float32", True),
        ("arithmetic", [("N-1", "float16", FAIL), ("N-1", "float32", PASS)], ["N-1"],
         "conformant in float32, not in float16 (N-1)", False),
        ("arithmetic", [("A-5", "float32", FAIL), ("A-6", "float32", Status.XFAIL)], [],
         "not conformant (A-5, A-6)", False),
        ("arithmetic", [("A-5", "float32", PASS), ("N-3", "float32", ABSENT)], ["A-5", "N-3"],
         "conformant in float32, N-3 not judged", False),
        ("arithmetic", [("A-5", "float32", PASS)], ["A-5", "N-3"],
         "conformant in float32, judged in part", False),
        ("interface", [(clause, "float32", FAIL) for clause in ("H-1", "H-2", "H-3")], [],
         "does not refuse bad hyperparameters (H-1 to H-3)", False),
        ("interface", [("H-4", "float32", FAIL), ("S-10", "float32", FAIL)], [],
         "does not refuse bad hyperparameters (H-4), takes gradients that do not fit (S-10)",
         False),
        ("arithmetic", [("A-5", "float16", Status.BLOCKED), ("A-5", "float32", PASS)], ["A-5"],
         "conformant in float32, blocked in float16", False),
        ("interface", [("H-1", "float32", PASS)], ["H-1"], "conformant", True),
        ("state", [("S-7", "float32", ABSENT), ("S-8", "float32", ABSENT)], [],
         "not judged (loading not offered)", False),
        ("state", [("S-6", "float32", ABSENT), ("S-8", "float32", PASS)], [],
         "a state dtype not offered", True),
        ("interface", [("H-1", "float32", ABSENT)], ["H-1"], "not judged", False),
        ("interface", [("H-1", "float32", Status.SKIPPED)], [], "not judged", False),
        ("interface", [("H-1", "float32", Status.BLOCKED)], ["H-1"],
         "blocked in float32, H-1 not judged", False),
        ("state", [("S-6", "float32", FAIL)], [],
         "does not keep the state in the dtype asked for (S-6)", False),
        ("state", [("S-7", "float32", FAIL), ("S-8", "float32", Status.ERROR)], [],
         "loses count in long runs (S-7), loads the state of other optimizers (S-8)", False),
        ("state", [("S-7", "float32", Status.ERROR)], [], "not conformant (S-7)", False),
        ("arithmetic", [("A-5", "float32", PASS), ("N-3", "float32", Status.UNJUDGED)], [],
         "conformant in float32, the judge failed in N-3", False),
        ("derivatives", [("D-1", "float32", FAIL), ("D-4", "float32", FAIL)], [],
         "not conformant (D-1, D-4)", False),
        ("derivatives", [("D-1", "float32", PASS)], [], "conformant", True),
    ],
)  # fmt: skip
def test_sentence_of_a_grade(
    name: str, rows: Any, required: list[str], sentence: str, conformant: bool
) -> None:
    grade = Grade(name, results(*rows), tuple(required))
    assert str(grade) == f"{name}: {sentence}"
    assert grade.conformant is bool(grade) is conformant


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("A-5", "float32", PASS)], "conformant"),
        ([("N-1", "float32", FAIL)], "conformant but for N-1"),
        ([("S-3", "float32", FAIL), ("N-1", "float32", FAIL)], "conformant but for S-3 and N-1"),
        ([(c, "float32", FAIL) for c in ("S-2", "S-3", "N-1")],
         "conformant but for S-2, S-3 and N-1"),
        ([("N-3", "float32", Status.XFAIL)], "deviates as documented"),
    ],
)  # fmt: skip
def test_outcome_in_a_dialect_says_what_else_is_wrong(rows: Any, words: str) -> None:
    report = Report("keras", results(*rows), (), phrase="eps outside the maximum")
    assert outcome(report) == f"Adamax with eps outside the maximum; otherwise {words}"


def test_right_kernel_in_a_dialect() -> None:
    rows = [("A-5", "float32", PASS), ("H-1", "float32", FAIL)]
    report = Report("keras", results(*rows), (), phrase="no eps", profile="kernel")
    assert outcome(report) == "Adamax with no eps; otherwise conformant as a kernel"
    assert outcome(replace(report, profile="optimizer")).endswith("conformant but for H-1")


# The clause to look at first


def suspect(*found: tuple[str, Status, str], **more: Any) -> str | None:
    def divergence(quantity: str) -> Divergence | None:
        return Divergence(1, "w", (), quantity, "2", "1", "1", 9.0) if quantity else None

    made = [
        Result(f"{c}/x", c, "float32", status, divergence=divergence(quantity))
        for c, status, quantity in found
    ]
    return Report("mine", tuple(made), (), **more).suspect


@pytest.mark.parametrize(
    ("found", "deviating", "first"),
    [
        ([("A-5", FAIL, "exp_inf"), ("A-6", FAIL, "param")], ("A-6",), "A-6"),
        ([("A-5", FAIL, "exp_inf"), ("N-1", FAIL, "param")], ("A-6", "N-1"), "N-1"),
        ([("A-7", FAIL, "param"), ("A-6", FAIL, "param"), ("S-2", FAIL, "param")], (), "A-7"),
        ([("A-4", Status.ERROR, ""), ("N-1", FAIL, "param")], (), "N-1"),
        ([("N-1", Status.ERROR, ""), ("A-4", Status.ERROR, "")], (), "A-4"),
        ([("S-2", FAIL, "step"), ("S-3", FAIL, "step")], (), "S-3"),
        ([("S-9", FAIL, "step"), ("A-3", FAIL, "step")], (), "A-3"),
        ([("S-9", FAIL, "step"), ("S-7", FAIL, "step")], (), "S-7"),
        ([("S-2", FAIL, "step"), ("A-5", FAIL, "exp_inf")], (), "A-5"),
        ([("S-2", FAIL, "step")], (), "S-2"),
        ([("A-5", PASS, "")], ("A-5",), None),
    ],
)
def test_first_clause_follows_the_diagnosis_then_the_rule(
    found: Any, deviating: tuple[str, ...], first: str | None
) -> None:
    assert suspect(*found, deviating=deviating) == first


def test_a_loaded_state_that_is_wrong_before_the_first_step_is_a_fault_of_loading() -> None:
    def swapped(params: Any, hp: Any, saved: Any) -> Any:
        slots = {
            name: {**slot, "exp_avg": slot["exp_inf"], "exp_inf": slot["exp_avg"]}
            for name, slot in saved.items()
        }
        return BASE.load(params, hp, slots)

    made = replace(BASE, load=swapped)
    cases = [f"{each}[float32]" for each in ("A-5/late", "S-7/boundaries")]
    assert check(made, cases=cases, investigate=False).suspect == "S-7"
    assert check(made, cases=cases[:1], investigate=False).suspect == "A-5"
    # The steps that follow have wrong last places, without a part of the state that is named.
    cases = ["S-7/boundaries[float32]", "N-3/correction-alone[float32]"]
    report = check(made, cases=cases, investigate=False)
    assert (report.failed_clauses, report.suspect) == (("S-7", "N-3"), "S-7")


def old_values(params: Any, grads: Any, state: Any, hp: Any) -> Any:
    """Take a step with the hyperparameters of the step before."""
    before, inner = state
    return (stepped := BASE.step(params, grads, inner, before or hp))[0], (hp, stepped[1])


def test_a_step_that_is_wrong_after_a_change_is_a_fault_of_the_values_in_force() -> None:
    made = replace(
        BASE,
        init=lambda params, hp, **more: (None, BASE.init(params, hp, **more)),
        step=old_values,
        moments=lambda state: BASE.moments(state[1]),
        features=(),
    )
    report = check(made, clauses=["N-2", "N-3", "H-5", "H-6"], dtypes=["float32"])
    assert report.failed_clauses == ("N-2", "N-3", "H-5", "H-6")
    assert report.suspect == "H-6"
    changed = [each.divergence.changed for each in report.results if each.divergence]
    assert changed
    assert all(changed)


def test_the_last_places_are_looked_at_last() -> None:
    found = [("N-3", FAIL, "param"), ("N-8", FAIL, "param"), ("H-1", FAIL, "")]
    assert suspect(*found) == "N-8"
    assert suspect(found[0], found[2]) == "N-3"


def counted_in_float16(params: Any, grads: Any, state: Any, hp: Any) -> Any:
    short = {k: int(np.float16(t + 1)) - 1 for k, t in state.step.items()}
    return BASE.step(params, grads, state._replace(step=short), hp)


def test_a_count_that_sticks_is_a_fault_of_the_count_in_late_steps_too() -> None:
    made = replace(BASE, step=counted_in_float16)
    cases = ("A-6/late", "S-7/boundaries", "N-3/correction-alone")
    report = check(made, cases=[f"{each}[float32]" for each in cases], investigate=False)
    assert report.failed_clauses == ("A-6", "S-7", "N-3")
    assert report.suspect == "S-7"


def test_where_the_state_is_hidden_only_the_diagnosis_names_a_clause() -> None:
    found = [("A-5", FAIL, "param"), ("A-6", FAIL, "param")]
    assert suspect(*found, visible=False) is None
    assert suspect(*found, visible=False, deviating=("A-6",)) == "A-6"


OFFER = "to judge by this dialect: "
HIDDEN = "add `moments` to the backend, and the judge names the wrong line"


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"deviating": ("A-6",)}, "look at A-6 first: no bias correction"),
        ({}, "look at A-5 first; diagnosis: no bias correction"),
        ({"deviating": ("A-6",), "found": "bias-correction=none"},
         f"look at A-6 first: no bias correction; {OFFER}`dialect='found'`"),
        ({"found": "bias-correction=none", "named": "mine"},
         f"look at A-5 first; diagnosis: no bias correction; {OFFER}`--dialect found`"),
        ({"visible": False}, f"{HIDDEN}; diagnosis: no bias correction"),
    ],
)  # fmt: skip
def test_last_line(more: dict[str, Any], line: str) -> None:
    rows = [("A-5", "float32", FAIL), ("A-6", "float32", FAIL)]
    report = Report("mine", results(*rows), (), diagnosis="no bias correction", **more)
    assert conclusion(report) == line
