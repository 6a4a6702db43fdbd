"""`diagnose` names every alternative of the rule, and rejects other optimizers."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamax_conformance import FunctionalBackend, diagnose
from adamax_conformance.dialects import Dialect
from adamax_conformance.dialects.axes import CORRECTION, DECAY, EPS, SIGN, START
from adamax_conformance.spec.formats import FLOATS
from adamax_conformance.subjects.reference import backend
from adamax_conformance.variants import bias_correction, decay, eps, first_moment
from adamax_core import CANONICAL, State
from diagnosed import BASE, deviations, hidden, made, sgd, stepping
from wrong_kernels import kernel

ON_THE_RULE = [
    *[({"eps": name}, {"eps": name}) for name in EPS.alternatives],
    *[({"correction": name}, {"bias correction": name}) for name in CORRECTION.alternatives],
    *[({"sign": name}, {"maximize": name}) for name in SIGN.alternatives],
    *[
        ({"decay": name, "decoupled": name}, {"weight decay": name, "decoupled weight decay": name})
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
    if look is hidden:
        unseen.remove("NaN gradient")
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
        unlike = {each.axis: each.found for each in diagnosis.axes if each.found != each.specified}
        assert unlike == ({} if shown is BASE else {"NaN gradient": "not seen"})


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
    dialect = Dialect(eps_name, correction, decay=decay_name, decoupled=decay_name)
    diagnosis = diagnose(made(dialect) if shown else hidden(made(dialect)), dtype=dtype)
    assert diagnosis.dialect == dialect
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


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_wrong_variants_written_elsewhere_are_named_too(name: str) -> None:
    diagnosis = diagnose(WRONG[name].backend)
    # Some of them do not know of decoupled decay or of complex numbers either.
    assert VARIANTS[name].items() <= deviations(diagnosis).items()
    assert not diagnosis.canonical
    assert diagnosis.adamax
    if "other" in VARIANTS[name].values():
        assert "of another kind" in diagnosis.sentence


def test_what_beta1_does_beyond_one_factor_is_no_bias_correction() -> None:
    for each in (kernel("nesterov"), kernel("nesterov", hidden=True), WRONG["nesterov"].backend):
        diagnosis = diagnose(each)
        assert diagnosis.sentence == (
            "not Adamax: with beta1 = 0 it is, but beta1 changes more than one factor in each step"
        )


def test_one_factor_that_has_no_name_is_a_bias_correction() -> None:
    rule = CANONICAL._replace(bias_correction=lambda b1, _step: 1 - b1 * b1)
    for look in (hidden, lambda shown: shown):
        diagnosis = diagnose(look(backend(rule)))
        assert deviations(diagnosis) == {"bias correction": "other"}


def test_where_no_name_fits_it_is_told_what_was_seen() -> None:
    # |g| = 1/32 and eps = 3/16 give u = 7/32 and a step of -4 m / (c u) = -4 / 7.
    diagnosis = diagnose(kernel("second eps"))
    assert diagnosis.sentence == (
        "eps of another kind (step 1, w[2]: got -0.568828; inside gives -0.571429)"
    )
    assert diagnosis["eps"].note == (
        "step 1, w[2]: got -0.568828; inside gives -0.571429, outside -0.571429, in the decay "
        "-0.666667, floor -0.666667, on the maximum -0.571429, twice -0.307692, none -4"
    )


def test_what_is_not_adamax_is_told_with_a_value() -> None:
    diagnosis = diagnose(kernel("other beta"))
    assert diagnosis.sentence == (
        "not Adamax: no eps with any bias correction takes these steps; step 1, w[4]: "
        "got -1.98835; the specification gives -3.9767"
    )


def test_a_value_that_is_no_number_is_told_in_words() -> None:
    made = backend(CANONICAL._replace(displacement=lambda m, u, lr, c: lr / c * m / u + np.inf))
    assert ": got -inf; the specification gives " in diagnose(made).sentence


@pytest.mark.parametrize("line", ["first_moment", "displacement"])
def test_the_digits_of_a_narrower_dtype_are_told(line: str) -> None:
    def narrow(*args: Any) -> Any:
        exact = getattr(CANONICAL, line)(*args)
        return exact.astype(np.float32).astype(exact.dtype)

    diagnosis = diagnose(made(CANONICAL._replace(**{line: narrow})))
    assert diagnosis.sentence == "canonical Adamax, in the digits of float32 alone"
    assert not diagnosis.canonical
    assert deviations(diagnosis) == {}
    assert diagnosis.as_dict()["digits"] == "float32"


def test_elements_that_never_move_are_told() -> None:
    diagnosis = diagnose(kernel("tail not stored"))
    assert diagnosis.sentence == "not Adamax: the last 2 of 6 elements never move"


def adam(params: Any, grads: Any, state: State, hp: Any) -> Any:
    def norm(u: Any, g: Any, b2: Any, _eps: Any) -> Any:
        return b2 * u + (1 - b2) * g * g

    rule = CANONICAL._replace(
        infinity_norm=norm,
        displacement=lambda m, v, lr, c: lr / c * m / (np.sqrt(v) + hp.eps),
    )
    return backend(rule=rule).step(params, grads, state, hp)


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
    assert diagnosis.dialect == Dialect(complex="modulus")


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


def test_a_dictionary_holds_everything() -> None:
    diagnosis = diagnose(made(Dialect("outside", "none")))
    document = json.loads(json.dumps(diagnosis.as_dict()))
    assert document["sentence"] == "eps outside the maximum, no bias correction (as MLX)"
    assert document["known_as"] == ["MLX"]
    assert [axis["found"] for axis in document["axes"]][:2] == ["outside", "none"]
    assert str(diagnosis) == f"made: {document['sentence']}"
