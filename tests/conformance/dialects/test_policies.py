"""`diagnose` names counts, missing gradients, NaN, complex numbers and an initial state."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adamax_conformance import FunctionalBackend, diagnose
from adamax_conformance.dialects import Dialect
from adamax_conformance.dialects.axes import COMPLEX
from adamax_conformance.spec.formats import FLOATS
from adamax_conformance.subjects.reference import backend
from adamax_core import CANONICAL, State
from diagnosed import BASE, deviations, hidden, made, stepping
from wrong_kernels import kernel


def counted(scope: str) -> FunctionalBackend:
    """Return the reference with one count for each group, or for all parameters."""

    def init(params: Any, hp: Any, undecayed: Any = ()) -> Any:
        return (0, 0), tuple(undecayed), BASE.init(params, hp)

    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        counts, exempt, inner = state
        group = {k: int(k in exempt and scope == "group") for k in params}
        given = {group[k] for k in grads}
        inner = inner._replace(step={k: counts[group[k]] for k in params})
        stepped, inner = BASE.step(params, grads, inner, hp)
        counts = tuple(count + (i in given) for i, count in enumerate(counts))
        return stepped, (counts, exempt, inner)

    def moments(state: Any) -> Any:
        counts, exempt, inner = state
        group = {k: int(k in exempt and scope == "group") for k in inner.step}
        return BASE.moments(inner._replace(step={k: counts[group[k]] for k in inner.step}))

    return FunctionalBackend(
        "counted", init=init, step=step, moments=moments, dtypes=("float32",),
        features=("undecayed",),
    )  # fmt: skip


@pytest.mark.parametrize("look", [hidden, lambda shown: shown], ids=["hidden", "shown"])
@pytest.mark.parametrize("scope", ["group", "global"])
def test_counts_that_are_shared(scope: str, look: Callable[..., Any]) -> None:
    diagnosis = diagnose(look(counted(scope)))
    assert deviations(diagnosis) == {"step scope": scope}
    assert diagnosis["maximize"].found == "not offered"
    assert "as" not in diagnosis.sentence.split()


def test_without_groups_a_global_count_may_be_that_of_the_group() -> None:
    diagnosis = diagnose(replace(counted("global"), features=()))
    assert deviations(diagnosis) == {"step scope": "global"}
    assert "or for each group" in diagnosis["step scope"].note


def as_zero(params: Any, grads: Any, state: Any, hp: Any) -> Any:
    zeros = {k: np.zeros_like(p) for k, p in params.items()}
    return BASE.step(params, zeros | dict(grads), state, hp)


def refuses(params: Any, grads: Any, state: Any, hp: Any) -> Any:
    if set(grads) != set(params):
        raise TypeError("a gradient is missing")
    return BASE.step(params, grads, state, hp)


def drifts(params: Any, grads: Any, state: Any, hp: Any) -> Any:
    stepped, state = BASE.step(params, grads, state, hp)
    return {k: v if k in grads else v + v.dtype.type(1) for k, v in stepped.items()}, state


@pytest.mark.parametrize(
    ("step", "found", "scope"),
    [(as_zero, "as zero", "not seen"), (refuses, "raises", "not offered"),
     (drifts, "other", "not seen")],
)  # fmt: skip
def test_missing_gradients(step: Any, found: str, scope: str) -> None:
    for features, shown in ((BASE.features, "parameter"), ((), scope)):
        diagnosis = diagnose(replace(stepping(step), features=features))
        assert deviations(diagnosis) == {"missing gradient": found}
        assert diagnosis["step scope"].found == shown


def test_a_change_without_a_gradient_is_told_with_its_value() -> None:
    note = diagnose(stepping(drifts))["missing gradient"].note
    assert note.startswith("step 1, b[0]: 0 becomes 1")


def test_a_wrong_count_after_a_missing_gradient_does_not_change_the_parameter_itself() -> None:
    diagnosis = diagnose(kernel("shared product"))
    assert deviations(diagnosis) == {"step scope": "other"}
    assert diagnosis["missing gradient"].found == "untouched"
    assert diagnosis.sentence == (
        "step scope of another kind (step 3, a[5]: got -7.59184; its own count gives -6.85714)"
    )


def test_parameters_that_share_memory_have_no_wrong_count() -> None:
    def shared(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        after, state = BASE.step(params, grads, state, hp)
        stepped, memory = dict(after), dict[Any, Any]()
        for name in grads:
            kept = memory.setdefault(params[name].shape, np.empty_like(params[name]))
            kept[...], stepped[name] = stepped[name], kept
        return stepped, state

    diagnosis = diagnose(stepping(shared))
    assert deviations(diagnosis) == {}
    assert diagnosis["step scope"].found == "not seen"


def without_a_norm(read: Callable[..., Any]) -> FunctionalBackend:
    """Return a backend like TorchOpt: without a gradient a parameter moves by its first moment.

    Its norm is then None, which `read` makes of what it shows.
    """

    def step(params: Any, grads: Any, held: Any, hp: Any) -> Any:
        state, _ = held
        missing = {k for k in params if k not in grads}
        stepped, after = BASE.step(params, grads, state, hp)
        moved = {k: (params[k] - state.exp_avg[k]).astype(params[k].dtype) for k in missing}
        return {**stepped, **moved}, (after, missing)

    def moments(held: Any) -> Any:
        state, missing = held
        norms = {k: None if k in missing else u for k, u in state.exp_inf.items()}
        return {k: (state.step[k], state.exp_avg[k], read(u)) for k, u in norms.items()}

    return replace(
        stepping(step),
        init=lambda params, hp: (BASE.init(params, hp), ()),
        moments=moments,
        features=(),
    )


@pytest.mark.parametrize("read", [np.asarray, abs], ids=["malformed", "raises"])
def test_moments_that_cannot_be_read_are_no_error_of_a_step(read: Any) -> None:
    found = diagnose(without_a_norm(read))["missing gradient"]
    assert found.found == "other"
    assert found.note == "step 4, a[0]: -7.99719 becomes -8.0675"


@pytest.mark.parametrize("axis", ["missing gradient", "NaN gradient", "maximize"])
def test_an_answer_that_is_not_valid_is_not_raised(axis: str) -> None:
    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        stepped, state = BASE.step(params, grads, state, hp)
        wrong = {
            "missing gradient": set(grads) != set(params),
            "NaN gradient": any(np.isnan(g).any() for g in grads.values()),
            "maximize": hp.maximize,
        }[axis]
        return {k: p[:1] if wrong else p for k, p in stepped.items()}, state

    found = diagnose(stepping(step))[axis]
    assert found.found == "other"
    assert found.note.startswith("no valid answer: ")


def test_a_scope_that_cannot_be_loaded_is_not_offered() -> None:
    diagnosis = diagnose(replace(stepping(refuses), features=()))
    assert diagnosis["step scope"].found == "not offered"
    assert "a gradient is missing" in diagnosis["missing gradient"].note


def test_what_a_limit_excludes_is_not_probed() -> None:
    limited = replace(stepping(refuses), limits=["no_missing_gradients"])
    diagnosis = diagnose(limited)
    assert deviations(diagnosis) == {}
    assert diagnosis["missing gradient"].found == "not offered"
    assert diagnosis["step scope"].found == "parameter"


def refuses_zero_eps(params: Any, grads: Any, state: Any, hp: Any) -> Any:
    if hp.eps == 0:
        raise ValueError("eps = 0")
    return BASE.step(params, grads, state, replace(hp, eps=hp.eps / 2))


def test_an_eps_of_zero_that_a_limit_excludes_is_not_probed() -> None:
    halved = replace(stepping(refuses_zero_eps), limits=["positive_eps"])
    assert diagnose(halved).adamax is False


def first_only(u: Any, g: Any, b2: Any, eps: Any) -> Any:
    """A maximum that takes its second operand when one is NaN."""
    old, new = b2 * u, abs(g) + eps
    return np.where(old > new, old, new)


def skips(params: Any, grads: Any, state: Any, hp: Any) -> Any:
    if any(np.isnan(g).any() for g in grads.values()):
        return dict(params), state
    return BASE.step(params, grads, state, hp)


def cleans(params: Any, grads: Any, state: Any, hp: Any) -> Any:
    return BASE.step(params, {k: np.nan_to_num(g) for k, g in grads.items()}, state, hp)


def spreads(params: Any, grads: Any, state: Any, hp: Any) -> Any:
    stepped, state = BASE.step(params, grads, state, hp)
    return {k: p + 0 * p.sum() for k, p in stepped.items()}, state


def rejects(params: Any, grads: Any, state: Any, hp: Any) -> Any:
    if any(np.isnan(g).any() for g in grads.values()):
        raise FloatingPointError("NaN gradient")
    return BASE.step(params, grads, state, hp)


def ruled(norm: Any) -> Any:
    return backend(rule=CANONICAL._replace(infinity_norm=norm)).step


@pytest.mark.parametrize(
    ("step", "found"),
    [
        (ruled(lambda u, g, b2, eps: np.fmax(b2 * u, abs(g) + eps)), "dropped"),
        (ruled(first_only), "washes out"),
        (skips, "skipped"),
        (cleans, "other"),
        (spreads, "other"),
        (rejects, "raises"),
        (ruled(lambda u, g, b2, eps: np.where(b2 * u < abs(g) + eps, abs(g) + eps, b2 * u)),
         "dropped"),
    ],
)  # fmt: skip
def test_nan_policies(step: Any, found: str) -> None:
    assert deviations(diagnose(stepping(step))) == {"NaN gradient": found}


@pytest.mark.parametrize(
    "norm",
    [
        CANONICAL.infinity_norm,
        lambda u, g, b2, eps: np.fmax(b2 * u, abs(g) + eps),
        first_only,
    ],
    ids=["sticks", "dropped", "washes out"],
)
def test_what_a_hidden_norm_does_with_nan_is_not_seen(norm: Any) -> None:
    found = diagnose(hidden(stepping(ruled(norm))))["NaN gradient"]
    assert (found.found, found.deviates) == ("not seen", False)
    assert found.note == "the parameter stays NaN; the norm is hidden"


def test_complex_by_modulus_and_otherwise() -> None:
    def step(name: str) -> Any:
        def one(params: Any, grads: Any, state: Any, hp: Any) -> Any:
            kind = next(iter(params.values())).dtype.kind
            rule = Dialect(complex=name) if kind == "c" else Dialect()
            return made(rule).step(params, grads, state, hp)

        return one

    def real_part(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        return BASE.step(params, {k: g.real.astype(g.dtype) for k, g in grads.items()}, state, hp)

    for name in COMPLEX.alternatives:
        assert diagnose(stepping(step(name)))["complex"].found == name
    assert diagnose(stepping(real_part))["complex"].found == "other"
    assert diagnose(replace(BASE, dtypes=FLOATS))["complex"].found == "not offered"


def test_an_initial_state_that_is_shown() -> None:
    def starting(exp_avg: float, exp_inf: float, step: int = 0) -> FunctionalBackend:
        def init(params: Any, _hp: Any, **_options: Any) -> State:
            return State(
                dict.fromkeys(params, step),
                {k: np.full_like(p, exp_avg) for k, p in params.items()},
                {k: np.full_like(p, exp_inf) for k, p in params.items()},
            )

        return replace(made(Dialect("outside")), init=init)

    for shown, name in (((0, 0), "zero"), ((0, 0.1875), "norm of eps"), ((0, 1), "norm of one")):
        assert diagnose(starting(*shown))["initial state"].found == name
    odd = diagnose(starting(0.5, 3))
    assert odd["initial state"].found == "other"
    assert odd["initial state"].note == "m = 0.5, u = 3"
    assert odd.dialect is None
    late = diagnose(starting(0, 0, 1))
    assert deviations(late) == {"eps": "outside", "bias correction": "one late",
                                "initial state": "other"}  # fmt: skip
    assert late["initial state"].note == "the count starts at 1"
