"""Judging by a dialect: each alternative is accepted by itself and rejected by its neighbours."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from gmpy2 import mpq

from adamax_conformance import FunctionalBackend, Report, Status, Verdict, check
from adamax_conformance.cases.derivatives import tangents
from adamax_conformance.dialects import AXES, Dialect
from adamax_conformance.dialects.axes import INITIAL_NORMS
from adamax_conformance.dialects.dialect import FIELDS
from adamax_conformance.reports.expectations import Expectation, Expectations
from adamax_conformance.reports.text import outcome
from adamax_conformance.subject.backend import Moments
from adamax_conformance.subjects.reference import backend
from adamax_conformance.variants.variant import each_alone
from adamax_core import CANONICAL, Hyperparameters

BASE = backend()
CASES = {
    "eps": ("A-5/eps-inside-the-maximum[float32]", "A-6/corrects-the-first-moment[float32]"),
    "correction": ("A-6/corrects-the-first-moment[float32]",),
    "start": (
        "S-1/zero[float32]",
        "A-5/eps-inside-the-maximum[float32]",
        "A-5/defaults[float32]",
        "A-4/defaults[float32]",
    ),
    "sign": ("A-1/maximize[float32]", "A-1/ascends[float32]"),
    "decay": (
        "A-2/coupled[float32]",
        "A-2/step[float32]",
        "S-2/missing-with-decay[float32]",
        "A-2/after-the-sign[float32]",
    ),
    "decoupled": ("A-8/decoupled[float32]", "A-8/with-maximize[float32]"),
    "complex": ("A-9/pairs-of-reals[complex64]", "A-9/special-values[complex64]"),
}
"""Cases that show the alternatives of an axis."""


def dialect_of(field: str, name: str) -> Dialect:
    """Return a dialect with this alternative; a norm that starts at eps shows if eps is outside."""
    return Dialect(**({"eps": "outside"} if field == "start" else {}) | {field: name})


@cache
def made(field: str, name: str) -> FunctionalBackend:
    """Return a backend that computes one alternative."""
    if field == "complex":
        return replace(BASE, name="made", step=_complex(Dialect(complex=name)))
    return backend(dialect_of(field, name), "made")


def _complex(dialect: Dialect) -> Any:
    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        def rule_of(name: str) -> Any:
            return dialect if p[name].dtype.kind == "c" else CANONICAL

        return each_alone(p, g, s, hp, rule_of)

    return step


def judged(subject: Any, dialect: Dialect | str, **more: Any) -> Report:
    return check(subject, dialect=dialect, investigate=False, **more)


def bad(report: Report) -> list[str]:
    """Return the ids and messages of what does not pass."""
    fine = (Status.PASS, Status.UNSUPPORTED)
    return [f"{r.id}: {r.message}" for r in report.results if r.status not in fine]


EVERY = [(field, name) for field, axis in FIELDS.items() for name in axis.alternatives]


@pytest.mark.parametrize(("field", "name"), EVERY)
def test_alternative_is_accepted_by_itself_and_rejected_by_its_neighbours(
    field: str, name: str
) -> None:
    for other in FIELDS[field].alternatives:
        report = judged(made(field, name), dialect_of(field, other), cases=CASES[field])
        if other == name:
            assert bad(report) == []
            assert report.verdict is Verdict.PARTIAL
        else:
            assert report.verdict is Verdict.NOT_CONFORMANT, other


def test_a_modulus_may_be_shown_as_a_number_without_imaginary_part() -> None:
    def real(state: Any) -> Any:
        return {
            name: slot._replace(exp_inf=slot.exp_inf.real.astype(slot.exp_inf.dtype))
            for name, slot in (modulus.moments(state) or {}).items()
        }

    modulus = made("complex", "modulus")
    shown = replace(modulus, moments=real)
    assert bad(judged(shown, Dialect(complex="modulus"), cases=CASES["complex"])) == []
    assert bad(judged(shown, Dialect(), cases=CASES["complex"]))


@pytest.mark.slow
@pytest.mark.parametrize(("field", "name"), EVERY)
def test_alternative_is_accepted_by_itself_in_every_case(field: str, name: str) -> None:
    report = judged(made(field, name), dialect_of(field, name), dtypes=["float32", "complex64"])
    assert bad(report) == []


@pytest.mark.parametrize("shown", [True, False])
def test_the_dialect_found_is_judged_by(shown: bool) -> None:
    mlx = backend(Dialect("outside", "none"), "mlx")
    mlx = mlx if shown else replace(mlx, moments=lambda _state: None)
    report = check(mlx, dialect="found", clauses=["A-4", "A-5", "A-6", "A-7"], dtypes=["float32"])
    assert report.verdict is Verdict.PARTIAL
    assert report.dialect == "eps=outside,bias-correction=none"
    assert report.phrase == "eps outside the maximum, no bias correction"
    assert report.found == ""


def test_a_fault_that_eps_outside_hides_is_seen_when_judged_by_the_dialect() -> None:
    """By the specification a right and a wrong bias correction fail the same clauses."""
    right, wrong = (
        backend(_eps_outside(bias_correction=correction), "mine")
        for correction in (CANONICAL.bias_correction, lambda beta1, step: 1 - beta1**step)
    )
    chosen: dict[str, Any] = {"clauses": ["A-5", "A-6", "N-3"], "dtypes": ["float64"]}
    canonical = [judged(each, "canonical", **chosen).failed_clauses for each in (right, wrong)]
    assert canonical == [("A-5", "A-6", "N-3")] * 2
    found = [judged(each, "found", **chosen).failed_clauses for each in (right, wrong)]
    assert found == [(), ("N-3",)]


def _eps_outside(**lines: Any) -> Any:
    def step(p: Any, g: Any, m: Any, u: Any, count: int, hp: Hyperparameters) -> Any:
        rule, hp = Dialect("outside").apply(CANONICAL, hp, first=False, paired=False)
        return rule._replace(**lines)(p, g, m, u, count, hp)

    return step


def test_without_a_known_dialect_the_specification_judges() -> None:
    halved = CANONICAL._replace(
        infinity_norm=lambda u, g, b2, eps: np.maximum(b2 * u, abs(g) + eps / 2)
    )
    report = check(backend(halved), dialect="found", clauses=["A-5"], dtypes=["float32"])
    assert (report.dialect, report.verdict) == ("canonical", Verdict.NOT_CONFORMANT)
    assert report.diagnosis.startswith("computes what `eps-halved` does: ")


@pytest.mark.parametrize("name", INITIAL_NORMS)
def test_norm_that_init_sets_is_the_initial_state_of_its_dialect(name: str) -> None:
    """Loaded at a count of zero, such a backend keeps the norm that it is given."""

    def init(params: Any, hp: Hyperparameters, **more: Any) -> Any:
        state = BASE.init(params, hp, **more)
        norm = INITIAL_NORMS[name](hp)
        return state._replace(exp_inf={k: u + u.dtype.type(norm) for k, u in state.exp_inf.items()})

    subject = replace(BASE, name="mine", init=init)
    clauses = ["S-1", "S-2", "S-3", "S-6", "A-5"]
    for dialect, right in ((Dialect(start=name), True), (Dialect(), False)):
        report = judged(subject, dialect, clauses=clauses, dtypes=["float32", "float16"])
        assert (bad(report) == []) is right
    ours = judged(BASE, Dialect(start="norm of one"), clauses=["S-1", "A-5"], dtypes=["float32"])
    assert ours.verdict is Verdict.NOT_CONFORMANT


def test_known_deviation_that_passes_in_a_dialect_passes() -> None:
    keras = backend(Dialect("outside"), "keras")
    known = Expectations([Expectation("A-5", "eps is outside")])
    chosen: dict[str, Any] = {"clauses": ["A-5"], "dtypes": ["float32"], "expect": known}
    statuses = {r.status for r in judged(keras, Dialect("outside"), **chosen).results}
    assert statuses == {Status.PASS}
    assert Status.XPASS in {r.status for r in judged(BASE, "canonical", **chosen).results}


def test_derivative_is_that_of_the_dialect() -> None:
    """p' = p - lr / c m / (u + eps), so that by eps it is lr / c m / (u + eps)^2."""
    hp = Hyperparameters(lr=1.0, betas=(0.5, 0.5), eps=1.0)
    zero, saved = np.zeros(1), Moments(1, np.ones(1), np.array([8.0]))
    # m = 1/2 + 1/2, u = 4, c = 3/4.
    expected = {Dialect("outside"): mpq(4, 75), Dialect("none"): mpq(0), Dialect(): mpq(0)}
    for dialect, slope in expected.items():
        found = tangents("eps", zero, [np.ones(1)], saved, hp, alteration=dialect)
        assert found.value[0] == slope
    square = tangents(
        "beta1", zero, [np.ones(1)], saved, hp, alteration=Dialect(correction="square root")
    )
    # p = -m / 4 c^-1/2 with m = beta1 + (1 - beta1), so dp = m / 8 c^-3/2 dc with dc = -2 beta1.
    assert abs(float(square.value[0]) + 0.125 * 0.75**-1.5) < float(square.error[0])


def test_text_of_a_dialect_is_read_back() -> None:
    for field, name in EVERY:
        dialect = Dialect(**{field: name})
        assert Dialect.of(str(dialect)) == dialect
        assert (str(dialect) == "canonical") is (dialect == Dialect()) is (dialect.phrase == "")
    assert Dialect.of("eps=in the decay, initial state=zero") == Dialect("in the decay")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("eps", "'eps' is no axis of the rule"),
        ("eps=inner", "eps has no alternative 'inner': choose from inside, outside, in-the-decay"),
        ("beta=none", "write canonical, or AXIS=NAME with an axis of eps, bias-correction"),
        ("", "'' is no axis of the rule"),
        *[
            (f"{axis.name}=x", f"{axis.name} is not a line of the rule: {axis.clause} judges it")
            for axis in AXES
            if axis not in FIELDS.values()
        ],
    ],
)
def test_unknown_dialect_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check("numpy", dialect=text)


def test_a_report_says_that_no_dialect_was_found() -> None:
    def own(u: Any, g: Any, b2: Any, eps: Any) -> Any:
        return b2 * u + abs(g) + eps

    made = backend(CANONICAL._replace(infinity_norm=own), "sums")
    report = check(made, dialect="found", clauses=["A-5"], dtypes=["float32"])
    assert report.unfound
    assert outcome(report).startswith("no dialect found, so judged by the specification: not conf")
    assert not check("numpy", dialect="found", clauses=["A-5"], dtypes=["float32"]).unfound


def test_lines_of_the_state_are_not_of_a_dialect() -> None:
    """One count for all parameters stays a fault in every dialect."""

    def shared(p: Any, g: Any, s: Any, hp: Any) -> Any:
        stepped, new = keras.step(p, g, s, hp)
        return stepped, new._replace(step=dict.fromkeys(new.step, max(new.step.values())))

    keras = backend(Dialect("outside"), "keras")
    subject = replace(keras, step=shared)
    report = check(subject, dialect="found", clauses=["A-5", "S-3"], dtypes=["float32"])
    assert report.failed_clauses == ("S-3",)
    assert report.suspect == "S-3"
