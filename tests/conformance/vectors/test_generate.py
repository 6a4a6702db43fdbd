"""Making a vector of a run: its bounds, its kills, and the permanence of its id."""

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from adamax_conformance.cases.case import PLAIN
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.registry import find
from adamax_conformance.spec.formats import FLOAT16, FLOAT32, FLOAT64
from adamax_conformance.subject.watched import Watched
from adamax_conformance.variants import WRONG
from adamax_conformance.vectors import Vector, load
from adamax_conformance.vectors import expected as followed
from adamax_conformance.vectors.compare import outside
from adamax_conformance.vectors.expected import Element, Elements, expected
from adamax_conformance.vectors.generate import generated, require_kept
from adamax_conformance.vectors.sources import RETIRED, Source, sources
from adamax_core import Hyperparameters

BASE = find("numpy")
VECTORS = load()


def run_of(grads: Iterable[float], hp: Hyperparameters = PLAIN, dtype: str = "float32") -> Run:
    return Run({"w": np.zeros(2, dtype)}, [{"w": np.array([g, -2 * g], dtype)} for g in grads], hp)


def vector_of(run: Run, name: str = "A-5/short[float32]") -> Vector:
    """Return the vector of this run, computed like those of the cases."""
    note = "It is here to be read by a test."
    (vector,) = generated([Source(name, note, "float32", (), Trial(run))], variants=())
    return vector


# What may come out


@pytest.mark.parametrize("format_", [FLOAT16, FLOAT32, FLOAT64])
@pytest.mark.parametrize(
    "value", [Fraction(0), Fraction(1, 3), Fraction(-1, 3), Fraction(7), Fraction(1, 2**1080)]
)
def test_bounds_are_rounded_outward_by_less_than_a_place(value: Fraction, format_: Any) -> None:
    rounded = followed._rounded_up(value, format_)
    assert Fraction(rounded) >= value > Fraction(np.nextafter(rounded, -np.inf))


def test_bounds_beyond_the_format_are_infinite() -> None:
    beyond = FLOAT16.largest + 1
    assert followed._rounded_up(beyond, FLOAT16) == np.inf
    assert followed._rounded_up(beyond, FLOAT32) == 65505
    assert followed._rounded_up(-(FLOAT64.largest * 2), FLOAT64) == -np.finfo(float).max


@pytest.mark.parametrize(
    ("element", "right", "wrong"),
    [
        (Element(1.0, 2.0), (1.0, 2.0), (0.5, 2.5, np.nan, np.inf)),
        (Element(1.0, np.inf), (np.inf, 1.0), (-np.inf, np.nan)),
        (Element(special="nan"), (np.nan,), (0.0, np.inf)),
        (Element(special="inf"), (np.inf,), (-np.inf, np.nan, 1.0)),
        (Element(special="-inf"), (-np.inf,), (np.inf, np.nan, 1.0)),
        (Element(special="not finite"), (np.nan, np.inf, -np.inf), (1.0,)),
        (Element(free=True), (np.nan, 1.0, np.inf), ()),
    ],
)
def test_what_is_right_for_an_element(element: Element, right: Any, wrong: Any) -> None:
    assert Element.of(element.document()) == element
    assert Elements((element,) * len(right)).outside(np.array(right)) == []
    assert Elements((element,) * len(wrong)).outside(np.array(wrong)) == [*range(len(wrong))]


def test_a_parameter_without_a_gradient_stays_as_it_may_have_been() -> None:
    run = run_of([1.0, 0.5])
    params = {**run.params, "late": np.ones(1, np.float32)}
    run = replace(run, params=params, grads=[run.grads[0], {}])
    first, second = expected(Trial(run))
    assert (first["w"].kept, second["w"].kept, second["w"].step) == (False, True, 1)
    assert first["w"].quantities == second["w"].quantities
    assert second["late"].step == 0
    assert second["late"].quantities["param"].all == (Element(1.0, 1.0, "1"),)


def test_a_backend_that_moves_a_parameter_without_a_gradient_is_outside() -> None:
    run = replace(run_of([1.0, 0.5]), grads=[run_of([1.0]).grads[0], {}])
    vector = vector_of(run)

    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        stepped, state = BASE.step(params, grads, state, hp)
        return {k: v if grads else np.nextafter(v, v + 1) for k, v in stepped.items()}, state

    assert outside(Watched(BASE), vector) == ""
    idle: Any = replace(BASE, step=step)  # type: ignore[type-var]  # the reference is a dataclass
    assert "must stay" in outside(Watched(idle), vector)


def test_a_state_that_is_not_shown_is_judged_by_the_parameters() -> None:
    vector = vector_of(run_of([1.0, 0.5]))
    wrong = next(each for each in WRONG if each.id == "moment-not-weighted")
    hidden = replace(wrong.backend, moments=lambda _state: None)
    assert outside(Watched(wrong.backend), vector).startswith("step 1, w, exp_avg")
    assert outside(Watched(hidden), vector).startswith("step 1, w, param")


def test_a_backend_that_steps_in_what_it_has_loaded_leaves_the_vector_as_it_is() -> None:
    vector = next(each for each in VECTORS if each.trial.run.saved)
    before = vector.document()

    def load_and_spoil(params: Any, hp: Any, saved: Any) -> Any:
        state = BASE.load(params, hp, saved)
        for slot in saved.values():
            slot["exp_inf"][...] = 0
        return state

    spoiling: Any = replace(BASE, load=load_and_spoil)  # type: ignore[type-var]  # as above
    assert outside(Watched(spoiling), vector)
    assert vector.document() == before


# Ids


def test_published_ids_keep_their_inputs() -> None:
    one, other = vector_of(run_of([1.0])), vector_of(run_of([1.0]), "A-6/short[float32]")
    require_kept([other, one], published=[one])
    with pytest.raises(
        ValueError, match=r"^A-5/short\[float32\] is published but no longer defined"
    ):
        require_kept([other], published=[one])
    with pytest.raises(ValueError, match=r"^the inputs of A-5/short\[float32\] differ from"):
        require_kept([vector_of(run_of([2.0]))], published=[one])


def test_a_retired_id_is_gone_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    vector = vector_of(run_of([1.0]))
    monkeypatch.setitem(RETIRED, vector.id, "Its gradient was too large.")
    require_kept([], published=[vector])
    with pytest.raises(ValueError, match=r"^A-5/short\[float32\] is retired: choose another id"):
        require_kept([vector], published=[])


def test_the_definitions_have_ids_and_notes_of_their_own() -> None:
    every = list(sources())
    assert len({each.id for each in every}) == len(every)
    assert all(len(each.note) >= 10 for each in every)
