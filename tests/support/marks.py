"""Which values of a parametrized test are slow: `make slow` runs them."""

from collections.abc import Iterable
from typing import Any

import pytest


def first_fast(values: Iterable[Any]) -> list[Any]:
    """Return the values for `parametrize`, all but the first marked as slow."""
    first, *others = values
    return [first, *(pytest.param(each, marks=pytest.mark.slow) for each in others)]
