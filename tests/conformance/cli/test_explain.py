"""`explain`: the words of the document, the bound line by line, the variants that are caught."""

import numpy as np
import pytest
from typer.testing import CliRunner

from adamax_conformance.bounds.oracle import allowed
from adamax_conformance.cases import CASES
from adamax_conformance.cases.case import Case, Data
from adamax_conformance.cli import app
from adamax_conformance.cli import explanation as explain
from adamax_conformance.judging.run import initial
from adamax_conformance.spec.clauses import CLAUSES, Clause
from adamax_conformance.subject.backend import Moments
from adamax_core import Hyperparameters


def explained(name: str) -> str:
    result = CliRunner().invoke(app, ["explain", name])
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_clause_is_explained_by_its_words_cases_bounds_and_variants() -> None:
    text = explained("A-5")
    for part in (
        "A-5 infinity norm (required)",
        "eps is inside the maximum, added to |g| alone",
        "A-5/decays One large gradient",
        "eps-outside",
        "A float is an exact rational",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("nesterov", ("A wrong variant of the reference, in float16", "A-7 step")),
        ("scalars-in-nine-digits", ("in float64.", "it equals the rule: nine decimal digits")),
        ("decay-as-a-factor", ("A right variant of the reference", "p (1 - lr wd)")),
        ("idle", ("A control", "Does nothing.")),
    ],
)
def test_variant_is_explained_by_what_it_does_and_its_clause(
    name: str, parts: tuple[str, ...]
) -> None:
    text = explained(name)
    assert text.startswith(f"{name} ")
    assert all(part in text for part in parts)


def test_small_letters_do() -> None:
    assert explained("a-5") == explained("A-5")
    assert explained("a-5/DECAYS[Float32]") == explained("A-5/decays[float32]")


def test_case_is_explained_by_its_bound_and_what_it_kills() -> None:
    text = explained("A-5/eps-inside-the-maximum[bfloat16]")
    for part in (
        "An eps of the size of the gradients",
        "in bfloat16; w is half a unit",
        "max(beta2 u, |g| + eps)",
        "c = 1 - beta1^t",
        "w of it",
        "eps-outside (A-5)",
    ):
        assert part in text
    assert "maximize-ignored" not in text


def test_case_without_a_run_has_no_bound() -> None:
    text = explained("H-1/negative")
    assert "The bound" not in text
    assert "lr = -0.5 is outside the domain" in text


@pytest.mark.parametrize("name", ["A-99", "A-5/gone", "A-5/decays[int8]", ""])
def test_unknown_name_says_which_commands_list_the_names(name: str) -> None:
    result = CliRunner().invoke(app, ["explain", name])
    assert result.exit_code == 2
    assert "`adamax-conformance list clauses`" in " ".join(result.output.split())


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.id)
def test_every_clause_is_explained_without_latex(clause: Clause) -> None:
    text = explained(clause.id)
    assert not set("$\\") & set(text.partition("Cases")[0])
    assert "###" not in text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_run_has_an_example_and_nothing_else_has(case: Case) -> None:
    for dtype in case.dtypes:
        assert (explain.example(case, dtype) is None) == (case.trial is None)


RUNS = [case for case in CASES if case.trial is not None and "float32" in case.dtypes]


@pytest.mark.parametrize("case", RUNS, ids=lambda case: case.id)
def test_last_line_is_the_bound_of_the_parameter(case: Case) -> None:
    assert case.trial is not None
    run = case.trial(Data("float32", 0, case.id)).run
    before = initial(run)
    compared = 0
    for name, grad in run.grads[0].items():
        index, few = (0,) * grad.ndim, (slice(1),) * grad.ndim
        param = run.params[name]
        if name in run.undecayed or not grad.size:
            continue
        if not (np.isfinite(grad[index]) and np.isfinite(param[index])):
            continue
        slot = before[name]
        at = Moments(slot.step, slot.exp_avg[index], slot.exp_inf[index])
        last = explain.lines(param[index], grad[index], at, run.at(0))[-1]
        first = Moments(slot.step, slot.exp_avg[few], slot.exp_inf[few])
        bound = allowed(param[few], grad[few], first, run.at(0))["param"].carried
        assert (last.value, last.error) == (bound.value[index], bound.error[index])
        compared += 1
    assert compared or case.id in ("S-2/all-missing", "N-5/nan-first", "A-2/absent-without-decay")


def test_lines_are_those_of_the_rule_with_its_modes() -> None:
    z = np.float32(0)

    def texts(hp: Hyperparameters) -> list[str]:
        lines = explain.lines(np.float32(2), np.float32(0.5), Moments(0, z, z), hp)
        return [line.text for line in lines]

    assert texts(Hyperparameters(weight_decay=0.5))[0] == "g + weight_decay p"
    decoupled = Hyperparameters(weight_decay=0.5, decoupled_weight_decay=True)
    assert texts(decoupled)[-2:] == ["lr weight_decay p", "p'"]
