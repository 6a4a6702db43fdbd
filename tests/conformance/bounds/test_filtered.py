"""The filter: what floats are sure of, exact numbers confirm; and floats are sure of nearly all."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamax_conformance.bounds import enclosed
from adamax_conformance.bounds.carried import Carried
from adamax_conformance.bounds.enclosed import Enclosed
from adamax_conformance.bounds.filtered import Filtered, _enclosed, bounds
from adamax_conformance.bounds.oracle import QUANTITIES, allowed, pairs
from adamax_conformance.fuzz.arrays import arrays
from adamax_conformance.fuzz.runs import hyperparameters, moments
from adamax_conformance.registry import find
from adamax_conformance.spec.formats import DTYPES, FLOAT32, FLOATS, format_of
from adamax_conformance.subject.backend import Moments
from adamax_core import Hyperparameters

MODES = ("maximize", "weight_decay", "decoupled_weight_decay")
NUMPY = find("numpy")

pytestmark = pytest.mark.skipif(not enclosed.AVAILABLE, reason="no long double of this range")


def exactly(number: Any) -> Fraction:
    """A long double as the rational that it is."""
    return Fraction(*np.longdouble(number).as_integer_ratio())


def stepped(
    param: Any, grad: Any, before: Moments, hp: Hyperparameters
) -> tuple[Any, Moments, dict[str, Any]]:
    """What NumPy makes of a step, by quantity too."""
    saved = {"w": before._asdict()}
    params, state = NUMPY.step({"w": param}, {"w": grad}, NUMPY.load({"w": param}, hp, saved), hp)
    shown = NUMPY.moments(state)
    assert shown is not None
    after = shown["w"]
    return params["w"], after, {**after._asdict(), "param": params["w"]}


@pytest.mark.parametrize("dtype", DTYPES)
@settings(derandomize=True, deadline=None, max_examples=15)
@given(data=st.data())
def test_enclosures_hold_the_exact_values_and_errors(dtype: str, data: st.DataObject) -> None:
    shape = (12,)
    param, grad = data.draw(arrays(dtype, shape)), data.draw(arrays(dtype, shape))
    before = data.draw(moments(dtype, shape))
    hp = data.draw(hyperparameters(MODES))
    _, after, _ = stepped(param, grad, before, hp)
    exact = allowed(param, grad, before, hp, reported=after)
    given_ = [pairs(each) for each in (param, grad, *before[1:])]
    new = [pairs(each) for each in after[1:]]
    known, _ = _enclosed(given_, before.step, hp, new, accurate_correction=False)
    for quantity in QUANTITIES:
        one, carried = known[quantity], exact[quantity].carried
        values, errors = carried.value, carried.error
        for index in np.ndindex(values.shape):
            value, slack, low, high = (
                np.broadcast_to(each, values.shape)[index]
                for each in (one.value, one.slack, one.low, one.high)
            )
            if np.isfinite(high):
                assert errors[index] <= exactly(high)
            if np.isfinite(low):
                assert exactly(low) <= errors[index]
            elif low == np.inf:
                assert errors[index] >= 2**10_000
            if np.isfinite(slack):
                assert abs(exactly(value) - values[index]) <= exactly(slack)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(derandomize=True, deadline=None, max_examples=15)
@given(data=st.data())
def test_filtered_bounds_accept_and_reject_as_exact_ones(dtype: str, data: st.DataObject) -> None:
    shape = (12,)
    param, grad = data.draw(arrays(dtype, shape)), data.draw(arrays(dtype, shape))
    before = data.draw(moments(dtype, shape))
    hp = data.draw(hyperparameters(MODES))
    _, after, quantities = stepped(param, grad, before, hp)
    fast = bounds(param, grad, before, hp, reported=after, accurate_correction=False)
    exact = allowed(param, grad, before, hp, reported=after)
    for quantity, values in quantities.items():
        if quantity == "step":
            continue
        assert isinstance(fast[quantity], Filtered)
        with np.errstate(all="ignore"):
            wrong = pairs(values) * np.asarray(1.25, pairs(values).dtype)
        for got in (pairs(values), wrong):
            one, other = fast[quantity].excess(got), exact[quantity].excess(got)
            assert np.array_equal(one <= 1, other <= 1)
            assert np.all((one >= other) | (other > 1))


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_are_sure_of_nearly_everything_that_is_right(dtype: str) -> None:
    rng = np.random.default_rng(0)
    param, grad, exp_avg, exp_inf = (
        (rng.normal(size=1000) * 2.0 ** rng.integers(-4, 5, 1000)).astype(format_of(dtype).dtype)
        for _ in range(4)
    )
    before = Moments(3, exp_avg, abs(exp_inf))
    _, after, quantities = stepped(param, grad, before, Hyperparameters())
    known, _ = _enclosed(
        [param, grad, exp_avg, abs(exp_inf)],
        3,
        Hyperparameters(),
        [after.exp_avg, after.exp_inf],
        accurate_correction=False,
    )
    for quantity in QUANTITIES:
        sure = np.isfinite(known[quantity].used(quantities[quantity]))
        assert np.mean(sure) > 0.9


def test_what_is_not_sure_is_asked_of_the_exact_numbers() -> None:
    ones = np.ones(20, np.float32)
    before, hp = Moments(0, ones * 0, ones * 0), Hyperparameters(lr=0.5)
    after = Moments(1, ones * np.float32(0.1), ones)
    bound = bounds(ones, ones, before, hp, reported=after, accurate_correction=False)["param"]
    assert isinstance(bound, Filtered)
    blind = replace(bound, known=replace(bound.known, low=bound.known.low * 0))
    got = np.full(20, 0.5, np.float32)
    assert np.all(blind.excess(got) == bound.exact(np.ones(20, bool)).excess(got))
    assert np.all(bound.excess(ones) > 1)
    assert bound.exactly((3,)).startswith("0.49999999")
    assert bound.interval((3,)).startswith("[0.4999")


def test_an_element_on_the_edge_is_not_sure() -> None:
    number = Enclosed.of(Carried.of(1, FLOAT32).rounded())
    edge = np.longdouble(1) + np.longdouble(2) ** -24
    assert np.isnan(number.used(edge * (1 + np.longdouble(2) ** -40)))
    assert number.used(np.longdouble(1) + np.longdouble(2) ** -25) <= 0.51


def test_without_wide_floats_everything_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enclosed, "AVAILABLE", False)
    ones = np.ones(20, np.float32)
    before = Moments(0, ones * 0, ones * 0)
    after = Moments(1, ones * np.float32(0.1), ones)
    hp = Hyperparameters()
    for bound in bounds(ones, ones, before, hp, reported=after, accurate_correction=False).values():
        assert not isinstance(bound, Filtered)
