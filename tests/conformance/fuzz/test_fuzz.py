"""The fuzzer: it draws the promised examples, finds faults, shrinks them, and is reproducible."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from typer.testing import CliRunner

from adamax_conformance import DTYPES, FunctionalBackend
from adamax_conformance.bounds.oracle import pairs
from adamax_conformance.cli import app
from adamax_conformance.exchange.wire import encode_run
from adamax_conformance.fuzz import Fuzzed, fuzz, repro
from adamax_conformance.fuzz.arrays import KINDS, arrays, shapes
from adamax_conformance.fuzz.runs import Offers, hyperparameters, moments, runs
from adamax_conformance.fuzz.sessions import Change, Load, Save, Session, Step, runs_of, sessions
from adamax_conformance.judging.run import Run
from adamax_conformance.spec.formats import FLOATS, dtype_of, format_of
from adamax_conformance.subject.memory import layout_of
from adamax_conformance.subject.watched import Watched
from adamax_conformance.subjects.reference import backend as reference
from adamax_core import CANONICAL, Hyperparameters, State

RUNNER = CliRunner()
BASE = reference()
EVERY = frozenset({"maximize", "weight_decay", "decoupled_weight_decay", "undecayed", "state_dtype",
                   "load"})  # fmt: skip
FIND = hypothesis.settings(
    database=None,
    derandomize=True,
    deadline=None,
    max_examples=2000,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def is_drawn(strategy: st.SearchStrategy[Any], wanted: Callable[[Any], bool]) -> None:
    """Raise if no example satisfies the condition."""
    hypothesis.find(strategy, wanted, settings=FIND)


def lies_as(layout: str, array: Any) -> bool:
    return layout_of(array) == layout


def does(kind: type, session: Session) -> bool:
    return any(isinstance(operation, kind) for operation in session.operations)


def only(backend: FunctionalBackend, dtype: str = "float32", **options: Any) -> Fuzzed:
    (outcome,) = fuzz(backend, dtypes=[dtype], **options)
    return outcome


@pytest.mark.parametrize(
    "wanted",
    [
        lambda shape: shape == (),
        lambda shape: shape == (0,),
        lambda shape: len(shape) == 3 and 0 in shape,
        lambda shape: shape == (1,),
        lambda shape: len(shape) == 1 and shape[0] % 8 == 5,
        lambda shape: len(shape) == 1 and shape[0] > 65_536 and shape[0] % 8,
        lambda shape: len(shape) == 2 and shape[0] * shape[1] > 4096 and shape[1] % 2,
    ],
)
def test_shapes_are_drawn(wanted: Callable[[Any], bool]) -> None:
    is_drawn(shapes(), wanted)


@pytest.mark.parametrize("shape", [(5,), (3, 37)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_are_drawn(dtype: str, shape: tuple[int, ...]) -> None:
    format_ = format_of(dtype)
    largest, normal = float(format_.largest), float(format_.normal)

    def sizes(array: Any) -> Any:
        return abs(pairs(array).astype(np.float64))

    drawn = arrays(dtype, shape)
    is_drawn(drawn, lambda a: bool(np.any((sizes(a) > 0) & (sizes(a) < normal))))
    is_drawn(drawn, lambda a: bool(np.any((sizes(a) > largest / 4) & (sizes(a) <= largest))))
    is_drawn(drawn, lambda a: bool(np.any(np.isnan(sizes(a)))))
    is_drawn(drawn, lambda a: bool(np.any(np.isinf(sizes(a)))))
    is_drawn(drawn, lambda a: bool(np.any(sizes(a) == 0)) or a.size > 8)
    is_drawn(drawn, lambda a: bool(np.any(sizes(a) == 1.5)) or a.size > 8)
    for layout in ("C", "F", "strided"):
        if layout != "F" or len(shape) > 1:
            is_drawn(drawn, partial(lies_as, layout))


@hypothesis.settings(derandomize=True, deadline=None, max_examples=60)
@hypothesis.given(data=st.data(), dtype=st.sampled_from(DTYPES), kind=st.sampled_from(KINDS))
def test_arrays_are_of_their_dtype_shape_and_kind(
    data: st.DataObject, dtype: str, kind: str
) -> None:
    shape = data.draw(shapes(100))
    array = data.draw(arrays(dtype, shape, kind))
    assert (array.dtype, array.shape) == (dtype_of(dtype), shape)
    if kind != "special":
        assert np.all(np.isfinite(pairs(array).astype(np.float64)))


def test_hyperparameters_are_drawn() -> None:
    drawn = hyperparameters(EVERY)
    for wanted in (
        lambda hp: hp.lr == 0,
        lambda hp: hp.lr > 1e300,
        lambda hp: 0 < hp.lr < 1e-300,
        lambda hp: hp.eps == 0,
        lambda hp: 0 in hp.betas,
        lambda hp: max(hp.betas) == 1 - 2.0**-53,
        lambda hp: hp.maximize and hp.decoupled_weight_decay and hp.weight_decay > 0,
        lambda hp: hp.weight_decay > 0 and not hp.decoupled_weight_decay,
    ):
        is_drawn(drawn, wanted)


def test_features_that_are_not_offered_are_not_drawn() -> None:
    @hypothesis.settings(derandomize=True, deadline=None, max_examples=50)
    @hypothesis.given(run=runs(Offers("float32", (), 100)))
    def plain(run: Run) -> None:
        assert run.saved is None
        assert run.state_dtype is None
        assert not run.undecayed
        for index in range(len(run.grads)):
            assert run.at(index).weight_decay == 0
            assert not run.at(index).maximize

    plain()


def test_runs_are_drawn() -> None:
    wanted: dict[str, Callable[[Run], bool]] = {
        "a gradient is missing": lambda run: any({*g} != {*run.params} for g in run.grads),
        "three parameters": lambda run: len(run.params) == 3,
        "five steps": lambda run: len(run.grads) == 5,
        "hyperparameters change": lambda run: run.at(0) != run.at(len(run.grads) - 1),
        "a large count": lambda run: run.saved is not None and run.saved["a"].step == 2**24 - 1,
        "exempt from decay": lambda run: run.undecayed == ("a",),
    }
    wanted["state in another dtype"] = lambda run: run.state_dtype is not None
    wanted["gradients in another dtype"] = lambda run: any(
        "a" in grads and grads["a"].dtype != run.params["a"].dtype for grads in run.grads
    )
    seen: set[str] = set()

    offers = st.sampled_from(DTYPES).map(lambda dtype: Offers(dtype, EVERY, 100))

    # Hypothesis repeats parts of earlier examples, so one long series may miss a rare choice.
    for seed in range(20):

        @hypothesis.seed(seed)
        @hypothesis.settings(database=None, deadline=None, max_examples=100)
        @hypothesis.given(offers.flatmap(runs))
        def look(run: Run) -> None:
            seen.update(name for name, holds in wanted.items() if holds(run))

        look()
        if seen == set(wanted):
            return
    pytest.fail(f"not drawn: {set(wanted) - seen}")


@hypothesis.settings(derandomize=True, deadline=None, max_examples=60)
@hypothesis.given(data=st.data(), dtype=st.sampled_from(DTYPES))
def test_saved_moments_are_valid(data: st.DataObject, dtype: str) -> None:
    slot = data.draw(moments(dtype, (3,)))
    assert slot.exp_avg.dtype == slot.exp_inf.dtype == dtype_of(dtype)
    assert not np.any(pairs(slot.exp_inf).astype(np.float64) < 0)
    assert slot.step < 2**31 - 6


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
    assert len(run.grads) <= 2
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


@pytest.mark.parametrize(
    ("first", "block"), [(8, 8), pytest.param(4096, 16, marks=pytest.mark.slow)]
)
def test_forgotten_tails_are_found(first: int, block: int) -> None:
    outcome = only(stepping("tail", tail_forgotten(first, block)), examples=400)
    assert outcome.failure is not None
    assert outcome.trial is not None
    (param,) = outcome.trial.run.params.values()
    assert first < param.size <= 2 * first + block


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


@pytest.mark.parametrize("stateful", [True, False])
def test_load_that_loses_the_step_is_found(stateful: bool) -> None:
    outcome = only(replace(BASE, name="loses", load=losing_the_step), stateful=stateful,
                   examples=200)  # fmt: skip
    assert outcome.failure is not None
    assert outcome.failure.divergence is not None
    assert outcome.failure.divergence.step == 0
    assert outcome.failure.divergence.quantity == "step"
    assert outcome.trial is not None
    assert len(outcome.trial.run.grads) == 1


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


def test_sessions_draw_every_operation() -> None:
    drawn = sessions(Offers("float32", EVERY, 100))
    for kind in (Step, Change, Save, Load):
        is_drawn(drawn, partial(does, kind))


@hypothesis.settings(derandomize=True, deadline=None, max_examples=50)
@hypothesis.given(session=sessions(Offers("float32", (), 100)))
def test_sessions_without_load_neither_save_nor_load(session: Session) -> None:
    assert not any(isinstance(each, Save | Load) for each in session.operations)


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


GLUE = """
import numpy as np
from dataclasses import replace
from adamax_core import CANONICAL
from adamax_conformance.subjects.reference import backend
base = backend()
outside = backend(
    CANONICAL._replace(infinity_norm=lambda u, g, b2, _eps: np.maximum(b2 * u, abs(g))), "outside"
)
def no_step(*_args): raise RuntimeError("no device")
broken = replace(base, name="broken", step=no_step)
"""


@pytest.fixture
def glue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fuzz_glue.py").write_text(GLUE)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["numpy"], 0, "numpy: no failure (seed 0)"),
        (["numpy", "--stateful", "--seed", "5"], 0, "numpy: no failure (seed 5)"),
        (["py:fuzz_glue:outside"], 1, "adamax-conformance replay repro.json"),
        (["nope"], 2, "unknown backend 'nope'"),
        (["numpy", "--dtype", "int8"], 2, "dtype 'int8': numpy takes float16"),
        (["numpy", "--out", "gone/x.json"], 2, "cannot write to folder gone"),
        (["numpy", "--out", "fuzz_glue.py"], 2, "already exists and is not overwritten"),
        (["py:fuzz_glue:broken"], 3, "RuntimeError: no device"),
    ],
)
@pytest.mark.usefixtures("glue")
def test_command(arguments: list[str], code: int, text: str) -> None:
    dtype = [] if "--dtype" in arguments else ["--dtype", "float32"]
    result = RUNNER.invoke(app, ["fuzz", *arguments, *dtype, "--examples", "10"])
    assert result.exit_code == code, result.output
    assert text in result.output


@pytest.mark.usefixtures("glue")
def test_second_failure_is_written_beside_the_first() -> None:
    arguments = ["fuzz", "py:fuzz_glue:outside", "--dtype", "float32"]
    first, second = (RUNNER.invoke(app, [*arguments, "--seed", seed]).output for seed in "12")
    assert first.endswith("adamax-conformance replay repro.json\n")
    assert second.endswith("adamax-conformance replay repro-1.json\n")
    assert repro.load(Path("repro.json")).command.endswith("--seed 1")


@pytest.mark.usefixtures("glue")
def test_failure_is_printed_in_numbers_and_written() -> None:
    name = "py:fuzz_glue:outside"
    result = RUNNER.invoke(app, ["fuzz", name, "--dtype", "float32", "--out", "x.json"])
    assert "exp_inf\n  got " in result.output
    assert "times the bound" in result.output
    assert "eps          1.0 = 0x1.0000000000000p+0" in result.output
    written = repro.load(Path("x.json"))
    assert written.backend == name
    assert (
        written.command == f"adamax-conformance fuzz {name} --dtype float32 --examples 100 --seed 0"
    )
    assert written.failure.divergence is not None
    assert str(written.failure.divergence.where) in result.output
    again = RUNNER.invoke(app, ["replay", "x.json"])
    assert again.exit_code == 1
    assert written.failure.divergence.got in again.output
