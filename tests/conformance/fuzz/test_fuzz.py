"""The fuzzer finds faults, shrinks them, and is reproducible."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adamax_conformance import DTYPES, FunctionalBackend
from adamax_conformance.exchange.wire import encode_run
from adamax_conformance.fuzz import Fuzzed, fuzz, repro
from adamax_conformance.fuzz.sessions import Change, Load, Save, Session, Step, runs_of
from adamax_conformance.judging.run import Run
from adamax_conformance.spec.formats import FLOATS
from adamax_conformance.subject.memory import layout_of
from adamax_conformance.subject.watched import Watched
from adamax_conformance.subjects.reference import backend as reference
from adamax_core import CANONICAL, Hyperparameters, State

BASE = reference()


def only(backend: FunctionalBackend, dtype: str = "float32", **options: Any) -> Fuzzed:
    (outcome,) = fuzz(backend, dtypes=[dtype], **options)
    return outcome


@pytest.mark.parametrize("dtype", DTYPES)
def test_reference_has_no_failure(dtype: str) -> None:
    outcome = only(BASE, dtype, examples=10)
    assert outcome.failure is None
    assert outcome.examples >= 10
    assert outcome.elements > 0


@pytest.mark.slow
@pytest.mark.parametrize("dtype", FLOATS)
def test_reference_has_no_failure_in_200_000_elements(dtype: str) -> None:
    outcome = only(BASE, dtype, elements=200_000, seed=1)
    assert outcome.failure is None
    assert outcome.elements >= 200_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dtype"),
    [("torch", "float16"), ("torch?foreach=true", "bfloat16"), ("jax", "float32")],
)
def test_adapters_have_no_failure(name: str, dtype: str) -> None:
    for stateful in (False, True):
        (outcome,) = fuzz(name, dtypes=[dtype], examples=15, seed=2, stateful=stateful)
        assert outcome.failure is None


@pytest.mark.parametrize("dtype", ["bfloat16", "complex64"])
def test_reference_has_no_failure_in_sessions(dtype: str) -> None:
    assert only(BASE, dtype, examples=10, stateful=True).failure is None


def dialect(name: str, **lines: Any) -> FunctionalBackend:
    return reference(CANONICAL._replace(**lines), name)


def stepping(name: str, step: Callable[..., Any]) -> FunctionalBackend:
    return replace(BASE, name=name, step=step)


def missing_is_zero(p: Any, g: Any, s: Any, hp: Any) -> Any:
    return BASE.step(p, {k: g.get(k, np.zeros_like(p[k])) for k in p}, s, hp)


def one_count(p: Any, g: Any, s: State, hp: Any) -> Any:
    common = max(s.step.values())
    counted = s._replace(step={k: common if k in g else s.step[k] for k in s.step})
    return BASE.step(p, g, counted, hp)


def step_when_wrong(p: Any, g: Any, s: Any, hp: Any) -> Any:
    if any(np.any(abs(grad) > 8) for grad in g.values()):
        raise RuntimeError("a gradient above eight")
    return BASE.step(p, g, s, hp)


ELEMENTWISE = [
    dialect("eps-outside", infinity_norm=lambda u, g, b2, _eps: np.maximum(b2 * u, abs(g))),
    dialect("eps-in-the-decay",
            infinity_norm=lambda u, g, b2, eps: np.maximum(b2 * u + eps, abs(g))),
    dialect("nan-dropped", infinity_norm=lambda u, g, b2, eps: np.fmax(b2 * u, abs(g) + eps)),
    dialect("norm-by-squaring",
            infinity_norm=lambda u, g, b2, eps: np.sqrt(np.maximum((b2 * u) ** 2,
                                                                   (abs(g) + eps) ** 2))),
    dialect("no-correction", bias_correction=lambda _b1, _step: 1.0),
    dialect("printed-correction-in-float32",
            bias_correction=lambda b1, step: float(1 - np.float32(b1) ** np.float32(step))),
    dialect("maximize-ignored", sign=lambda g, _maximize: g),
    dialect("decay-reads-the-sign", coupled_decay=lambda g, p, wd: g + wd * abs(p)),
    stepping("missing-is-zero", missing_is_zero),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ELEMENTWISE, ids=lambda wrong: wrong.name)
def test_wrong_elements_are_found_and_shrunk(wrong: FunctionalBackend) -> None:
    outcome = only(wrong, examples=400)
    assert outcome.failure is not None
    assert outcome.trial is not None
    run = outcome.trial.run
    # What is not counted right needs no element at all.
    assert [param.size for param in run.params.values()] in ([0], [1])
    # A third step where a state in float16 must have overflowed before.
    assert len(run.grads) <= 3
    assert repro.failure_of(Watched(wrong), outcome.trial) == outcome.failure
    assert repro.failure_of(Watched(BASE), outcome.trial) is None


def tail_forgotten(first: int, block: int) -> Callable[..., Any]:
    """A vectorised loop without its remainder, for arrays beyond a size."""

    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        given, new = BASE.step(p, g, s, hp)
        stepped = dict(given)
        for k in g:
            flat, old = stepped[k].reshape(-1).copy(), p[k].reshape(-1)
            if flat.size > first:
                done = flat.size // block * block
                flat[done:] = old[done:]
                stepped[k] = flat.reshape(p[k].shape)
        return stepped, new

    return step


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "block"), [(8, 8), pytest.param(4096, 16, marks=pytest.mark.slow)]
)
def test_forgotten_tails_are_found(first: int, block: int) -> None:
    outcome = only(stepping("tail", tail_forgotten(first, block)), examples=400)
    assert outcome.failure is not None
    assert outcome.trial is not None
    (param,) = outcome.trial.run.params.values()
    assert first < param.size <= 2 * first + block


@pytest.mark.slow
def test_count_for_all_is_found_with_two_parameters() -> None:
    outcome = only(stepping("count", one_count), examples=400)
    assert outcome.trial is not None
    assert len(outcome.trial.run.params) == 2
    assert outcome.failure is not None
    assert outcome.failure.divergence is not None
    assert outcome.failure.divergence.quantity == "step"


def test_error_is_a_failure_and_its_run_is_shrunk() -> None:
    outcome = only(stepping("raises", step_when_wrong), examples=200)
    assert outcome.failure is not None
    assert "step raised RuntimeError: a gradient above eight" in outcome.failure.message
    assert outcome.failure.divergence is None
    assert outcome.trial is not None
    assert [grad.size for grads in outcome.trial.run.grads for grad in grads.values()] == [1]


@pytest.mark.slow
def test_strided_memory_is_found() -> None:
    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        read = {k: v.copy() for k, v in g.items()}
        for k, v in g.items():
            if v.ndim == 1 and not v.flags.contiguous:
                read[k][1:] = v.base.reshape(-1)[1 : v.size]
        return BASE.step(p, read, s, hp)

    outcome = only(stepping("memory", step), examples=400)
    assert outcome.trial is not None
    grads = [grad for grads in outcome.trial.run.grads for grad in grads.values()]
    assert any(layout_of(grad) == "strided" for grad in grads)


def losing_the_step(params: Any, hp: Any, saved: Any) -> Any:
    return BASE.load(params, hp, {k: {**slot, "step": 0} for k, slot in saved.items()})


def rewriting_what_was_loaded(p: Any, g: Any, s: State, hp: Any) -> Any:
    stepped, new = BASE.step(p, g, s, hp)
    for name, moment in s.exp_avg.items():
        np.copyto(moment, new.exp_avg[name])
    return stepped, new


@pytest.mark.parametrize("stateful", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_load_that_loses_the_step_is_found(stateful: bool) -> None:
    outcome = only(replace(BASE, name="loses", load=losing_the_step), stateful=stateful,
                   examples=200)  # fmt: skip
    assert outcome.failure is not None
    assert outcome.failure.divergence is not None
    assert outcome.failure.divergence.step == 0
    assert outcome.failure.divergence.quantity == "step"
    assert outcome.trial is not None
    assert len(outcome.trial.run.grads) == 1


@pytest.mark.slow
def test_load_that_keeps_the_arrays_it_was_given_is_found() -> None:
    outcome = only(stepping("keeps", rewriting_what_was_loaded), stateful=True, examples=200)
    assert outcome.failure is not None
    assert "changed the loaded arrays" in outcome.failure.message


def test_a_session_is_the_runs_that_it_is_made_of() -> None:
    hp, other = Hyperparameters(), Hyperparameters(lr=0.5)
    grads = {"w": np.ones(2)}
    session = Session(
        {"w": np.zeros(2)},
        hp,
        (Save(), Step(grads), Save(), Change(other), Step({}), Load(), Load(), Step(grads)),
    )
    found = list(runs_of(Watched(BASE), session))
    assert [len(run.grads) for run in found] == [1, 2, 1]
    assert [run.at(0) for run in found] == [hp, hp, other]
    assert found[1].at(1) == other
    assert found[0].saved is found[1].saved is None
    assert found[2].saved is not None
    assert found[2].saved["w"].step == 1
    assert found[2].params["w"][0] != 0


def test_a_seed_draws_the_same_and_another_something_else() -> None:
    seen: dict[int, list[Any]] = {}
    for key, seed in enumerate((3, 3, 4)):
        series = seen.setdefault(key, [])

        def step(p: Any, g: Any, s: Any, hp: Any, series: Any = series) -> Any:
            series.append(encode_run(Run(p, [g], hp)))
            return BASE.step(p, g, s, hp)

        only(stepping("listens", step), examples=10, seed=seed)
    assert seen[0] == seen[1] != seen[2]


def test_a_failure_is_the_same_for_the_same_seed() -> None:
    one, other = (only(ELEMENTWISE[0], examples=50, seed=7) for _ in range(2))
    assert one.trial is not None
    assert other.trial is not None
    assert one.failure == other.failure
    assert encode_run(one.trial.run) == encode_run(other.trial.run)


@pytest.mark.slow
def test_hidden_state_is_fuzzed_along_the_trajectory() -> None:
    def init(params: Any, hp: Any) -> State:
        state: State = BASE.init(params, hp)
        return state

    hidden = FunctionalBackend("hidden", init=init, step=BASE.step)
    assert only(hidden, examples=10).failure is None
    wrong = FunctionalBackend("wrong", init=init, step=ELEMENTWISE[4].step)
    assert only(wrong, examples=100).failure is not None


def test_series_end_at_the_first_failure_and_report_progress() -> None:
    counted: list[int] = []
    outcomes = list(fuzz(ELEMENTWISE[0], examples=30, advance=counted.append))
    assert [outcome.dtype for outcome in outcomes] == ["float16"]
    assert len(counted) == outcomes[0].examples
    assert sum(counted) == outcomes[0].elements


def test_dtype_that_the_backend_does_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match="dtype 'float64': narrow takes float32"):
        list(fuzz(replace(BASE, name="narrow", dtypes=("float32",)), dtypes=["float64"]))
