"""Shrinking: the smallest run has the same fault, and the search always ends."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adamax_conformance.judging.finding import Violation
from adamax_conformance.judging.judge import judge
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.judging.shrink import STEPS, Effort, smallest
from adamax_conformance.subject.backend import Moments
from adamax_conformance.subject.watched import BackendError, Watched
from adamax_conformance.subjects.reference import backend as reference
from adamax_core import CANONICAL, Hyperparameters

BASE = reference()
HP = Hyperparameters(lr=0.5, betas=(0.75, 0.5), eps=1.0)


def wrong(step: Callable[..., Any]) -> Watched:
    return Watched(replace(BASE, name="wrong", step=step))


def data(*shapes: tuple[int, ...], steps: int = 3, dtype: str = "float32", **more: Any) -> Trial:
    rng = np.random.default_rng(0)
    names = "abc"[: len(shapes)]

    def drawn() -> dict[str, Any]:
        return {
            k: rng.normal(size=shape).astype(dtype) for k, shape in zip(names, shapes, strict=True)
        }

    return Trial(Run(drawn(), [drawn() for _ in range(steps)], HP, **more))


OUTSIDE = Watched(
    reference(CANONICAL._replace(infinity_norm=lambda u, g, b2, _eps: np.maximum(b2 * u, abs(g))))
)


def found(backend: Watched, trial: Trial) -> Violation:
    with pytest.raises(Violation) as caught, np.errstate(all="ignore"):
        judge(backend, trial)
    return caught.value


def sizes(trial: Trial) -> list[int]:
    return [param.size for param in trial.run.params.values()]


def test_one_element_one_step_zero_and_one() -> None:
    trial = smallest(OUTSIDE, data((4, 5), (7,)))
    assert sizes(trial) == [1]
    (grads,) = trial.run.grads
    assert [*trial.run.params.values()] == [0]
    assert [*grads.values()] == [1]


@pytest.mark.parametrize("dtype", ["complex64", "bfloat16", "float64"])
def test_dtypes_stay(dtype: str) -> None:
    params = smallest(OUTSIDE, data((3,), dtype=dtype)).run.params
    assert [param.dtype.name for param in params.values()] == [dtype]


def test_a_run_that_is_right_is_left_alone() -> None:
    trial = data((3,), (2,))
    assert smallest(Watched(BASE), trial) is trial


def test_quantity_that_is_wrong_stays() -> None:
    """A wrong correction shows in the parameter alone, and does so in the smallest run too."""
    no_correction = Watched(reference(CANONICAL._replace(bias_correction=lambda _b1, _t: 1.0)))
    trial = smallest(no_correction, data((4,)))
    divergence = found(no_correction, trial).divergence
    assert divergence is not None
    assert divergence.quantity == "param"


def test_step_that_is_needed_stays() -> None:
    """A norm that does not decay is right at the first step."""
    kept = Watched(
        reference(CANONICAL._replace(infinity_norm=lambda u, g, _b, e: np.maximum(u, abs(g) + e)))
    )
    grads = [{"a": np.array([g])} for g in (1.0, 8.0, 0.5, 1.0)]
    trial = smallest(kept, Trial(Run({"a": np.zeros(1)}, grads, HP)))
    assert len(trial.run.grads) == 2
    assert trial.run.at(1) == HP


def test_hyperparameters_stay_with_their_steps() -> None:
    plain = replace(HP, eps=0.0)
    trial = replace(data((2,)), run=replace(data((2,)).run, hp=[plain, HP, plain]))
    run = smallest(OUTSIDE, trial).run
    assert [run.at(i) for i in range(len(run.grads))] == [HP]


def test_necessary_size_stays() -> None:
    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        stepped, new = BASE.step(p, g, s, hp)
        for k in g:
            done = stepped[k].size // 8 * 8
            if stepped[k].size > 8:
                stepped[k][done:] = p[k][done:]
        return stepped, new

    backend = wrong(step)
    trial = smallest(backend, data((37,)))
    # Powers of two have no tail; one more has.
    assert sizes(trial) == [9]
    assert len(trial.run.grads) == 1


def test_second_parameter_that_is_needed_stays() -> None:
    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        first = min(p)
        swapped = {k: np.full_like(v, g[first].ravel()[0]) for k, v in g.items()} if g else g
        return BASE.step(p, swapped, s, hp)

    backend = wrong(step)
    trial = data((1,), (2, 3), (5,))
    run = smallest(backend, trial).run
    assert len(run.params) == 1 or sizes(Trial(run)) == [1, 1]
    found(backend, Trial(run))


def test_elements_of_parameters_of_other_shapes() -> None:
    """If all parameters are necessary, an index into one may be invalid for another."""

    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        stepped, new = BASE.step(p, g, s, hp)
        return {k: v + 1 if len(p) > 1 else v for k, v in stepped.items()}, new

    trial = smallest(wrong(step), data((4, 5), (7,), ()))
    assert len(trial.run.params) == 3
    assert all(size == 1 for size in sizes(trial))


def test_missing_gradients_and_loaded_state_are_cut_with_the_rest() -> None:
    rng = np.random.default_rng(1)
    params = {k: rng.normal(size=4) for k in "ab"}
    saved = {k: Moments(3, rng.normal(size=4), np.ones(4)) for k in "ab"}
    grads = [{"a": rng.normal(size=4)}, {"b": rng.normal(size=4)}]
    run = smallest(OUTSIDE, Trial(Run(params, grads, HP, saved=saved, undecayed=("a", "b")))).run
    (name,) = run.params
    assert run.saved is not None
    assert [*run.saved] == [name]
    assert run.saved[name].step == 3
    assert run.saved[name].exp_avg.shape == run.params[name].shape == (1,)
    assert run.undecayed == (name,)


def test_nan_in_a_parameter_ends() -> None:
    """NaN times zero is NaN: a parameter is replaced by zeros, not multiplied by zero."""
    trial = Trial(Run({"a": np.array([np.nan, 1.0])}, [{"a": np.ones(2)}], HP))
    assert [*smallest(OUTSIDE, trial).run.params.values()] == [0]


def test_fault_before_the_first_step_keeps_one_step() -> None:
    losing = replace(
        BASE,
        load=lambda p, hp, saved: BASE.load(
            p, hp, {k: {**slot, "step": 0} for k, slot in saved.items()}
        ),
    )
    saved = {"a": Moments(3, np.ones(4), np.ones(4))}
    grads = [{"a": np.ones(4)}] * 3
    trial = smallest(Watched(losing), Trial(Run({"a": np.ones(4)}, grads, HP, saved=saved)))
    assert len(trial.run.grads) == 1
    assert sizes(trial) == [1]
    divergence = found(Watched(losing), trial).divergence
    assert divergence is not None
    assert (divergence.step, divergence.quantity) == (0, "step")


def test_run_that_raises_is_shrunk_too() -> None:
    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        if len(g) > 1:
            raise LookupError("one at a time")
        return BASE.step(p, g, s, hp)

    backend = wrong(step)
    trial = smallest(backend, data((4, 5), (7,), ()))
    assert len(trial.run.params) == 2 or len(trial.run.params) == 3
    assert len(trial.run.grads) == 1
    assert all(size == 1 for size in sizes(trial))
    with pytest.raises(BackendError, match="one at a time"):
        judge(backend, trial)


def test_element_that_raises_is_found_wherever_it_is() -> None:
    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        if any(np.any(grad == 9) for grad in g.values()):
            raise ArithmeticError("nine")
        return BASE.step(p, g, s, hp)

    grad = np.arange(13.0)
    trial = Trial(Run({"a": np.zeros(13)}, [{"a": grad}], HP))
    assert smallest(wrong(step), trial).run.grads[0]["a"].tolist() == [9]


def test_another_error_is_not_the_same_fault() -> None:
    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        if all(v.size < 3 for v in p.values()):
            raise ValueError("too small")
        stepped, new = BASE.step(p, g, s, hp)
        return {k: v + 1 for k, v in stepped.items()}, new

    backend = wrong(step)
    trial = smallest(backend, data((37,)))
    assert sizes(trial) == [3]
    found(backend, trial)


def test_search_ends_if_the_fault_is_intermittent() -> None:
    calls = iter(range(10_000))

    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        stepped, new = BASE.step(p, g, s, hp)
        return ({k: v + 1 for k, v in stepped.items()} if next(calls) % 2 else stepped), new

    smallest(wrong(step), data((6,), (3,)))
    assert next(calls) < 4 * STEPS


def test_long_run_of_equal_steps_is_found_within_the_effort() -> None:
    """A counter that sticks at 32 shows in step 34 if the state is hidden."""
    judged: list[int] = []

    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        judged.append(1)
        stepped, new = BASE.step(p, g, s, hp)
        return stepped, new._replace(step={k: min(int(t), 32) for k, t in new.step.items()})

    hidden = Watched(replace(BASE, step=step, moments=lambda _state: None))
    rng = np.random.default_rng(0)
    hp = Hyperparameters(lr=1.0, betas=(1 - 2.0**-6, 0.5), eps=2.0**-10)
    grads = [{"a": rng.normal(size=3)} for _ in range(40)]
    effort = Effort(300)
    trial = smallest(hidden, Trial(Run({"a": np.ones(3)}, grads, hp)), effort)
    assert (len(trial.run.grads), sizes(trial)) == (34, [1])
    assert {float(each["a"][0]) for each in trial.run.grads} == {1.0}
    # The first judgement is not a part of the search.
    assert len(judged) <= 40 + 300 - effort.left


def test_searches_share_their_effort() -> None:
    effort = Effort(3)
    first = smallest(OUTSIDE, data((4, 5), (7,)), effort)
    assert effort.left < 3
    assert sizes(first) != [1]
    effort.left = 0
    trial = data((4, 5), (7,))
    assert smallest(OUTSIDE, trial, effort) is trial


def test_step_of_many_distinct_elements_counts_several_times() -> None:
    watched = Watched(BASE)
    watched.visible = True
    few, many = (Run({"a": a}, [{"a": a}], HP) for a in (np.ones(1000), np.arange(1000.0)))
    for run, cost in ((few, 1.02), (many, 21.0)):
        effort = Effort(100)
        assert effort.afford(watched, run)
        assert effort.left == pytest.approx(100 - cost)
    assert not Effort(20).afford(watched, many)
