"""Shrink a run that shows a violation: fewer steps, one parameter, one element, zeros and ones.

The rule is elementwise, so one element is nearly always enough. If it is not (a kernel forgets the
tail of an array, or skips a parameter), the fault depends on the size, which then stays.

The number of steps that a search judges is bounded, and not its time, so that it can be repeated.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from adamax_conformance.bounds.distinct import distinct
from adamax_conformance.bounds.oracle import pairs
from adamax_conformance.judging.finding import Divergence, Violation
from adamax_conformance.judging.judge import judge
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.subject.backend import Arrays, Moments
from adamax_conformance.subject.watched import BackendError, Watched

STEPS = 1500
"""Largest number of steps that one search judges."""

_AT_ONCE = 50
"""Distinct elements that take as long to judge as the rest of a step."""

_Each = Callable[[str, Any], Any]


class _Fault(NamedTuple):
    """A fault of a run.

    Attributes:
        kind: the wrong quantity, or the operation that raised and the class of its exception.
        divergence: the wrong value; None if an operation raised.
    """

    kind: tuple[str, ...]
    divergence: Divergence | None


class Effort:
    """The number of steps that searches may still judge.

    Attributes:
        left: this number; a step of many distinct elements counts several times.
    """

    def __init__(self, left: float) -> None:
        self.left = left

    def afford(self, backend: Watched, run: Run) -> bool:
        """Count the steps of this run, if so many are left."""
        cost = _cost(backend, run)
        if cost > self.left:
            return False
        self.left -= cost
        return True


def smallest(backend: Watched, trial: Trial, effort: Effort | None = None) -> Trial:
    """Return a smaller run with the same kind of fault.

    No simplification of it that the effort allows has that fault.

    Args:
        backend: the backend, watched.
        trial: a run that is wrong, or in which the backend raises.
        effort: the steps that may be judged, with those of other searches; at most `STEPS`.
    """
    effort = effort or Effort(STEPS)
    own = Effort(min(STEPS, effort.left))
    begun = own.left
    found = _fault(backend, trial) if own.left > 0 else None
    while found is not None:
        for run in _simplifications(trial.run, found.divergence):
            if not own.afford(backend, run):
                continue
            candidate = replace(trial, run=run)
            still = _fault(backend, candidate)
            if still is not None and still.kind == found.kind:
                trial, found = candidate, still
                break
        else:
            break
    effort.left -= begun - own.left
    return trial


def first_wrong(backend: Watched, trial: Trial) -> Divergence | None:
    """Return the first wrong value of a run; None if it is right, or if the backend raises."""
    found = _fault(backend, trial)
    return found and found.divergence


def _cost(backend: Watched, run: Run) -> float:
    """Return the number of steps that take as long to judge as this run."""
    elements = 0
    for name, param in run.params.items():
        series = [grads[name] for grads in run.grads if name in grads]
        columns = map(pairs, (param, *series))
        elements += len(distinct(*columns)[0]) if backend.visible else param.size
    return max(1, len(run.grads)) * (1 + elements / _AT_ONCE)


def _fault(backend: Watched, trial: Trial) -> _Fault | None:
    try:
        with np.errstate(all="ignore"):
            judge(backend, trial)
    except Violation as violation:
        found = violation.divergence
        return _Fault((found.quantity,), found) if found else None
    except BackendError as error:
        return _Fault((error.operation, type(error.cause).__name__), None)
    return None


def _simplifications(run: Run, found: Divergence | None) -> Iterator[Run]:
    """Yield simpler runs: first those that make all steps of a long run cheaper, or alike."""
    # A run needs at least one step, even if it is wrong before the first.
    if found and max(found.step, 1) < len(run.grads):
        yield _with_steps(run, range(max(found.step, 1)))
    yield from _with_fewer_elements(run, found)
    yield from _with_plainer_numbers(run)
    yield from _with_fewer_steps(run)
    yield from _with_ones(run)


def _with_fewer_steps(run: Run) -> Iterator[Run]:
    # Remove halves, then quarters, and so on: most steps of a long run go at once.
    seen: dict[Any, int] = {}
    steps = [
        seen.setdefault((repr(run.at(index)), *((k, g.tobytes()) for k, g in grads.items())), index)
        for index, grads in enumerate(run.grads)
    ]
    tried, size = set(), len(steps) // 2
    while size:
        for first in range(0, len(steps), size):
            kept = (*steps[:first], *steps[first + size :])
            # Of equal steps it does not matter which are removed.
            if kept and kept not in tried:
                tried.add(kept)
                yield _with_steps(run, kept)
        size //= 2


def _with_fewer_elements(run: Run, found: Divergence | None) -> Iterator[Run]:
    if len(run.params) > 1:
        for name in [found.parameter] if found else run.params:
            yield _with_arrays(run, partial(_only, name))
    if found and found.index and run.params[found.parameter].size > 1:
        yield _with_arrays(run, partial(_element, found.index))
    size = max(param.size for param in run.params.values())
    # One more than a power of two has a tail.
    for count in (2**k + more for k in range(17) for more in (0, 1) if 2**k + more < size):
        yield _with_arrays(run, partial(_first, count))
        yield _with_arrays(run, partial(_last, count))


def _with_plainer_numbers(run: Run) -> Iterator[Run]:
    if any(np.any(param != 0) for param in run.params.values()):
        yield replace(run, params={k: np.zeros_like(param) for k, param in run.params.items()})
    ones = [_ones(grads) for grads in run.grads]
    if _differ(ones, run.grads):
        yield replace(run, grads=ones)


def _with_ones(run: Run) -> Iterator[Run]:
    for step, grads in enumerate(run.grads):
        ones = _ones(grads)
        if len(run.grads) > 1 and _differ([ones], [grads]):
            yield replace(run, grads=[*run.grads[:step], ones, *run.grads[step + 1 :]])


def _ones(grads: Arrays) -> dict[str, Any]:
    return {key: np.ones_like(grad) for key, grad in grads.items()}


def _differ(some: Sequence[Arrays], others: Sequence[Arrays]) -> bool:
    return any(
        np.any(one[key] != other[key])
        for one, other in zip(some, others, strict=True)
        for key in one
    )


def _only(name: str, key: str, array: Any) -> Any:
    return array if key == name else None


def _first(count: int, _key: str, array: Any) -> Any:
    return array.reshape(-1)[:count]


def _last(count: int, _key: str, array: Any) -> Any:
    return array.reshape(-1)[-count:]


def _element(index: tuple[int, ...], _key: str, array: Any) -> Any:
    """Return the element at this index as an array of one; of an array that lacks it, the first.

    The index may end in an axis of real and imaginary part: a complex element stays whole.
    """
    at = index[: array.ndim]
    inside = len(at) == array.ndim and all(i < n for i, n in zip(at, array.shape, strict=True))
    return array[at].reshape(1) if inside else _first(1, _key, array)


def _with_steps(run: Run, steps: Any) -> Run:
    return replace(run, grads=[run.grads[i] for i in steps], hp=[run.at(i) for i in steps])


def _with_arrays(run: Run, each: _Each) -> Run:
    """Apply a function to each array of the run, and drop the arrays for which it returns None."""

    def changed(arrays: Any) -> dict[str, Any]:
        kept = ((key, each(key, array)) for key, array in arrays.items())
        return {key: array for key, array in kept if array is not None}

    saved = run.saved
    if saved is not None:
        parts = [changed({k: slot[i] for k, slot in saved.items()}) for i in (1, 2)]
        saved = {k: Moments(saved[k].step, parts[0][k], parts[1][k]) for k in parts[0]}
    params = changed(run.params)
    return replace(
        run,
        params=params,
        grads=[changed(grads) for grads in run.grads],
        saved=saved,
        undecayed=tuple(key for key in run.undecayed if key in params),
    )
