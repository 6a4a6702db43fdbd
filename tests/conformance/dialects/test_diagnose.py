"""`diagnose`: names every alternative, rejects other optimizers, and reports every error."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from adamax_conformance import Diagnosis, FunctionalBackend, diagnose
from adamax_conformance.cli import app
from adamax_conformance.dialects import Dialect
from adamax_conformance.dialects.axes import COMPLEX, CORRECTION, DECAY, EPS, SIGN, START
from adamax_conformance.spec.formats import FLOATS
from adamax_conformance.subjects.reference import backend
from adamax_conformance.variants import bias_correction, decay, eps, first_moment
from adamax_core import CANONICAL, Rule, State

RUNNER = CliRunner()
BASE = backend()


def made(rule: Any) -> FunctionalBackend:
    """Return the reference with another rule."""
    return backend(rule=cast("Rule", rule), name="made")


def hidden(shown: FunctionalBackend) -> FunctionalBackend:
    """Return the backend with a hidden state."""
    return replace(shown, moments=lambda _state: None)


def stepping(step: Callable[..., Any]) -> FunctionalBackend:
    return replace(BASE, name="made", step=step)


def deviations(diagnosis: Diagnosis) -> dict[str, str]:
    """Return the found alternative of each axis that deviates."""
    return {found.axis: found.found for found in diagnosis.deviating}


ON_THE_RULE = [
    *[({"eps": name}, {"eps": name}) for name in EPS.alternatives],
    *[({"correction": name}, {"bias correction": name}) for name in CORRECTION.alternatives],
    *[({"sign": name}, {"maximize": name}) for name in SIGN.alternatives],
    *[
        ({"decay": name}, {"weight decay": name, "decoupled weight decay": name})
        for name in DECAY.alternatives
    ],
    *[({"eps": "outside", "start": name}, {"initial state": name}) for name in START.alternatives],
]


@pytest.mark.parametrize(
    ("dtype", "look"),
    [
        ("float64", hidden),
        ("float32", lambda shown: shown),
        pytest.param("bfloat16", hidden, marks=pytest.mark.slow),
    ],
    ids=["float64-hidden", "float32-shown", "bfloat16-hidden"],
)
@pytest.mark.parametrize(("fields", "axes"), ON_THE_RULE, ids=str)
def test_every_alternative_of_the_rule_is_named(
    fields: dict[str, str], axes: dict[str, str], dtype: str, look: Callable[..., Any]
) -> None:
    diagnosis = diagnose(look(made(Dialect(**fields))), dtype=dtype)
    assert diagnosis.adamax
    wanted = {found.axis: found.specified for found in diagnosis.axes} | axes
    if fields.get("eps") == "outside":
        wanted["eps"] = "outside"
    assert {found.axis: found.found for found in diagnosis.axes if found.found != "not seen"} == {
        axis: found for axis, found in wanted.items() if diagnosis[axis].found != "not seen"
    }
    unseen = {found.axis for found in diagnosis.axes if found.found == "not seen"}
    # Without bias correction nothing but the state tells how steps are counted.
    nothing = fields.get("correction") == "none" and look is hidden
    assert unseen == ({"step scope"} if nothing else set())


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_reference_is_canonical_in_every_format(dtype: str) -> None:
    for shown in (BASE, hidden(BASE)):
        diagnosis = diagnose(shown, dtype=dtype)
        assert diagnosis.canonical
        assert diagnosis.sentence == "canonical Adamax"
        assert diagnosis.dtype == dtype
        assert all(found.found == found.specified for found in diagnosis.axes)


@pytest.mark.slow
@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    st.sampled_from(list(EPS.alternatives)),
    st.sampled_from(list(CORRECTION.alternatives)),
    st.sampled_from(list(DECAY.alternatives)),
    st.sampled_from(["float16", "float32", "float64"]),
    st.booleans(),
)
def test_any_combination_is_recovered(
    eps_name: str, correction: str, decay_name: str, dtype: str, shown: bool
) -> None:
    dialect = Dialect(eps_name, correction, decay=decay_name)
    diagnosis = diagnose(made(dialect) if shown else hidden(made(dialect)), dtype=dtype)
    assert diagnosis.dialect == replace(dialect, decay=None)
    assert diagnosis["weight decay"].found == diagnosis["decoupled weight decay"].found
    assert diagnosis["weight decay"].found == decay_name


VARIANTS = {
    "eps-outside": {"eps": "outside"},
    "eps-absent": {"eps": "none"},
    "eps-in-the-decay": {"eps": "in the decay"},
    "eps-on-the-maximum": {"eps": "on the maximum"},
    "eps-as-a-floor": {"eps": "floor"},
    "eps-halved": {"eps": "other"},
    "eps-under-a-root": {"eps": "other"},
    "eps-times-the-norm": {"eps": "other"},
    "second-eps": {"eps": "other"},
    "no-correction": {"bias correction": "none"},
    "square-root-of-the-correction": {"bias correction": "square root"},
    "correction-one-early": {"bias correction": "one early"},
    "correction-one-late": {"bias correction": "one late"},
    "correction-multiplied": {"bias correction": "other"},
    "maximize-ignored": {"maximize": "ignored"},
    "decay-ignored": {"weight decay": "none"},
    "decay-doubled": {"weight decay": "other"},
    "decay-before-the-sign": {"weight decay": "coupled before the sign"},
    "decoupled-where-coupled-is-asked": {"weight decay": "decoupled"},
    "coupled-where-decoupled-is-asked": {"decoupled weight decay": "coupled"},
    "decoupled-decay-of-the-new-parameter": {"decoupled weight decay": "decoupled after the step"},
    "decoupled-decay-without-lr": {"decoupled weight decay": "decoupled without lr"},
    "decoupled-decay-turned-by-maximize": {"decoupled weight decay": "other"},
    "moment-starts-with-the-gradient": {"initial state": "first gradient"},
}
FAMILIES = (eps, bias_correction, decay, first_moment)
WRONG = {each.id: each for family in FAMILIES for each in family.FAMILY.wrong}


@pytest.mark.parametrize("name", VARIANTS)
def test_wrong_variants_written_elsewhere_are_named_too(name: str) -> None:
    diagnosis = diagnose(WRONG[name].backend)
    # Some of them do not know of decoupled decay or of complex numbers either.
    assert VARIANTS[name].items() <= deviations(diagnosis).items()
    assert not diagnosis.canonical
    assert diagnosis.adamax
    if "other" in VARIANTS[name].values():
        assert "of another kind" in diagnosis.sentence


def adam(params: Any, grads: Any, state: State, hp: Any) -> Any:
    def norm(u: Any, g: Any, b2: Any, _eps: Any) -> Any:
        return b2 * u + (1 - b2) * g * g

    rule = CANONICAL._replace(
        infinity_norm=norm,
        displacement=lambda m, v, lr, c: lr / c * m / (np.sqrt(v) + hp.eps),
    )
    return backend(rule=rule).step(params, grads, state, hp)


def sgd(params: Any, grads: Any, state: State, hp: Any) -> Any:
    return {k: (p - hp.lr * grads.get(k, 0)).astype(p.dtype) for k, p in params.items()}, state


def sign(params: Any, grads: Any, state: State, hp: Any) -> Any:
    steps = {k: hp.lr * np.sign(grads.get(k, np.zeros(1))) for k in params}
    return {k: (p - steps[k]).astype(p.dtype) for k, p in params.items()}, state


@pytest.mark.parametrize(
    "step", [adam, sgd, sign, lambda p, _g, s, _hp: (dict(p), s),
             lambda p, _g, s, _hp: ({k: v * np.nan for k, v in p.items()}, s)],
    ids=["Adam", "SGD", "sign", "idle", "NaN"],
)  # fmt: skip
@pytest.mark.parametrize("look", [hidden, lambda shown: shown], ids=["hidden", "shown"])
def test_other_optimizers_are_not_adamax(step: Any, look: Callable[..., Any]) -> None:
    diagnosis = diagnose(look(stepping(step)))
    assert diagnosis.adamax is False
    assert not diagnosis.canonical
    assert diagnosis.sentence.startswith("not Adamax: ")
    assert diagnosis.dialect is None
    assert diagnosis.axes == ()


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
    [(as_zero, "as zero", "not seen"), (refuses, "raises", "parameter"),
     (drifts, "other", "not seen")],
)  # fmt: skip
def test_missing_gradients(step: Any, found: str, scope: str) -> None:
    diagnosis = diagnose(stepping(step))
    assert deviations(diagnosis) == {"missing gradient": found}
    assert diagnosis["step scope"].found == scope


def test_a_scope_that_cannot_be_loaded_is_not_offered() -> None:
    diagnosis = diagnose(replace(stepping(refuses), features=()))
    assert diagnosis["step scope"].found == "not offered"
    assert "a gradient is missing" in diagnosis["missing gradient"].note


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


def test_a_hidden_norm_may_drop_nan() -> None:
    step = ruled(lambda u, g, b2, eps: np.fmax(b2 * u, abs(g) + eps))
    found = diagnose(hidden(stepping(step)))["NaN gradient"]
    assert not found.deviates
    assert "the norm is hidden" in found.note


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


@pytest.mark.parametrize("name", ["numpy", "torch", "torch?foreach=true", "torch.optim"])
def test_subjects_that_are_canonical(name: str) -> None:
    diagnosis = diagnose(name)
    assert diagnosis.canonical, diagnosis
    assert "torch.optim" in diagnosis.known_as


@pytest.mark.slow
def test_jax_is_canonical() -> None:
    assert diagnose("jax").canonical


@pytest.mark.slow
def test_optax_is_canonical_but_for_its_count_and_the_modulus() -> None:
    diagnosis = diagnose("optax")
    assert deviations(diagnosis) == {
        "step scope": "global",
        "missing gradient": "raises",
        "complex": "modulus",
    }
    assert diagnosis.dialect == Dialect()


def test_the_one_in_jax_example_libraries_has_eps_outside() -> None:
    from jax.example_libraries import optimizers  # noqa: PLC0415 - slow to import

    def init(params: Any, hp: Any) -> Any:
        start, update, read = optimizers.adamax(hp.lr, *hp.betas, hp.eps)
        return 0, start(dict(params)), update, read

    def step(_params: Any, grads: Any, state: Any, _hp: Any) -> Any:
        count, inner, update, read = state
        inner = update(count, dict(grads), inner)
        return read(inner), (count + 1, inner, update, read)

    diagnosis = diagnose(FunctionalBackend("example", init=init, step=step))
    assert diagnosis["eps"].found == "outside"
    assert diagnosis["missing gradient"].found == "raises"
    assert "eps outside the maximum" in diagnosis.sentence
    assert "jax.example_libraries" in diagnosis.sentence


def boom(*_args: Any, **_options: Any) -> Any:
    raise MemoryError("no device")


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (replace(BASE, init=boom), "init raised MemoryError: no device"),
        (replace(BASE, step=boom), "step raised MemoryError: no device"),
        (replace(BASE, moments=boom), "moments raised MemoryError: no device"),
        (stepping(lambda *_args: None), "step raised TypeError"),
        (replace(BASE, step=lambda p, _g, s, _hp: ({k: v[:1] for k, v in p.items()}, s)),
         "came back as"),
        (replace(BASE, dtypes=("complex64",)), "it takes none of float16"),
    ],
)  # fmt: skip
def test_broken_backend_is_reported(broken: FunctionalBackend, text: str) -> None:
    diagnosis = diagnose(broken)
    assert not diagnosis.canonical
    assert diagnosis.adamax is None
    assert diagnosis.sentence.startswith("cannot be diagnosed: ")
    assert text in diagnosis.sentence


def test_error_on_one_axis_is_reported_there() -> None:
    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        if hp.maximize:
            raise NotImplementedError("not yet")
        return BASE.step(params, grads, state, hp)

    diagnosis = diagnose(stepping(step))
    assert deviations(diagnosis) == {"maximize": "raises"}
    note = diagnosis["maximize"].note
    assert note.startswith("step raised NotImplementedError: not yet (test_diagnose.py:")
    assert diagnosis.sentence == "maximize raises NotImplementedError"


def test_refusing_the_values_of_the_second_look_leaves_it_undecided() -> None:
    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        if not hp.eps or not hp.betas[0]:
            raise ValueError("zero")
        return sgd(params, grads, state, hp)

    assert diagnose(stepping(step)).adamax is False


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match=r"dtype = 'int8' must be a real dtype of numpy"):
        diagnose("numpy", dtype="int8")
    with pytest.raises(TypeError, match="is not a backend"):
        diagnose(cast("Any", 3))


def test_a_dictionary_holds_everything() -> None:
    diagnosis = diagnose(made(Dialect("outside", "none")))
    document = json.loads(json.dumps(diagnosis.as_dict()))
    assert document["sentence"] == "eps outside the maximum, no bias correction (as MLX)"
    assert document["known_as"] == ["MLX"]
    assert [axis["found"] for axis in document["axes"]][:2] == ["outside", "none"]
    assert str(diagnosis) == f"made: {document['sentence']}"


GLUE = """
from dataclasses import replace
from adamax_conformance.dialects import Dialect
from adamax_conformance.subjects.reference import backend
mlx = backend(rule=Dialect("outside", "none"), name="mlx")
idle = replace(backend(), name="idle", step=lambda p, g, s, hp: (dict(p), s))
def no_step(*_args): raise RuntimeError("no device")
broken = replace(backend(), name="broken", step=no_step)
"""


@pytest.fixture
def glue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "diagnose_glue.py").write_text(GLUE)


@pytest.mark.usefixtures("glue")
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["numpy"], 0, "numpy: canonical Adamax"),
        (["numpy", "--scale", "1e-6"], 0, "its steps are those of the specification"),
        (["py:diagnose_glue:mlx"], 1, "eps outside the maximum, no bias correction (as MLX)"),
        (["py:diagnose_glue:mlx", "--scale", "1", "--steps", "1"], 1, "0.1"),
        (["py:diagnose_glue:idle", "--scale", "1"], 1, "its rule is unknown"),
        (["py:diagnose_glue:idle", "--plot", "x.png"], 2, "nothing to plot: idle: not Adamax"),
        (["py:diagnose_glue:broken"], 3, "step raised RuntimeError: no device"),
        (["nope"], 2, "unknown backend 'nope'"),
        (["numpy", "--dtype", "int8"], 2, "dtype = 'int8'"),
        (["py:diagnose_glue:mlx", "--scale", "-1"], 2, "scale = -1.0 is outside its domain"),
        (["numpy", "--steps", "0"], 2, "greater than or equal to 1"),
        (["numpy", "--beta1", "1"], 2, "beta1 = 1.0 is outside its domain"),
    ],
)
def test_command(arguments: list[str], code: int, text: str) -> None:
    result = RUNNER.invoke(app, ["diagnose", *arguments])
    assert result.exit_code == code, result.output
    assert text in " ".join(result.output.split())
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("glue")
def test_command_in_json() -> None:
    result = RUNNER.invoke(
        app, ["diagnose", "py:diagnose_glue:mlx", "--scale", "1", "--format", "json"]
    )
    document = json.loads(result.stdout)
    assert document["canonical"] is False
    assert document["cost"][0]["step"] == 1
    assert document["cost"][-1]["step"] == 100


@pytest.mark.usefixtures("glue")
@pytest.mark.parametrize("name", ["numpy", "py:diagnose_glue:mlx"])
def test_command_plots(tmp_path: Path, name: str) -> None:
    path = tmp_path / "cost.svg"
    RUNNER.invoke(app, ["diagnose", name, "--steps", "3", "--plot", str(path)])
    assert path.read_text().startswith("<?xml")


@pytest.mark.usefixtures("glue")
def test_plot_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    result = RUNNER.invoke(app, ["diagnose", "numpy", "--plot", "x.png"])
    assert result.exit_code == 2
    assert "pip install matplotlib" in result.output
