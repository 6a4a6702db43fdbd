"""Saving and loading need memory for one tensor at most beyond the state.

`tracemalloc` counts what NumPy and Python allocate. What is not a tensor, such as the header and
the metadata, has a tenth of one here.
"""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adamax_checkpoint import Checkpoint, Group, load, save
from adamax_core import Hyperparameters, State

SHAPE = (500, 500)
TENSOR = 8 * 500 * 500
NAMES = tuple(map(str, range(8)))


def peak(function: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("strided", [False, True])
def test_at_most_one_tensor_beyond_the_state(strided: bool, tmp_path: Path) -> None:
    arrays = {name: np.ones(SHAPE) for name in NAMES}
    arrays = {name: array.T if strided else array for name, array in arrays.items()}
    state = State(dict.fromkeys(NAMES, 1), arrays, arrays)
    checkpoint = Checkpoint(state, (Group(NAMES, Hyperparameters()),))
    save(tmp_path / "state", checkpoint)  # whatever is imported or compiled once
    saving = peak(lambda: save(tmp_path / "state", checkpoint))
    loading = peak(lambda: load(tmp_path / "state"))
    assert saving <= (1.1 if strided else 0.1) * TENSOR
    assert loading <= (2 * len(NAMES) + 1.1) * TENSOR
    assert loading >= 2 * len(NAMES) * TENSOR  # else the state is not counted
