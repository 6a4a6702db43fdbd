"""`step_vjp` at kinks, on trees, in every kind and dtype; and the errors it raises."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import array_api_strict as strict
import ml_dtypes
import numpy as np
import optree
import pytest

from adamax_core import Cotangents, Derivatives, Hyperparameters, State, init, step_vjp
from vjp_inputs import Q, derived, hyperparameters, modes, rationals

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


def test_the_norm_is_never_squared() -> None:
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


def test_the_derivative_of_a_nan_step_is_nan() -> None:
    zero = np.zeros(1)
    found = step_vjp(zero, zero, init(zero), Hyperparameters(eps=0.0), Cotangents(zero + 1))
    assert np.isnan(found.grads[0])


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


HP = Hyperparameters(lr=0.25, betas=(0.5, 0.75), eps=0.125, weight_decay=0.5)


def test_a_tree_is_differentiated_leaf_by_leaf() -> None:
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
    """Neither intermediate values nor results are rounded to half precision."""
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


def test_moments_of_another_dtype_keep_their_dtype() -> None:
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
def test_a_mismatched_cotangent_raises_and_names_the_leaf(
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
def test_a_mismatched_argument_raises_and_names_the_leaf(
    index: int, wrong: Any, error: type[Exception], message: str
) -> None:
    arguments: list[Any] = [ONE, ONE, init(ONE), HP, Cotangents(ONE)]
    arguments[index] = wrong
    with pytest.raises(error, match=message):
        step_vjp(*arguments)
