"""The judge rejects wrong variants for the right clause, and accepts right ones."""

import re
import subprocess
import sys
from collections import Counter

import pytest

from adamax_conformance import check
from adamax_conformance.cases import CASES
from adamax_conformance.score import Kind, mutate, plan
from adamax_conformance.spec.clauses import CLAUSES
from adamax_conformance.spec.formats import DTYPES, WITH_COMPLEX
from adamax_conformance.variants import CONTROLS, FAMILIES, RIGHT, WRONG, Right, Wrong
from adamax_conformance.variants.controls import Control

EVERY = [*WRONG, *RIGHT, *CONTROLS]


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.id)
def test_wrong_variant_is_rejected_for_its_clause_where_it_differs(wrong: Wrong) -> None:
    score = mutate(plan(wrong=[wrong], right=[], controls=[]))
    assert {each.dtype for each in score.outcomes} == {*wrong.dtypes, *wrong.proofs}
    assert not score.bad, [f"{each.kind} {each.dtype}: {each.why}" for each in score.bad]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "dtype"),
    [(right, dtype) for right in RIGHT for dtype in right.dtypes],
    ids=lambda value: getattr(value, "id", value),
)
def test_right_variant_is_accepted(right: Right, dtype: str) -> None:
    score = mutate(plan(dtypes=[dtype], wrong=[], right=[right], controls=[]))
    assert [each.kind for each in score.outcomes] == [Kind.RIGHT]
    assert not score.bad, score.bad[0].why


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_control_dies(control: Control) -> None:
    report = check(control.backend, clauses=control.clauses, dtypes=["float32"], investigate=False)
    assert set(report.failed_clauses) == set(control.clauses)


def test_moments_are_read_without_being_trusted() -> None:
    """A backend that reports right moments but moves its parameter wrongly is rejected."""
    frozen = next(control for control in CONTROLS if control.id == "frozen")
    report = check(
        frozen.backend, clauses=["A-4", "A-5", "A-7"], dtypes=["float32"], investigate=False
    )
    assert report.failed_clauses == ("A-7",)


def test_there_are_enough_of_them() -> None:
    everywhere = [right for right in RIGHT if right.dtypes == WITH_COMPLEX]
    assert len(WRONG) >= 60
    assert len(everywhere) >= 20
    assert CONTROLS


def test_every_family_has_three_wrong_ones() -> None:
    sizes = Counter(wrong.family for wrong in WRONG)
    assert [*sizes] == [family.name for family in FAMILIES]
    assert min(sizes.values()) >= 3


def test_every_clause_that_has_a_case_has_a_wrong_one() -> None:
    assert {wrong.clause for wrong in WRONG} == {case.clause for case in CASES}


def test_ids_are_unique_and_in_kebab_case() -> None:
    ids = [each.id for each in EVERY]
    assert len(set(ids)) == len(ids)
    for each in EVERY:
        assert re.fullmatch(r"[a-z0-9]+([-.][a-z0-9]+)*", each.id)
        assert each.backend.name == each.id


def test_each_says_what_it_does_in_a_sentence() -> None:
    for each in EVERY:
        assert each.does.endswith("."), each.id
        assert len(each.does.split()) > 1, each.id
    assert len({each.does for each in EVERY}) == len(EVERY)


def test_wrong_variant_is_caught_or_proved_equal_in_every_dtype_of_its_family() -> None:
    scopes = {family.name: family.scope for family in FAMILIES}
    for wrong in WRONG:
        assert wrong.dtypes, wrong.id
        assert sorted((*wrong.dtypes, *wrong.proofs)) == sorted(scopes[wrong.family]), wrong.id
        for proof in wrong.proofs.values():
            assert proof.endswith("."), wrong.id


def test_right_variant_is_judged_by_something_in_every_dtype() -> None:
    for right in RIGHT:
        assert right.dtypes
        assert set(right.dtypes) <= set(DTYPES)
        assert set(right.clauses) <= {clause.id for clause in CLAUSES}


def test_variants_need_no_framework_and_the_judge_does_not_make_them() -> None:
    program = (
        "import sys\n"
        "import adamax_conformance\n"
        "assert 'adamax_conformance.variants' not in sys.modules\n"
        "import adamax_conformance.variants\n"
        "assert not {'jax', 'torch', 'optax'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
