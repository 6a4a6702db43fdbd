"""Converted norms are at most eps from those of the other dialect, and lost counts are told."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import adamax_core
from adamax_checkpoint import Checkpoint, CheckpointError, Group
from adamax_checkpoint.checkpoint import DIALECTS, REFUSED
from adamax_checkpoint.dialects import count_of_product, to_dialect
from adamax_conformance.dialects import Dialect
from adamax_core import Hyperparameters, State
from checkpoints import assert_same, drawn

EPS = 0.25
HP = Hyperparameters(0.5, (0.5, 0.5), EPS)
RULES = {"canonical": Dialect(), "eps=outside": Dialect(eps="outside")}
BINARY = st.integers(-64, 64).map(lambda n: n / 16)
"""Gradients, of which few steps with dyadic hyperparameters are exact in float64."""


def stepped(dialect: str, grads: list[float]) -> Checkpoint:
    params = {"w": np.zeros(1)}
    state = adamax_core.init(params)
    for grad in grads:
        params, state = adamax_core.step(
            params, {"w": np.full(1, grad)}, state, HP, rule=RULES[dialect]
        )
    return Checkpoint(state, (Group(("w",), HP),), dialect=dialect)


@given(grads=st.lists(BINARY, max_size=8))
@pytest.mark.parametrize(("one", "other"), [DIALECTS, DIALECTS[::-1]])
def test_a_converted_norm_is_at_most_eps_from_that_of_the_other_rule(
    one: str, other: str, grads: list[float]
) -> None:
    converted = to_dialect(stepped(one, grads), other)
    assert converted.dialect == other
    found, right = (c.state.exp_inf["w"][0] for c in (converted, stepped(other, grads)))
    assert abs(Fraction(found) - Fraction(right)) <= Fraction(EPS)
    largest = len(grads) > 0 and all(abs(g) <= abs(grads[-1]) for g in grads)
    assert found == right or not (largest or not grads)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64", "complex128"])
def test_a_norm_is_rounded_once_and_all_else_stays(dtype: str) -> None:
    state = drawn({"w": ((3, 2), dtype), "new": ((2,), dtype)}, 0, HP, params=True)
    state.state.step["new"] = 0
    outside = replace(state, dialect="eps=outside", verified="yes")
    found = to_dialect(outside, "canonical")
    norm = state.state.exp_inf["w"]
    parts = norm.view(norm.real.dtype)
    exact = (parts.astype(np.float64) + EPS).astype(parts.dtype).view(norm.dtype)
    norms = {"w": exact, "new": state.state.exp_inf["new"]}
    assert_same(found, replace(state, state=state.state._replace(exp_inf=norms)))
    assert to_dialect(state, "canonical") is state


def test_infinities_and_nan_stay() -> None:
    norms = np.array([np.inf, np.nan, 0.0])
    state = State({"w": 1}, {"w": np.zeros(3)}, {"w": norms})
    found = to_dialect(Checkpoint(state, (Group(("w",), HP),)), "eps=outside")
    np.testing.assert_array_equal(found.state.exp_inf["w"], norms)


@pytest.mark.parametrize("dialect", [*REFUSED, "eps=twice"])
def test_other_dialects_are_refused_with_the_reason(dialect: str) -> None:
    state = drawn({"w": ((3,), "float32")})
    with pytest.raises(CheckpointError, match=f"to the dialect '{dialect}': .{{20}}"):
        to_dialect(state, dialect)
    with pytest.raises(CheckpointError, match=f"the dialect '{dialect}' is not one of"):
        replace(state, dialect=dialect)


@pytest.mark.parametrize(
    ("dtype", "beta1"),
    [
        *((dtype, beta1) for dtype in (np.float32, np.float64) for beta1 in (0.5, 0.9, 0.999)),
        *((dtype, beta1) for dtype in (np.float16, ml_dtypes.bfloat16) for beta1 in (0.5, 0.9)),
    ],
)
def test_a_count_is_recovered_or_told_to_be_lost(dtype: Any, beta1: float) -> None:
    product, rate, lost = dtype(1), dtype(beta1), 0
    for count in range(3000):
        try:
            assert count_of_product(product, beta1) == count
        except CheckpointError:
            lost += 1
        product = product * rate
    assert lost < 3000


def test_why_a_count_is_lost() -> None:
    with pytest.raises(CheckpointError, match="has underflowed, so the count of steps t is lost"):
        count_of_product(np.float32(0.9) ** 1000, 0.9)
    with pytest.raises(CheckpointError, match="about t = 98, but has been rounded too often"):
        count_of_product(ml_dtypes.bfloat16(0.906), 0.999)


def test_a_product_of_no_rate() -> None:
    for product, beta1 in ((0.5, 0.0), (2.0, 0.9), (np.nan, 0.9), (-0.5, 0.9)):
        with pytest.raises(CheckpointError, match="do not tell the count of steps t: give it"):
            count_of_product(np.float32(product), beta1)
    assert [b - a for a, b in pairwise(count_of_product(0.9**t, 0.9) for t in range(5))] == [1] * 4
