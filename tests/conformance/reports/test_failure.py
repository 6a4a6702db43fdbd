"""The facts of a failure, and the command among them, which must work."""

import shlex
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from adamax_conformance import ConformanceError, Report, Result, Status
from adamax_conformance.cli import app
from adamax_conformance.judging.finding import Divergence
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.reports.failure import command, describe, in_full, written
from adamax_conformance.reports.text import advice, after_outcome
from adamax_conformance.subject.backend import Moments
from adamax_conformance.subject.printable import printable
from adamax_core import Hyperparameters


def first(report: Report, status: Status) -> Result:
    return next(result for result in report.results if result.status is status)


def facts_of(report: Report, result: Result) -> dict[str, tuple[str, ...]]:
    return {fact.name: fact.lines for fact in describe(report, result)}


def test_failure_names_everything_that_it_should(every: Any) -> None:
    report = replace(every.wrong, diagnosis="eps is outside", named="py:mine:outside")
    facts = facts_of(report, next(r for r in report.results if r.id == "A-5/decays[float32]"))
    assert facts["clause"] == ("A-5 infinity norm",)
    assert facts["case"] == ("A-5/decays[float32], fail",)
    assert facts["why"][0].startswith("One large gradient, then small ones")
    assert facts["step"] == ("1",)
    assert facts["element"][0].startswith("w[")
    assert facts["quantity"] == ("exp_inf",)
    number, _, bits = facts["got"][0].partition(" (float32 ")
    assert np.float32(number).tobytes()[::-1].hex() == bits.removesuffix(")")
    low, high = map(float, facts["allowed"][0].strip("[]").split(", "))
    assert low < float(facts["exactly"][0]) < high
    assert not low <= float(number) <= high
    assert facts["distance"][0].endswith(" times the bound")
    assert facts["diagnosis"] == ("eps is outside",)
    assert facts["reproduce"] == (
        "adamax-conformance check py:mine:outside --case 'A-5/decays[float32]' --seed 7",
    )


def test_smallest_example_is_printed_once_per_clause(every: Any) -> None:
    full = [facts for _, facts in in_full(every.wrong, every.wrong.results) if facts]
    assert len(full) == len(every.wrong.failed_clauses)
    assert {fact.name for fact in full[0]} >= {"minimal example", "reproduce"}
    example = next(fact.lines for fact in full[0] if fact.name == "minimal example")
    assert example == (
        "lr=1.0, betas=(0.75, 0.5), eps=1.0",
        "params w = [0.0] float16",
        "step 1: grads w = [1.0] float16",
        "step 1: exp_inf of w[0]: got 1.0, expected 2",
    )


def test_example_with_all_that_a_run_may_have(every: Any) -> None:
    hp = Hyperparameters(maximize=True, decoupled_weight_decay=True, weight_decay=0.5)
    params = {"w": np.zeros(9, np.float32), "b": np.array(1 + 2j, np.complex64)}
    run = Run(
        params,
        [{"b": params["b"]}, {}],
        [hp, replace(hp, lr=0.5)],
        saved={"w": Moments(3, np.ones(1), np.zeros(1)), "b": Moments(4, params["b"], params["b"])},
        state_dtype="float64",
        undecayed=("w",),
    )
    result = Result("A-5/decays", "A-5", "float32", Status.FAIL, "x", minimal=Trial(run))
    rest = "betas=(0.9, 0.999), eps=1e-08, weight_decay=0.5, maximize=True, "
    rest += "decoupled_weight_decay=True"
    assert facts_of(every.wrong, result)["minimal example"] == (
        "params w = all 0.0 float32 of shape (9,), b = (1+2j) complex64",
        "state of w: step = 3, exp_avg = [1.0] float64, exp_inf = [0.0] float64",
        "state of b: step = 4, exp_avg = (1+2j) complex64, exp_inf = (1+2j) complex64",
        "state in float64",
        "exempt from decay: w",
        f"step 1: grads b = (1+2j) complex64; lr=0.002, {rest}",
        f"step 2: grads none; lr=0.5, {rest}",
    )


def test_equal_steps_in_a_row_are_one_line(every: Any) -> None:
    one, two = ({"w": np.full(1, g, np.float32)} for g in (1, 2))
    run = Run({"w": np.zeros(1)}, [one] * 257 + [two] + [one] * 2, Hyperparameters())
    result = Result("A-5/decays", "A-5", "float32", Status.FAIL, "x", minimal=Trial(run))
    assert facts_of(every.wrong, result)["minimal example"][2:] == (
        "steps 1 to 257: grads w = [1.0] float32",
        "step 258: grads w = [2.0] float32",
        "steps 259 to 260: grads w = [1.0] float32",
    )


def test_many_equal_parameters_are_told_once(every: Any) -> None:
    params = {f"w{i}": np.zeros(1, np.float32) for i in range(129)}
    run = Run(params, [{**params, "w0": np.arange(9, dtype=np.float32)}], Hyperparameters())
    result = Result("A-5/decays", "A-5", "float32", Status.FAIL, "x", minimal=Trial(run))
    assert facts_of(every.wrong, result)["minimal example"][1:] == (
        "params each of w0 to w128 (129) = [0.0] float32",
        "step 1: grads w0 = float32 of shape (9,), each of w1 to w128 (128) = [0.0] float32",
    )


def test_value_without_an_error_bound_has_infinite_distance(every: Any) -> None:
    infinity = float("inf")
    found = Divergence(1, "w", (), "param", "nan", "[0, 2]", "1", infinity, "float32 7fc00000")
    result = Result("A-5/decays", "A-5", "float32", Status.FAIL, "x", divergence=found)
    facts = facts_of(every.wrong, result)
    assert facts["got"] == ("nan (float32 7fc00000)",)
    assert facts["distance"] == ("infinite: not a rounding error",)


def test_error_and_expectation_are_described(every: Any, hostile: str) -> None:
    facts = facts_of(every.hostile, first(every.hostile, Status.ERROR))
    (found,) = facts["found"]
    assert found.startswith(f"step raised RuntimeError: {printable(hostile)} (conftest.py:")
    assert facts["diagnosis"] == (printable(hostile),)
    assert "step" not in facts
    facts = facts_of(every.known, first(every.known, Status.XFAIL))
    assert facts["known"] == ("eps is outside (https://example.org/1)",)
    facts = facts_of(every.known, first(every.known, Status.XPASS))
    assert facts["found"] == ("passed, but is known to deviate: out of date",)


def test_every_line_is_one_line(every: Any) -> None:
    for report in every.all:
        for _, facts in in_full(report, report.results):
            assert all(line.isprintable() for line in written(facts))


def test_command_runs_the_case_that_failed(every: Any) -> None:
    result = next(r for r in every.right.results if r.id == "A-5/decays[float16]")
    program, *arguments = shlex.split(command(every.right, result))
    assert program == "adamax-conformance"
    ran = CliRunner().invoke(app, [*arguments, "--format", "json"])
    assert ran.exit_code == 0
    assert '"id": "A-5/decays[float16]"' in ran.output
    assert '"cases": 1' in ran.output


def test_raise_for_status_explains_the_first_of_each_clause_in_full(every: Any) -> None:
    with pytest.raises(ConformanceError) as caught:
        every.wrong.raise_for_status()
    text = str(caught.value)
    assert text.startswith(
        "eps outside: not conformant\nno eps (as MXNet, the paper)\n"
        "A-5/eps-inside-the-maximum[float16] fail"
    )
    assert text.count("\n    minimal example  ") == len(
        [r for r in every.wrong.results if r.minimal]
    )
    assert text.count("\n    reproduce  ") == len(every.wrong.failed_clauses)


def test_advice_follows_the_outcome(every: Any, hostile: str) -> None:
    assert after_outcome(replace(every.right, partial=False)) == ""
    cases = len(every.right.results)
    assert after_outcome(every.right) == f"; partial run: 5 of 39 clauses, {cases} cases"
    assert after_outcome(every.wrong) == " in A-5, N-1, H-5; look at A-5 first"
    assert advice(every.hidden) == "look at A-5 first"
    assert "`moments`" in advice(replace(every.hidden, deviating=()))
    assert printable(hostile) in advice(every.broken)
    passed = tuple(r for r in every.known.results if r.status is Status.XPASS)
    assert advice(replace(every.known, results=passed)) == (
        "a known deviation, or what a limit excludes, passes: remove the declaration"
    )
    none = replace(every.right, results=(), required=("A-4",))
    assert advice(none) == "required, but not run: A-4"
    assert advice(replace(none, required=())) == "no case applies"
