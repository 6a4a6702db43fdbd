"""The smallest run that still shows a violation: fewer steps, one parameter, one element, 0 and 1.

The rule is elementwise, so one element is nearly always enough; where it is not (a tail that is
forgotten, a parameter that is skipped), the size is what is wrong, and it stays.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from adamax_conformance.backend import Moments
from adamax_conformance.finding import Divergence, Violation
from adamax_conformance.judge import Run, Trial, judge
from adamax_conformance.watched import BackendError, Watched

_Each = Callable[[str, Any], Any]


def smallest(backend: Watched, trial: Trial) -> Trial:
    """A run that is wrong in the same quantity, and none of whose simplifications is.

    Args:
        backend: the backend, watched.
        trial: a run that is wrong.
    """
    found = _divergence(backend, trial)
    if found is None:
        return trial
    simpler = True
    while simpler:
        simpler = False
        for run in _simplifications(trial.run, found):
            candidate = replace(trial, run=run)
            still = _divergence(backend, candidate)
            if still is not None and still.quantity == found.quantity:
                trial, found, simpler = candidate, still, True
                break
    return trial


def _divergence(backend: Watched, trial: Trial) -> Divergence | None:
    """What is wrong in a run; a run that raises is not simpler, but another one."""
    try:
        with np.errstate(all="ignore"):
            judge(backend, trial)
    except Violation as violation:
        return violation.divergence
    except BackendError:
        pass
    return None


def _simplifications(run: Run, found: Divergence) -> Iterator[Run]:
    """Runs with less in them, the boldest first."""
    yield from _with_fewer_steps(run, found)
    yield from _with_fewer_elements(run, found)
    yield from _with_plainer_numbers(run)


def _with_fewer_steps(run: Run, found: Divergence) -> Iterator[Run]:
    if found.step < len(run.grads):
        yield _with_steps(run, range(found.step))
    elif len(run.grads) > 1:
        for dropped in range(len(run.grads)):
            yield _with_steps(run, [i for i in range(len(run.grads)) if i != dropped])


def _with_fewer_elements(run: Run, found: Divergence) -> Iterator[Run]:
    name, index = found.parameter, found.index
    if len(run.params) > 1:
        yield _with_arrays(run, lambda key, array: array if key == name else None)
    size = run.params[name].size
    if size > 1 and index:
        yield _with_arrays(run, lambda _key, array: _element(array, index))
    for count in (2**k for k in range(1, 17) if 2**k < size):
        yield _with_arrays(run, partial(_first, count))


def _with_plainer_numbers(run: Run) -> Iterator[Run]:
    if any(np.any(param != 0) for param in run.params.values()):
        yield replace(run, params={key: param * 0 for key, param in run.params.items()})
    for step, grads in enumerate(run.grads):
        if any(np.any(grad != 1) for grad in grads.values()):
            ones = {key: np.ones_like(grad) for key, grad in grads.items()}
            yield replace(run, grads=[*run.grads[:step], ones, *run.grads[step + 1 :]])


def _first(count: int, _key: str, array: Any) -> Any:
    return array.reshape(-1)[:count]


def _element(array: Any, index: tuple[int, ...]) -> Any:
    """One element as an array of one; of a complex number both parts."""
    return array[index[: array.ndim]].reshape(1)


def _with_steps(run: Run, steps: Any) -> Run:
    return replace(run, grads=[run.grads[i] for i in steps], hp=[run.at(i) for i in steps])


def _with_arrays(run: Run, each: _Each) -> Run:
    """The same run with each array changed; where that gives None, without it."""

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
