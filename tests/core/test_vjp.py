"""The closed form against exact differences, dual numbers, JAX, PyTorch; kinks, trees, dtypes."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import array_api_strict as strict
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optree
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adamax_conformance.cases.derivatives import judge_vjp, tangents
from adamax_conformance.subject.backend import WRT, Moments, Steps
from adamax_conformance.subject.watched import Watched
from adamax_conformance.subjects.reference import backend as reference
from adamax_core import (
    Cotangents,
    Derivatives,
    Hyperparameters,
    State,
    init,
    step,
    step_vjp,
)
from adamax_core.trees import Tree

Q = Fraction  # the rationals

MODES: dict[str, dict[str, Any]] = {
    "plain": {"weight_decay": 0.0},
    "ascent": {"weight_decay": 0.0, "maximize": True},
    "coupled": {},
    "coupled-ascent": {"maximize": True},
    "decoupled": {"decoupled_weight_decay": True},
    "decoupled-ascent": {"decoupled_weight_decay": True, "maximize": True},
}
modes = pytest.mark.parametrize("mode", MODES)


def rationals(*values: Any) -> Any:
    return np.array([Q(value) for value in values], dtype=object)


def hyperparameters(mode: str, number: Callable[[float], Any] = Q) -> Hyperparameters:
    lr, beta1, beta2, eps, decay = map(number, (0.125, 0.75, 0.875, 0.25, 0.375))
    plain: dict[str, Any] = {"lr": lr, "betas": (beta1, beta2), "eps": eps, "weight_decay": decay}
    return Hyperparameters(**(plain | MODES[mode]))


class Point(NamedTuple):
    """Where a step is differentiated, all inputs by name, and the weights of what it gives."""

    inputs: dict[str, Any]
    taken: int
    hp: Hyperparameters
    weights: Cotangents

    def moved(self, wrt: str, by: Fraction) -> "Point":
        return self._replace(inputs=self.inputs | {wrt: self.inputs[wrt] + by})

    @property
    def step_arguments(self) -> tuple[Any, Any, State, Hyperparameters]:
        at = self.inputs
        hp = replace(
            self.hp, lr=at["lr"], betas=(at["beta1"], at["beta2"]), eps=at["eps"],
            weight_decay=at["weight_decay"],
        )  # fmt: skip
        state = State(self.taken, at["exp_avg"], at["exp_inf"])
        return at["params"], at["grads"], state, hp

    def weighed(self) -> Any:
        """The scalar that is differentiated: each element's share of it."""
        params, state = step(*self.step_arguments)
        results = (params, state.exp_avg, state.exp_inf)
        return sum(weight * result for weight, result in zip(self.weights, results, strict=True))


# The norm is the gradient's in the first three elements and the past's in the others, for every
# sign and decay of `hyperparameters`: nowhere a kink.
POINT = {
    "params": rationals(1, -2, 0.5, 3, -0.25, 1),
    "grads": rationals(3, -5, 4, 0.125, -0.5, 0.75),
    "exp_avg": rationals(0.5, -0.25, -1, 2, 0, 1),
    "exp_inf": rationals(1, 0.5, 2, 8, 4, 16),
}
WEIGHTS = Cotangents(
    rationals(1, -1, 2, 3, 0.5, -2), rationals(-1, 3, 1, 0.5, 2, 0), rationals(2, 1, -3, 1, -0.5, 4)
)


def point(mode: str, count: int) -> Point:
    hp = hyperparameters(mode)
    scalars = {"lr": hp.lr, "eps": hp.eps, "weight_decay": hp.weight_decay}
    scalars |= dict(zip(("beta1", "beta2"), hp.betas, strict=True))
    return Point(POINT | scalars, count, hp, WEIGHTS)


@pytest.mark.parametrize("count", [0, 1, 6])
# At the end of its domain, where decay is zero, a number has no difference on both sides.
@pytest.mark.parametrize(
    ("mode", "wrt"),
    [(mode, wrt) for mode in MODES for wrt in WRT if "coupled" in mode or wrt != "weight_decay"],
)
def test_it_is_the_limit_of_exact_differences(mode: str, wrt: str, count: int) -> None:
    at = point(mode, count)
    slope = getattr(step_vjp(*at.step_arguments, at.weights), wrt)

    def error(h: Fraction) -> Any:
        difference = (at.moved(wrt, h).weighed() - at.moved(wrt, -h).weighed()) / (2 * h)
        return np.atleast_1d((difference if wrt in POINT else sum(difference)) - slope)

    # A central difference of an analytic function is off by a h^2 + O(h^4), and by nothing where
    # the function is a polynomial of degree two: so halving h quarters the error but for a relative
    # O(h^2), here 2^-160. A wrong slope leaves an error that does not shrink.
    h = Q(1, 2**80)
    for coarse, fine in zip(error(h), error(h / 2), strict=True):
        assert abs(4 * fine - coarse) <= abs(coarse) * h


SERIES = [[3, -5, 4, 0.125, -0.5, 0.75], [-1, 0.5, 2, -4, 8, -3], [0.5, 1, -7, 2, 0.25, 5]]


def backwards(
    params: Tree, series: list[Tree], state: State, hp: Hyperparameters, cotangents: Cotangents
) -> list[Derivatives]:
    """The derivatives of each step of a run, first step first."""
    begins = []
    for grads in series:
        begins.append((params, grads, state))
        params, state = step(params, grads, state, hp)
    found: list[Derivatives] = []
    for before, grads, start in reversed(begins):
        found.insert(0, step_vjp(before, grads, start, hp, cotangents))
        cotangents = found[0].before
    return found


def assert_chain_is_exact(hp: Hyperparameters, exactly: Hyperparameters) -> None:
    params, exp_avg, exp_inf = (POINT[key] for key in ("params", "exp_avg", "exp_inf"))
    series = [rationals(*grads) for grads in SERIES]
    weights = WEIGHTS.params
    found = backwards(params, series, State(2, exp_avg, exp_inf), exactly, Cotangents(weights))
    saved = Moments(2, exp_avg.astype(float), exp_inf.astype(float))
    floats = [np.array(grads, float) for grads in SERIES]

    def slope(wrt: str, seeded_step: int = 0) -> Any:
        """Of the last parameters, on dual numbers over rationals."""
        at = params.astype(float)
        return tangents(wrt, at, floats, saved, hp, seeded_step).value * weights

    for wrt in ("params", "exp_avg", "exp_inf"):
        assert list(getattr(found[0], wrt)) == list(slope(wrt)), wrt
    for index, derivatives in enumerate(found):
        assert list(derivatives.grads) == list(slope("grads", index))
    for wrt in ("lr", "beta1", "beta2", "eps", "weight_decay"):
        assert sum(getattr(each, wrt) for each in found) == sum(slope(wrt)), wrt


@modes
def test_a_chain_of_steps_is_exactly_that_of_dual_numbers(mode: str) -> None:
    assert_chain_is_exact(hyperparameters(mode, float), hyperparameters(mode))


@pytest.mark.parametrize(
    "end", [{"lr": 0}, {"betas": (0, 0.875)}, {"betas": (0.75, 0)}, {"eps": 0}], ids=str
)
@pytest.mark.parametrize("mode", ["coupled", "decoupled-ascent"])
def test_it_is_exact_at_the_lower_end_of_each_domain(mode: str, end: dict[str, Any]) -> None:
    rational: Any = {k: Q(v) if k != "betas" else tuple(map(Q, v)) for k, v in end.items()}
    assert_chain_is_exact(
        replace(hyperparameters(mode, float), **end), replace(hyperparameters(mode), **rational)
    )


def by_jax(final: Callable[[Any], Any], inputs: Any) -> Any:
    with jax.enable_x64(True):
        return jax.grad(final)(jax.tree.map(jnp.asarray, inputs))


def by_torch(final: Callable[[Any], Any], inputs: Any) -> Any:
    leaves, treedef = optree.tree_flatten(inputs)
    tensors = [torch.tensor(leaf, dtype=torch.float64, requires_grad=True) for leaf in leaves]
    out = final(optree.tree_unflatten(treedef, tensors))
    return optree.tree_unflatten(treedef, torch.autograd.grad(out, tensors))


def autodiff(maximum: Callable[..., Any], slopes: Callable[..., Any]) -> Callable[..., Any]:
    """A `vjp` for the judge: the rule as it is printed, differentiated by a framework."""

    def vjp(wrt: str, steps: Steps) -> Any:
        hp, start = steps.hp, steps.saved["w"]

        def final(x: Any) -> Any:
            p, m, u = x["params"], x["exp_avg"], x["exp_inf"]
            for t, grad in enumerate(x["grads"], start.step + 1):
                g = -grad if hp.maximize else grad
                decay = x["weight_decay"] * p
                g = g if hp.decoupled_weight_decay else g + decay
                m = x["beta1"] * m + (1 - x["beta1"]) * g
                u = maximum(x["beta2"] * u, abs(g) + x["eps"])
                p = p - x["lr"] / (1 - x["beta1"] ** t) * (m / u)
                p = p - x["lr"] * decay if hp.decoupled_weight_decay else p
            return (p * weights).sum()

        weights = steps.cotangents["w"]
        weights = torch.tensor(weights) if maximum is torch.maximum else weights
        inputs = {"params": steps.params["w"], "grads": [each["w"] for each in steps.grads]}
        inputs |= {"exp_avg": start.exp_avg, "exp_inf": start.exp_inf, "lr": hp.lr, "eps": hp.eps}
        inputs |= {"beta1": hp.betas[0], "beta2": hp.betas[1], "weight_decay": hp.weight_decay}
        slope = optree.tree_map(lambda x: np.asarray(x, np.float64), slopes(final, inputs)[wrt])
        if wrt == "grads":
            return [{"w": each} for each in slope]
        return {"w": slope} if wrt in POINT else slope

    return vjp


VJPS = {
    "closed form": reference().vjp,
    "JAX": autodiff(jnp.maximum, by_jax),
    "PyTorch": autodiff(torch.maximum, by_torch),
}


@pytest.mark.parametrize("whose", VJPS)
@modes
def test_it_agrees_with_automatic_differentiation(mode: str, whose: str) -> None:
    """Each is within the bound on the roundings of its own that the judge derives."""
    rng = np.random.default_rng(1)
    arrays = rng.normal(size=(7, 40))
    steps = Steps(
        {"w": arrays[0]},
        [{"w": grad} for grad in arrays[1:4]],
        {"w": Moments(3, arrays[4], abs(arrays[5]) + 1)},
        hyperparameters(mode, float),
        {"w": arrays[6]},
    )
    subject = Watched(replace(reference(), vjp=VJPS[whose]))
    for wrt in WRT:
        assert judge_vjp(subject, wrt, steps).elements


# Kinks


def test_at_a_kink_the_subgradient_is_the_documented_one() -> None:
    # |g| at zero with the norm from the gradient, a tie away from zero, a tie at zero.
    params, grads = rationals(1, 1, 1), rationals(0, 3, 0)
    state = State(1, rationals(1, 1, 1), rationals(0, 8, 2))
    hp = replace(hyperparameters("plain"), betas=(Q(3, 4), Q(1, 2)), eps=Q(1))
    found = step_vjp(params, grads, state, hp, Cotangents(params * 0, None, rationals(1, 1, 1)))
    assert list(found.exp_inf) == [0, 0, 0]
    assert list(found.grads) == [0, 1, 0]
    assert found.eps == 3


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@modes
def test_at_a_kink_it_is_finite_in_every_dtype(mode: str, dtype: Any) -> None:
    params, grads = (np.array(values).astype(dtype) for values in ([0.0, 1, -2], [0.0, 0, 3.5]))
    hp = replace(hyperparameters(mode, float), eps=1e-8)
    found = step_vjp(params, grads, init(params), hp, Cotangents(params + 1, params, params))
    for derivative in found:
        assert np.all(np.isfinite(derivative))


def test_a_slope_beyond_float16_is_finite_for_a_float16_gradient() -> None:
    param, grad = np.zeros(1, np.float16), np.zeros(1, np.float16)
    found = step_vjp(param, grad, init(param), Hyperparameters(), Cotangents(param + 1))
    assert found.grads.dtype == np.float32
    assert -2.01e5 < found.grads[0] < -1.99e5  # -lr / eps


def test_nothing_is_squared_on_the_way() -> None:
    """The slope by exp_inf is m / u^2: here 2^80, while u^2 is 2^-160, zero in float32."""
    tiny = np.full(1, 2.0**-80, np.float32)
    hp = Hyperparameters(lr=0.5, betas=(0.5, 0.5), eps=0.0)
    found = step_vjp(tiny, tiny * 0, State(0, tiny, tiny), hp, Cotangents(tiny * 0 + 1))
    # m and u are 2^-81, lr / c is 1, beta2 is 1/2.
    assert found.exp_inf[0] == 2.0**80


@pytest.mark.parametrize("count", [10**6, 2**31 - 2, 2**53])
def test_after_a_very_long_run_the_slopes_are_finite(count: int) -> None:
    one = np.ones(1)
    found = step_vjp(one, one, State(count, one, one), Hyperparameters(), Cotangents(one))
    assert np.isfinite(found.beta1)
    # The correction is over: what is left is the slope of the average, here of two equal numbers.
    assert found.beta1 == 0


def test_a_step_that_is_no_number_has_no_derivative() -> None:
    zero = np.zeros(1)
    found = step_vjp(zero, zero, init(zero), Hyperparameters(eps=0.0), Cotangents(zero + 1))
    assert np.isnan(found.grads[0])


# Linearity


numbers = st.fractions(min_value=-8, max_value=8, max_denominator=16)
positive = st.fractions(min_value=Q(1, 16), max_value=8, max_denominator=16)
betas = st.fractions(min_value=0, max_value=Q(15, 16), max_denominator=16)


def some(element: st.SearchStrategy[Fraction]) -> st.SearchStrategy[Any]:
    return st.lists(element, min_size=3, max_size=3).map(lambda values: rationals(*values))


cotangents = st.builds(Cotangents, some(numbers), some(numbers), some(numbers))
begins = st.tuples(
    some(numbers),
    some(numbers),
    st.builds(State, st.integers(0, 5), some(numbers), some(positive)),
)
anywhere = st.builds(
    Hyperparameters,
    lr=positive,
    betas=st.tuples(betas, betas),
    eps=positive,
    weight_decay=st.sampled_from([Q(0), Q(1, 4)]),
    maximize=st.booleans(),
    decoupled_weight_decay=st.booleans(),
)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(begins, anywhere, cotangents, cotangents, numbers)
def test_it_is_linear_in_the_cotangents(
    begin: Any, hp: Hyperparameters, one: Cotangents, other: Cotangents, scale: Fraction
) -> None:
    both = Cotangents(*(x + scale * y for x, y in zip(one, other, strict=True)))
    joined, *apart = (derived((*begin, each), hp) for each in (both, one, other))
    for whole, x, y in zip(joined, *apart, strict=True):
        assert np.all(whole == x + scale * y)


# Trees, kinds and dtypes


class Layer(NamedTuple):
    weight: Any
    bias: Any


def tree(rng: np.random.Generator) -> Any:
    return {"a": Layer(rng.normal(size=(2, 3)), rng.normal()), "b": [rng.normal(size=(0, 2))]}


def situation(make: Callable[[], Any] | None = None) -> Any:
    """Parameters, gradients, state and cotangents, each leaf or tree made by `make`."""
    rng = np.random.default_rng(2)
    make = make or (lambda: tree(rng))
    params, exp_inf = make(), optree.tree_map(np.square, make())
    state = State(optree.tree_map(lambda _: 4, params), make(), exp_inf)
    return params, make(), state, Cotangents(make(), make(), make())


def derived(at: Any, hp: Hyperparameters) -> Derivatives:
    params, grads, state, weights = at
    return step_vjp(params, grads, state, hp, weights)


HP = Hyperparameters(lr=0.25, betas=(0.5, 0.75), eps=0.125, weight_decay=0.5)


def test_a_tree_is_differentiated_as_each_of_its_leaves_is() -> None:
    params, grads, state, weights = situation()
    found = step_vjp(params, grads, state, HP, weights)
    leaves = zip(*map(optree.tree_leaves, (params, grads, *state, *weights)), strict=True)
    alone = [
        step_vjp(p, g, State(t, m, u), HP, Cotangents(*after)) for p, g, t, m, u, *after in leaves
    ]
    for name in ("params", "grads", "exp_avg", "exp_inf"):
        mine = getattr(found, name)
        assert optree.tree_structure(mine) == optree.tree_structure(params)
        for leaf, one, param in zip(
            optree.tree_leaves(mine), alone, optree.tree_leaves(params), strict=True
        ):
            assert leaf.shape == np.shape(param)
            assert leaf.tobytes() == getattr(one, name).tobytes()
    for name in ("lr", "beta1", "beta2", "eps", "weight_decay"):
        assert getattr(found, name) == sum(getattr(one, name) for one in alone)


def test_a_parameter_without_a_gradient_passes_its_cotangents_on() -> None:
    params, grads, state, weights = situation()
    grads["a"] = Layer(grads["a"].weight, None)
    found = step_vjp(params, grads, state, HP, weights)
    for name in Cotangents._fields:
        assert getattr(found, name)["a"].bias == getattr(weights, name)["a"].bias
    assert found.grads["a"].bias is None
    only = step_vjp(
        params["a"].weight,
        grads["a"].weight,
        State(4, state.exp_avg["a"].weight, state.exp_inf["a"].weight),
        HP,
        Cotangents(*(each["a"].weight for each in weights)),
    )
    assert found[4:] == only[4:]


def test_a_cotangent_of_none_is_zero() -> None:
    params, grads, state, weights = situation()
    zero = optree.tree_map(np.zeros_like, params)
    partly = weights.params | {"b": [None]}
    short: Any = step_vjp(params, grads, state, HP, Cotangents(partly))
    full: Any = step_vjp(
        params, grads, state, HP, Cotangents(partly | {"b": zero["b"]}, zero, zero)
    )
    for one, other in zip(optree.tree_leaves(short), optree.tree_leaves(full), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_an_empty_tree_has_empty_derivatives() -> None:
    found = step_vjp({}, {}, init({}), HP, Cotangents({}))
    assert found == Derivatives({}, {}, {}, {}, 0, 0, 0, 0, 0)


@modes
def test_a_complex_array_is_an_array_of_pairs_of_reals(mode: str) -> None:
    hp = hyperparameters(mode, float)
    rng = np.random.default_rng(3)
    params, grads, state, weights = situation(lambda: rng.normal(size=(5, 2)))
    pairs = step_vjp(params, grads, state, hp, weights)
    joined = [
        array.view(np.complex128)[..., 0]
        for array in (params, grads, state.exp_avg, state.exp_inf, *weights)
    ]
    state = State(4, *joined[2:4])
    found = derived((*joined[:2], state, Cotangents(*joined[4:])), hp)
    for mine, theirs in zip(found[:4], pairs[:4], strict=True):
        assert mine.dtype == np.complex128
        assert mine.tobytes() == theirs.tobytes()
    assert found[4:] == pairs[4:]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@modes
def test_half_precision_is_differentiated_in_float32(mode: str, dtype: Any) -> None:
    """Nothing is rounded to half precision, neither on the way nor at the end."""
    hp = hyperparameters(mode, float)
    rng = np.random.default_rng(4)
    half = situation(lambda: rng.normal(size=9).astype(dtype))
    wide: Any = optree.tree_map(lambda x: x if isinstance(x, int) else x.astype(np.float32), half)
    for cotangents_ in (half[3], wide[3]):
        found = derived((*half[:3], cotangents_), hp)
        expected = derived(wide, hp)
        for mine, theirs in zip(found, expected, strict=True):
            assert mine.dtype == np.float32
            assert mine.tobytes() == theirs.tobytes()


def test_moments_kept_in_another_dtype_keep_it() -> None:
    param = np.ones(2, np.float32)
    state = init(param, np.float64)
    found = step_vjp(param, param, state, HP, Cotangents(param))
    assert [each.dtype for each in found[:4]] == [np.float32, np.float32, np.float64, np.float64]


@modes
def test_it_runs_on_the_array_api_standard(mode: str) -> None:
    hp = hyperparameters(mode, float)
    rng = np.random.default_rng(5)
    numpy = situation(lambda: rng.normal(size=(3, 4)).astype(np.float32))
    standard: Any = optree.tree_map(lambda x: x if isinstance(x, int) else strict.asarray(x), numpy)
    found = derived(standard, hp)
    for mine, theirs in zip(found, derived(numpy, hp), strict=True):
        assert isinstance(mine, strict._array_object.Array)
        assert np.asarray(mine).tobytes() == theirs.tobytes()


def test_arguments_are_not_changed() -> None:
    at = situation()
    for leaf in optree.tree_leaves(at):
        if isinstance(leaf, np.ndarray):
            leaf.setflags(write=False)
    before = [np.asarray(leaf).tobytes() for leaf in optree.tree_leaves(at)]
    derived(at, HP)
    assert before == [np.asarray(leaf).tobytes() for leaf in optree.tree_leaves(at)]


# Errors


ONE = {"w": np.ones(2)}


@pytest.mark.parametrize("field", Cotangents._fields)
@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"v": np.ones(2)}, ValueError, r"^cotangents\.{} does not have the structure of params"),
        (
            {"w": np.ones(3)},
            ValueError,
            r"^cotangents\.{}\['w'\] has shape \(3,\), but params\['w'\]",
        ),
        ({"w": np.ones(2, int)}, TypeError, r"^cotangents\.{}\['w'\] has dtype int64"),
        ({"w": np.ones(2) * 1j}, TypeError, r"a real parameter needs a real array"),
    ],
)
def test_a_cotangent_that_does_not_fit_is_named(
    field: str, wrong: Any, error: type[Exception], message: str
) -> None:
    weights = Cotangents(ONE)._replace(**{field: wrong})
    with pytest.raises(error, match=message.format(field)):
        step_vjp(ONE, ONE, init(ONE), HP, weights)


@pytest.mark.parametrize(
    ("index", "wrong", "error", "message"),
    [
        (1, {"w": np.ones(3)}, ValueError, r"^grads\['w'\] has shape"),
        (2, (0, ONE, ONE), TypeError, "^state is tuple, not State"),
        (3, {"lr": 1.0}, TypeError, "^hyperparameters is dict, not Hyperparameters"),
        (4, (ONE, ONE, ONE), TypeError, "^cotangents is tuple, not Cotangents"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(
    index: int, wrong: Any, error: type[Exception], message: str
) -> None:
    arguments: list[Any] = [ONE, ONE, init(ONE), HP, Cotangents(ONE)]
    arguments[index] = wrong
    with pytest.raises(error, match=message):
        step_vjp(*arguments)
