"""The oracle's cache: equal and different arguments, and its size."""

from typing import Any

import numpy as np
import pytest

from adamax_conformance.bounds import remembered as module
from adamax_conformance.bounds.remembered import remembered
from adamax_conformance.subject.backend import Moments
from adamax_core import Hyperparameters


@pytest.fixture
def asked() -> tuple[Any, list[Any]]:
    calls: list[Any] = []

    @remembered()
    def function(*args: Any, **kwargs: Any) -> int:
        calls.append((args, kwargs))
        return len(calls)

    return function, calls


ONE = np.ones(3)
HP = Hyperparameters()


@pytest.mark.parametrize(
    "other",
    [
        ONE.astype(np.float32), np.ones((3, 1)), np.array([1, 1, np.nextafter(1, 2)]),
    ],
)  # fmt: skip
def test_arrays_are_the_same_where_dtype_shape_and_bits_are(asked: Any, other: Any) -> None:
    function, calls = asked
    assert function(ONE) == function(ONE.copy()) == 1
    assert function(other) == 2
    assert len(calls) == 2


def test_zeros_and_nans_of_each_sign_are_keys_of_their_own(asked: Any) -> None:
    function, _ = asked
    assert function(np.array([0.0])) != function(np.array([-0.0]))
    assert function(np.array([np.nan])) == function(np.array([np.nan]))
    assert function(0.0) != function(-0.0)
    assert function(1) != function(True)
    assert function(Hyperparameters(eps=0.0)) != function(Hyperparameters(eps=-0.0))


def test_every_argument_is_part_of_the_key(asked: Any) -> None:
    function, _ = asked
    slot = Moments(1, ONE, ONE)
    asked_for = [
        function(ONE, slot, HP, reported=slot),
        function(ONE, slot, HP, reported=None),
        function(ONE, slot._replace(step=2), HP, reported=slot),
        function(ONE, slot, Hyperparameters(eps=0.5), reported=slot),
    ]
    assert asked_for == [1, 2, 3, 4]
    assert function(ONE, Moments(1, ONE.copy(), ONE), Hyperparameters(), reported=slot) == 1


def test_arguments_without_bits_are_not_cached(asked: Any) -> None:
    function, calls = asked
    objects = np.array([1, 2], dtype=object)
    assert (function(objects), function(objects), function([ONE]), function([ONE])) == (1, 2, 3, 4)
    assert len(calls) == 4


def test_memory_is_bounded(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 6)
    function, calls = asked
    first, second, third = (np.full(3, value) for value in (1.0, 2.0, 3.0))
    assert [function(each) for each in (first, second, first, third)] == [1, 2, 1, 3]
    # The least recently used result is dropped.
    assert [function(each) for each in (first, second)] == [1, 4]
    assert [function(np.ones(7)), function(np.ones(7))] == [5, 6]
    assert len(calls) == 6


def test_arguments_above_the_largest_size_are_not_kept() -> None:
    calls = []
    few, many = np.ones(3), np.ones(4)

    @remembered(largest=3)
    def function(array: Any) -> None:
        calls.append(array.size)

    for array in (few, many, few, many):
        function(array)
    assert calls == [3, 4, 4]
