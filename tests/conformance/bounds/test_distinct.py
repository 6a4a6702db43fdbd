"""Distinct elements are bounded once, and each element gets the bound that it has by itself."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamax_conformance.bounds import distinct
from adamax_conformance.bounds.distinct import bounds
from adamax_conformance.bounds.oracle import Allowed, allowed, pairs
from adamax_conformance.fuzz.arrays import arrays
from adamax_conformance.fuzz.runs import Offers, hyperparameters, moments
from adamax_conformance.registry import find
from adamax_conformance.spec.formats import DTYPES
from adamax_conformance.subject.backend import Moments
from adamax_core import Hyperparameters

MODES = ("maximize", "weight_decay", "decoupled_weight_decay")
NUMPY = find("numpy")


def stepped(
    param: Any, grad: Any, before: Moments, hp: Hyperparameters
) -> tuple[Moments, dict[str, Any]]:
    """Return the moments after a step of the reference, and every quantity by name."""
    saved = {"w": before._asdict()}
    params, state = NUMPY.step({"w": param}, {"w": grad}, NUMPY.load({"w": param}, hp, saved), hp)
    shown = NUMPY.moments(state)
    assert shown is not None
    after = shown["w"]
    return after, {"exp_avg": after.exp_avg, "exp_inf": after.exp_inf, "param": params["w"]}


@pytest.mark.parametrize("dtype", DTYPES)
@settings(derandomize=True, deadline=None, max_examples=15)
@given(data=st.data())
def test_bounds_are_those_of_each_element_by_itself(dtype: str, data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(), (0,), (12,), (3, 50)]))
    param, grad = data.draw(arrays(dtype, shape)), data.draw(arrays(dtype, shape))
    before, hp = (
        data.draw(moments(dtype, shape)),
        data.draw(hyperparameters(Offers("float32", MODES))),
    )
    after, quantities = stepped(param, grad, before, hp)
    found = bounds(param, grad, before, hp, reported=after, accurate_correction=False)
    exact = allowed(param, grad, before, hp, reported=after)
    for quantity, values in quantities.items():
        got = pairs(values)
        with np.errstate(all="ignore"):
            wrong = got * np.asarray(1.25, got.dtype)
        for each in (got, wrong):
            assert np.array_equal(found[quantity].excess(each), exact[quantity].excess(each))
        assert np.array_equal(found[quantity].bounded, exact[quantity].bounded)
        for index in np.ndindex(got.shape):
            assert found[quantity].interval(index) == exact[quantity].interval(index)
            assert found[quantity].exactly(index) == exact[quantity].exactly(index)


def test_elements_that_recur_are_bounded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def counted(param: Any, *args: Any, **options: Any) -> Any:
        sizes.append(param.size)
        return allowed(param, *args, **options)

    monkeypatch.setattr(distinct, "_allowed", counted)
    grad = np.resize(np.array([1.0, 2.0, 0.0, -0.0], np.float32), 1001)
    before, hp = Moments(0, grad * 0, abs(grad) * 0), Hyperparameters(lr=0.125)
    after, quantities = stepped(grad * 0, grad, before, hp)
    found = bounds(grad * 0, grad, before, hp, reported=after, accurate_correction=False)
    assert sizes == [4]
    param = quantities["param"].copy()
    assert np.all(found["param"].excess(param) <= 1)
    param[1000] *= 2
    assert np.flatnonzero(found["param"].excess(param) > 1).tolist() == [1000]


@pytest.mark.parametrize("dtype", DTYPES)
@settings(derandomize=True, deadline=None, max_examples=10)
@given(data=st.data())
def test_hash_that_collides_changes_nothing(dtype: str, data: st.DataObject) -> None:
    each = [pairs(data.draw(arrays(dtype, (3, 50)))) for _ in range(3)]
    first, back = distinct.distinct(*each)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "_ODD", 0)
        slow_first, slow_back = distinct.distinct(*each)
    for array in each:
        assert array.flat[first][back].tobytes() == array.tobytes()
        assert array.flat[slow_first][slow_back].tobytes() == array.tobytes()
    assert len(first) == len(slow_first)


@pytest.mark.parametrize("dtype", DTYPES)
def test_first_step_of_a_hidden_state_is_bounded_as_each_element_by_itself(dtype: str) -> None:
    grad = np.resize(np.array([1.0, 2.0, 0.0, -0.0]), (3, 50)).astype(dtype)
    before, hp = Moments(0, grad * 0, grad * 0), Hyperparameters(lr=0.125)
    found = bounds(grad, grad, before, hp, reported=None, accurate_correction=False)
    exact = allowed(grad, grad, before, hp)
    for quantity, bound in found.items():
        assert isinstance(bound, Allowed)
        assert np.array_equal(bound.carried.value, exact[quantity].carried.value)
        assert np.array_equal(bound.carried.error, exact[quantity].carried.error)
        assert np.array_equal(bound.special, exact[quantity].special)


def test_later_step_of_a_hidden_state_starts_from_bounds() -> None:
    ones = np.ones(3, np.float32)
    before, hp = Moments(0, ones * 0, ones * 0), Hyperparameters()
    first = bounds(ones, ones, before, hp, reported=None, accurate_correction=False)
    after = Moments(1, first["exp_avg"], first["exp_inf"])
    second = bounds(ones, ones, after, hp, reported=None, accurate_correction=False)
    exact = allowed(ones, ones, after, hp)
    assert second["param"].interval((2,)) == exact["param"].interval((2,))
