"""Drawn checkpoints, and their comparison to the last bit."""

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from adamax_checkpoint import Checkpoint, Group
from adamax_checkpoint.checkpoint import DTYPES
from adamax_core import Hyperparameters, State

NAMED = {str(dtype): dtype for dtype in DTYPES}


def drawn(
    shapes: Mapping[str, tuple[tuple[int, ...], str]],
    seed: int = 0,
    hyperparameters: Hyperparameters | None = None,
    *,
    params: bool = False,
    step: int | None = None,
) -> Checkpoint:
    """A state after some steps: ten times the first moments are within the norms, as after one."""
    rng = np.random.default_rng(seed)

    def array(name: str, least: float, most: float) -> Any:
        shape, dtype = shapes[name]
        values = rng.uniform(least, most, (*shape, 2)) @ np.array([1, 1j])
        real = NAMED[dtype].kind != "c"
        return np.asarray(values.real if real else values).astype(NAMED[dtype])

    counts = {name: 1 + index if step is None else step for index, name in enumerate(shapes)}
    return Checkpoint(
        State(
            counts,
            {name: array(name, -0.01, 0.01) for name in shapes},
            {name: array(name, 0.1, 1) for name in shapes},
        ),
        (Group(tuple(shapes), hyperparameters or Hyperparameters()),),
        {name: array(name, -1, 1) for name in shapes} if params else None,
    )


def every_nan(dtype: np.dtype[Any]) -> Any:
    """Return NaN of both signs, quiet and signaling, as an array of a real dtype."""
    quiet = np.array([np.nan, -np.nan], dtype)
    bits = quiet.view(f"u{dtype.itemsize}")
    digits = ml_dtypes.finfo(dtype).nmant  # type: ignore[no-untyped-call]  # not typed
    signaling = bits - (1 << digits - 1) + 1
    return np.concatenate([bits, signaling.astype(bits.dtype)]).view(dtype)


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    """Fail unless all of both is equal, arrays by dtype, shape and bits."""
    assert one.groups == other.groups
    assert (one.dialect, one.verified) == (other.dialect, other.verified)
    assert one.state.step == other.state.step
    mine, theirs = one.arrays(), other.arrays()
    assert mine.keys() == theirs.keys()
    for key, array in mine.items():
        assert (array.dtype, array.shape) == (theirs[key].dtype, theirs[key].shape), key
        assert array.tobytes() == theirs[key].tobytes(), key
