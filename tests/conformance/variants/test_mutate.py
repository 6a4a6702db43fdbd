"""The suite's own score: its counts, when it is void, and the command that prints it."""

import json
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from adamax_conformance import score as module
from adamax_conformance.cli import Exit, app
from adamax_conformance.score import Job, Kind, Outcome, Score, mutate, plan
from adamax_conformance.variants import CONTROLS, RIGHT, WRONG, Right, Wrong
from adamax_conformance.variants.controls import Control
from adamax_conformance.variants.variant import BASE, LINES

RUNNER = CliRunner()


def _idle(p: Any, _g: Any, s: Any, _hp: Any) -> Any:
    return dict(p), s


def a_wrong(**changes: Any) -> Wrong:
    wrong = Wrong(
        id="late", family="eps", does="Nothing.", backend=BASE, clause="A-3", dtypes=("float32",)
    )
    return replace(wrong, **changes)


def a_right(**changes: Any) -> Right:
    right = Right(
        id="same", family="eps", does="The same.", backend=BASE, dtypes=("float32",),
        clauses=("A-3", "A-4"),
    )  # fmt: skip
    return replace(right, **changes)


def a_control(**changes: Any) -> Control:
    control = Control(
        id="idle", family="controls", does="Nothing.", backend=replace(BASE, step=_idle),
        clauses=("A-3",),
    )  # fmt: skip
    return replace(control, **changes)


def scored(*variants: Wrong | Right | Control, dtypes: tuple[str, ...] = ("float32",)) -> Score:
    return mutate(
        plan(
            dtypes=dtypes,
            wrong=[each for each in variants if isinstance(each, Wrong)],
            right=[each for each in variants if isinstance(each, Right)],
            controls=[each for each in variants if isinstance(each, Control)],
        )
    )


KILLED = a_wrong(backend=replace(BASE, step=_idle))


def test_perfect_score() -> None:
    score = scored(KILLED, a_right(), a_control())
    assert score.perfect
    assert not score.bad
    assert score.sentence == (
        "1 of 1 wrong variants killed, each by its own clause in every dtype in which it differs "
        "(1 in all); 1 of 1 right ones accepted; 1 of 1 controls died"
    )
    assert json.loads(json.dumps(score.as_dict()))["counts"]["wrong"] == {"variants": 1, "good": 1}


def test_surviving_variant_spoils_the_score() -> None:
    score = scored(a_wrong(), a_control())
    assert not score.void
    assert not score.perfect
    assert [(each.id, each.why) for each in score.bad] == [("late", "survives; A-3 must catch it")]
    assert "0 of 1 wrong variants killed" in score.sentence


def test_variant_caught_by_another_clause_is_not_killed() -> None:
    score = scored(replace(KILLED, clause="S-4"), a_control())
    assert score.ids(Kind.WRONG, good=False) == ("late",)
    assert score.bad[0].why.startswith("caught by A-")
    assert score.bad[0].why.endswith("not S-4 first")


def test_proof_that_does_not_hold_is_found() -> None:
    wrong = replace(KILLED, dtypes=("float32",), proofs={"float64": "It is all the same."})
    score = scored(wrong, a_control(), dtypes=("float32", "float64"))
    assert [(each.kind, each.dtype) for each in score.bad] == [(Kind.EQUAL, "float64")]
    assert score.bad[0].proof == "It is all the same."
    assert score.sentence.endswith("proofs that do not hold: late")


def test_proof_that_holds_does_not_count_as_a_kill() -> None:
    wrong = a_wrong(dtypes=(), proofs={"float32": "It is the reference."})
    score = scored(wrong, a_control())
    assert score.perfect
    assert score.ids(Kind.WRONG) == ()
    assert score.ids(Kind.EQUAL, good=True) == ("late",)


def test_right_variant_that_is_rejected() -> None:
    score = scored(KILLED, a_right(backend=replace(BASE, step=_idle)), a_control())
    assert not score.perfect
    assert score.bad[0].why.startswith("rejected: A-3/counts-from-one[float32]: ")
    assert "0 of 1 right ones accepted" in score.sentence


def test_variant_that_cannot_take_a_step_is_not_killed() -> None:
    def raising(*_args: Any) -> Any:
        raise RuntimeError("no device")

    score = scored(a_wrong(backend=replace(BASE, step=raising)), a_control())
    assert "cannot be judged: the smoke test" in score.bad[0].why


def test_control_that_lives_makes_everything_void() -> None:
    score = scored(KILLED, a_right(), a_control(backend=BASE))
    assert score.void
    assert not score.perfect
    assert score.sentence == "void: the control idle survives, so the score means nothing"
    assert score.bad[0].why == "not caught by A-3"


def test_score_without_a_control_is_void() -> None:
    score = scored(KILLED)
    assert score.void
    assert score.sentence.startswith("void: no control was judged")


def test_plan_judges_the_lines_and_the_clause_of_its_own_and_controls_always() -> None:
    jobs = plan(["tails"], ["float64"])
    assert [job.variant.id for job in jobs[: len(CONTROLS)]] == [each.id for each in CONTROLS]
    tail = next(job for job in jobs if job.variant.id == "tail-forgotten")
    assert sorted(tail.clauses) == sorted((*LINES, "S-9"))
    moment = next(job for job in plan(["eps"], ["float64"]) if job.variant.id == "eps-absent")
    assert moment.clauses == ("A-3", "A-4", "A-5")
    assert {job.dtype for job in jobs} == {"float64"}
    assert plan(["complex"], ["complex64"])[0].dtype == "float32"
    assert plan(["domains"], ["float64"]) == []


@pytest.mark.parametrize(
    ("families", "dtypes", "message"),
    [(["epsilon"], None, "unknown family 'epsilon'"), (None, ["int8"], "unknown dtype 'int8'")],
)
def test_unknown_names_are_refused(families: Any, dtypes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(families, dtypes)


def test_processes_need_variants_that_they_can_find() -> None:
    job = Job(a_right(), Kind.RIGHT, "float32", ("A-3",))
    with pytest.raises(ValueError, match="'same' is not a variant of this package"):
        mutate([job], workers=2)
    with pytest.raises(ValueError, match="workers = 0 is below 1"):
        mutate([job], workers=0)


@pytest.mark.slow
def test_processes_find_the_same() -> None:
    jobs, steps = plan(["domains"], ["float32"])[:10], list[int]()
    alone = mutate(jobs)
    together = mutate(jobs, workers=2, advance=lambda: steps.append(1))
    assert together == alone
    assert alone.perfect
    assert len(steps) == len(jobs)


def outcome(kind: Kind, *, well: bool, variant: str) -> Outcome:
    proof = "It is the same." if kind is Kind.EQUAL else ""
    return Outcome(variant, "eps", kind, "float32", well, why="" if well else "why", proof=proof)


DEAD = outcome(Kind.CONTROL, well=True, variant="idle")


@pytest.mark.parametrize(
    ("outcomes", "code", "text"),
    [
        ([outcome(Kind.WRONG, well=True, variant="a"), DEAD], Exit.CONFORMANT, "1 of 1 wrong"),
        ([outcome(Kind.WRONG, well=False, variant="a"), DEAD], Exit.NOT_CONFORMANT, "✗ wrong a"),
        ([outcome(Kind.RIGHT, well=False, variant="b"), DEAD], Exit.NOT_CONFORMANT, "✗ right b"),
        ([outcome(Kind.EQUAL, well=True, variant="c"), DEAD], Exit.CONFORMANT, "c in float32"),
        (
            [outcome(Kind.CONTROL, well=False, variant="idle")],
            Exit.BROKEN,
            "void: the control idle",
        ),
    ],
)
def test_exit_code_and_text(
    outcomes: list[Outcome], code: Exit, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "mutate", lambda *_args, **_more: Score(tuple(outcomes)))
    result = RUNNER.invoke(app, ["mutate", "--family", "eps"])
    assert result.exit_code == code, result.output
    assert text in " ".join(result.output.split())


def test_command_judges_and_prints() -> None:
    arguments = ["mutate", "--family", "eps", "--dtype", "float32", "--workers", "1"]
    result = RUNNER.invoke(app, [*arguments, "--verbose"])
    assert result.exit_code == 0, result.output
    assert "wrong   eps-outside[float32]" in result.output
    document = json.loads(RUNNER.invoke(app, [*arguments, "--format", "json"]).stdout)
    assert document["version"] == 1
    assert document["perfect"]
    kinds = [each["kind"] for each in document["outcomes"]]
    assert kinds.count("wrong") == sum(wrong.family == "eps" for wrong in WRONG)
    assert kinds.count("right") == sum(right.family == "eps" for right in RIGHT)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--family", "epsilon"], "unknown family 'epsilon'"),
        (["--dtype", "int8"], "unknown dtype 'int8'"),
        (["--family", "domains", "--dtype", "float64"], "no variant of these families"),
        (["--workers", "0"], "greater than or equal to 1"),
    ],
)
def test_usage(arguments: list[str], text: str) -> None:
    result = RUNNER.invoke(app, ["mutate", *arguments])
    assert result.exit_code == Exit.USAGE
    assert text in " ".join(result.output.split())
