"""The closed form against exact differences, dual numbers, JAX, PyTorch; it is linear."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
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
from adamax_core import Cotangents, Derivatives, Hyperparameters, State, step, step_vjp
from adamax_core.trees import Tree
from vjp_inputs import MODES, Q, derived, hyperparameters, modes, rationals


class Point(NamedTuple):
    """A point at which to differentiate a step: all inputs by name, and weights of the results."""

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
        """Each element's share of the scalar to differentiate."""
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
        """The derivative of the last parameters, by dual numbers over rationals."""
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
    """A `vjp` for the judge: a framework's derivative of the rule."""

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
    """Each derivative is within the rounding bound that the judge derives for it."""
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
