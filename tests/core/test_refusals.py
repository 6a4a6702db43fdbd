"""Invalid leaves, masked arrays and invalid step counts raise errors that name them."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import optree
import pytest

from adamax_core import Cotangents, Hyperparameters, State, init, step, step_vjp, update

HP = Hyperparameters(lr=0.25, betas=(0.5, 0.75), eps=0.125)
GOOD = {"a": [np.ones(2), np.ones(3)]}
WHERE = ("params", "grads", "exp_avg", "exp_inf")


@dataclass
class Model:
    weight: Any


class Plain:
    """An empty class."""

    def __repr__(self) -> str:
        return "Plain()"  # without an address, which would differ between pytest's workers


NO_NUMBERS = {
    "dataclass": Model(np.ones(3)),
    "namespace": SimpleNamespace(weight=np.ones(3)),
    "object": Plain(),
    "function": len,
    "set": {1.0, 2.0},
    "array of objects": np.array([1.0, Plain(), 1.0], object),
    "array of None": np.array([1.0, None, 1.0], object),
    "array of text": np.array([1.0, "2", 1.0], object),
    "array of complex objects": np.array([1.0, 2j, 1.0], object),
}


def with_leaf(tree: Any, leaf: Any) -> Any:
    return {"a": [tree["a"][0], leaf]}


def given(what: str, leaf: Any) -> tuple[Any, Any, State]:
    """Parameters, gradients and state, with one leaf of the tree `what` replaced."""
    trees = {"params": GOOD, "grads": GOOD, **init(GOOD)._asdict()}
    trees[what] = with_leaf(trees[what], leaf)
    return trees.pop("params"), trees.pop("grads"), State(**trees)


def refused_everywhere(what: str, leaf: Any, error: type[Exception], message: str) -> None:
    """`step`, `update` and `step_vjp` raise the error and change nothing."""
    params, grads, state = given(what, leaf)
    everything: Any = (params, grads, state)
    before = [np.asarray(each).tobytes() for each in optree.tree_leaves(everything)]
    for call in (
        lambda: step(params, grads, state, HP),
        lambda: update(grads, state, params, HP),
        lambda: step_vjp(params, grads, state, HP, Cotangents(GOOD)),
    ):
        with pytest.raises(error, match=message):
            call()
    assert [np.asarray(each).tobytes() for each in optree.tree_leaves(everything)] == before


@pytest.mark.parametrize("what", WHERE)
@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_a_leaf_that_is_not_an_array_of_numbers_raises_with_the_remedy(
    what: str, kind: str
) -> None:
    message = (
        rf"^{what}\['a'\]\[1\] is or holds \w+, which is neither an array nor a real number: "
        "pass arrays in a dict, list, tuple or named tuple$"
    )
    refused_everywhere(what, NO_NUMBERS[kind], TypeError, message)
    if what == "params":
        with pytest.raises(TypeError, match=message):
            init(with_leaf(GOOD, NO_NUMBERS[kind]))


@pytest.mark.parametrize("model", [Model(np.ones(3)), SimpleNamespace(weight=np.ones(3))])
def test_a_model_object_as_the_whole_tree_raises_and_names_its_class(model: Any) -> None:
    with pytest.raises(TypeError, match=rf"^params is or holds {type(model).__name__}, which"):
        init(model)


def test_a_cotangent_that_is_not_an_array_raises_and_names_the_leaf() -> None:
    cotangents = Cotangents(with_leaf(GOOD, Plain()))
    with pytest.raises(TypeError, match=r"^cotangents.params\['a'\]\[1\] is or holds Plain"):
        step_vjp(GOOD, GOOD, init(GOOD), HP, cotangents)


@pytest.mark.parametrize("what", WHERE)
@pytest.mark.parametrize("mask", [False, [False, True, False], np.ma.nomask])
def test_a_masked_array_raises_even_without_masked_elements(what: str, mask: Any) -> None:
    leaf = np.ma.masked_array(np.ones(3), mask)
    message = rf"^{what}\['a'\]\[1\] is a masked array; .*`\.filled\(0\)`.*`\.compressed\(\)`$"
    refused_everywhere(what, leaf, TypeError, message)


DOMAIN = r".*0 <= step < 2\*\*64; pass the saved count, or a state from init$"
OUTSIDE = [
    -1, -5, 3.7, -0.5, np.nan, np.inf, -np.inf, 2**64, 10**400, 1e20, np.int8(-1), np.float32(2.5),
    Fraction(7, 2), Decimal("2.5"), Decimal("NaN"), Decimal("Infinity"), np.array(-1),
]  # fmt: skip
NOT_NUMBERS = [True, False, np.True_, "3", b"3", 1j, None, np.array(True), Plain()]


@pytest.mark.parametrize("count", OUTSIDE, ids=repr)
def test_an_invalid_count_raises_and_shows_its_domain(count: Any) -> None:
    message = rf"(?s)^step\['a'\]\[1\] = .* is outside its domain: {DOMAIN}"
    refused_everywhere("step", count, ValueError, message)


@pytest.mark.parametrize("count", NOT_NUMBERS, ids=repr)
def test_a_count_that_is_not_a_number_is_a_type_error(count: Any) -> None:
    message = rf"^step\['a'\]\[1\] = .* is not a number: {DOMAIN}"
    refused_everywhere("step", count, TypeError, message)


@pytest.mark.parametrize("count", [np.array([1]), np.ones(3), [1]], ids=repr)
def test_a_count_with_dimensions_raises_and_shows_its_shape(count: Any) -> None:
    message = rf"^step\['a'\]\[1\] has shape \(\d,\): {DOMAIN}"
    refused_everywhere("step", count, ValueError, message)


def test_a_count_is_checked_even_without_a_gradient() -> None:
    params, grads, state = given("step", -5)
    with pytest.raises(ValueError, match=r"^step\['a'\]\[1\] = -5 is outside its domain"):
        step(params, with_leaf(grads, None), state, HP)


@pytest.mark.parametrize(
    "kind", [int, float, Fraction, np.int8, np.uint64, np.float32, np.array, Decimal]
)
def test_an_integer_of_every_type_is_a_count(kind: Callable[[int], Any]) -> None:
    state = State(kind(3), np.ones(1), np.ones(1))
    assert step(np.ones(1), np.ones(1), state, HP)[1].step == 4


def test_the_largest_count_steps() -> None:
    state = State(2**64 - 1, np.ones(1), np.ones(1))
    assert step(np.ones(1), np.ones(1), state, HP)[1].step == 2**64
