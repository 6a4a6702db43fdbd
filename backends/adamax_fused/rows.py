"""A step of many arrays by the kernel, which threads share piece by piece.

The kernel sees addresses only: the caller checks the arrays and keeps them alive.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from adamax_fused import kernel
from adamax_fused.threads import together

PER_THREAD = 500_000
"""Elements that justify another thread: waking it takes about as long as stepping fewer."""

Dtypes = tuple[str, str, str, str]
"""The dtypes of parameter, gradient, first moment and infinity norm."""

Integers = npt.NDArray[np.int64]

_CARRIERS = {
    "float32": np.float32,
    "float64": np.float64,
    "bfloat16": np.uint16,
    "float16": np.int16,
}


class Hyper(NamedTuple):
    """The hyperparameters of a step: finite numbers inside the domains of the specification."""

    lr: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    maximize: bool
    decoupled: bool


def bias_correction(beta1: float, count: float) -> float:
    """A-6: ``1 - beta1^t``, accurate to a few ulp for every beta1 (N-3).

    >>> bias_correction(0.75, 2)
    0.4375
    """
    if beta1 < 0.5:  # noqa: PLR2004 - the subtraction does not cancel
        return 1.0 - math.pow(beta1, count)
    return -math.expm1(count * math.log(beta1))


def step_rows(
    table: Integers,
    dtypes: Dtypes,
    counts: Sequence[float],
    hyper: Hyper,
    threads: int,
    held: object,
) -> None:
    """Step arrays of the same dtypes in place.

    Args:
        table: int64 ``(5, n)``: addresses of parameters, gradients, first moments and infinity
            norms, none of them `misplaced`; and the number of real elements of each row. A complex
            number counts as two.
        dtypes: names of real dtypes.
        counts: the number of this step for each row; the first step is 1.
        hyper: the hyperparameters.
        threads: the most threads to use, including the caller's.
        held: the owner of the memory; working threads keep a reference to it.

    >>> arrays = np.zeros(2), np.ones(2), np.zeros(2), np.zeros(2)
    >>> table = np.array([*([a.__array_interface__["data"][0]] for a in arrays), [2]])
    >>> hyper = Hyper(0.5, 0.75, 0.875, 0.0, 0.0, maximize=False, decoupled=False)
    >>> step_rows(table, ("float64",) * 4, [1], hyper, threads=1, held=arrays)
    >>> arrays[0]
    array([-0.5, -0.5])
    """
    corrected = {t: hyper.lr / bias_correction(hyper.beta1, t) for t in set(counts)}
    step_sizes = np.array([corrected[t] for t in counts], np.float64)
    mode, decay = 0, hyper.weight_decay
    if decay != 0:
        mode = kernel.DECOUPLED if hyper.decoupled else kernel.COUPLED
        decay = hyper.lr * decay if hyper.decoupled else decay
    sign = -1.0 if hyper.maximize else 1.0
    numbers = np.array((sign, hyper.beta1, 1 - hyper.beta1, hyper.beta2, hyper.eps, decay))
    arguments = table, _likes(dtypes), np.zeros(1, np.int64), step_sizes, mode, numbers
    helpers = min(threads, sum(table[4].tolist()) // PER_THREAD) - 1
    if helpers > 0:
        together(functools.partial(_step_pieces, held, *arguments), helpers)
    else:
        kernel.step_pieces(*arguments)


def _step_pieces(_held: object, *arguments: Any) -> None:
    """Step pieces; the argument keeps the owner of the memory alive while a thread steps."""
    kernel.step_pieces(*arguments)


def prepare(dtypes: Dtypes) -> None:
    """Compile the kernel for these dtypes, or load it from the cache on disk."""
    nothing = np.zeros(0, np.int64)
    kernel.misplaced(np.zeros((5, 0), np.int64), nothing, np.zeros((4, 0), np.int64))
    kernel.count(nothing)
    hyper = Hyper(0.0, 0.0, 0.0, 0.0, 0.0, maximize=False, decoupled=False)
    step_rows(np.zeros((5, 0), np.int64), dtypes, [], hyper, threads=1, held=None)


@functools.cache
def _likes(dtypes: Dtypes) -> tuple[Any, ...]:
    """Empty arrays that tell the kernel the four dtypes and the dtype of the computation."""
    wide = np.float64 if "float64" in dtypes else np.float32
    return (*(np.empty(0, _CARRIERS[each]) for each in dtypes), np.empty(0, wide))
