"""Find the wrong variant whose results a failing backend reproduces.

A variant with an alteration of the rule fits a run if the judge accepts the run by the altered
rule, with bounds that follow from it. Any other variant takes each step from the state that the
backend reported. It fits if the backend is right where the variant is right, and has the bits of
the variant where it is wrong. Elements that are skipped or kept fit in this way, however the
backend rounds.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from adamax_conformance.bounds.distinct import Bound, bounds
from adamax_conformance.bounds.oracle import pairs
from adamax_conformance.dialects.probe import GRADS, PARAMS, PROBE, WEIGHT_DECAY
from adamax_conformance.judging.finding import Violation
from adamax_conformance.judging.judge import Shown, follow, judge
from adamax_conformance.judging.run import EVERYTHING, Run, Trial
from adamax_conformance.spec.alteration import Alteration, Both
from adamax_conformance.subject.backend import Moments
from adamax_conformance.subject.limits import NotOfferedError
from adamax_conformance.subject.memory import copies
from adamax_conformance.subject.watched import BackendError, Watched

if TYPE_CHECKING:
    from adamax_conformance.variants import Wrong

STEPS = 800
"""Largest number of steps to compare in one search. It bounds the time, and can be repeated."""


def matching(
    backend: Watched, trials: Sequence[Trial], variants: Iterable["Wrong"]
) -> "Wrong | None":
    """Return the only variant that fits all of the trials, and a run in which the lines differ.

    None if there is none, if several fit, or if the search ends before all are compared. Runs that
    judge the last places of the bias correction are not compared: all that rounds is alike there.

    Args:
        backend: the backend, watched.
        trials: wrong runs of it. The first excludes most variants, so it should be the smallest.
        variants: the variants to compare with.
    """
    if any(trial.accurate_correction for trial in trials):
        return None
    fitting, left = list(variants), STEPS
    for trial in (*trials, _telling(trials[0].run)):
        try:
            shown = list(follow(backend, trial.run))
        except (BackendError, NotOfferedError):
            return None
        remaining = []
        for variant in fitting:
            if left <= 0:
                return None
            fits, steps = _fits(backend, trial, shown, variant)
            left -= steps
            remaining += [variant] if fits else []
        fitting = remaining
    return fitting[0] if len(fitting) == 1 else None


def matching_pair(
    backend: Watched, trials: Sequence[Trial], variants: Iterable["Wrong"]
) -> tuple["Wrong", "Wrong"] | None:
    """Return the only two variants whose altered rules together fit all of the trials.

    One of them explains what the first trial judges. None if there are none, if several pairs fit,
    or if the search ends before all are compared.

    Args:
        backend: the backend, watched.
        trials: wrong runs of it, small ones. The first is of the clause to look at first.
        variants: the variants to compare with.
    """
    if any(trial.accurate_correction for trial in trials):
        return None
    altering = [(each, each.alteration) for each in variants if each.alteration is not None]
    first = [
        (variant, alteration)
        for variant, alteration in altering
        if _wrong_after(backend, trials[0], alteration, trials[0].judged) is None
    ]
    tried: set[frozenset[str]] = set()
    found, left = [], STEPS
    for (one, alteration), (other, another) in product(first, altering):
        ids = frozenset((one.id, other.id))
        if ids in tried or len(ids) == 1:
            continue
        tried.add(ids)
        both = Both(alteration, another)
        for trial in (*trials, _telling(trials[0].run)):
            if left <= 0:
                return None
            wrong = _wrong_after(backend, trial, both)
            left -= len(trial.run.grads) if wrong is None else wrong
            if wrong is not None:
                break
        else:
            found.append((one, other))
    return found[0] if len(found) == 1 else None


def right_under(backend: Watched, trial: Trial, alteration: Alteration) -> bool:
    """Is the backend right in this run by the altered rule?"""
    return _wrong_after(backend, trial, alteration) is None


def _telling(run: Run) -> Trial:
    """Return the run of `diagnose`, where the lines are far apart, in the modes of another run."""
    first, kind = run.at(0), next(iter(run.params.values())).dtype
    hp = replace(
        PROBE,
        weight_decay=WEIGHT_DECAY if first.weight_decay else 0.0,
        maximize=first.maximize,
        decoupled_weight_decay=first.decoupled_weight_decay,
    )

    def array(row: Any) -> Any:
        imaginary = 1j * np.roll(row, 1) if kind.kind == "c" else 0
        return (np.asarray(row) + imaginary).astype(kind)

    return Trial(Run({"w": array(PARAMS)}, [{"w": array(row)} for row in GRADS], hp))


def _fits(
    backend: Watched, trial: Trial, shown: Sequence[Shown], variant: "Wrong"
) -> tuple[bool, int]:
    """Return whether the variant fits the run, and the number of steps that it took to see."""
    if variant.alteration is not None:
        wrong = _wrong_after(backend, trial, variant.alteration)
        return wrong is None, len(trial.run.grads) if wrong is None else wrong
    try:
        return _alike(backend, trial.run, shown, Watched(variant.backend))
    except (BackendError, NotOfferedError):
        # The variant does not take what the run asks for.
        return False, 1


def _wrong_after(
    backend: Watched,
    trial: Trial,
    alteration: Alteration,
    judged: Collection[str] = EVERYTHING,
) -> int | None:
    """Return the number of steps until the backend is wrong by the altered rule; None if never."""
    try:
        with np.errstate(all="ignore"):
            judge(backend.altered(alteration), replace(trial, judged=judged))
    except Violation as violation:
        return max(1, len(violation.trace))
    except (BackendError, NotOfferedError):
        return 1
    return None


def _alike(
    backend: Watched, run: Run, shown: Sequence[Shown], variant: Watched
) -> tuple[bool, int]:
    """Is each step right where the variant's is, and has its bits where that is wrong?"""
    start = shown[0].moments
    if start is None or run.undecayed:
        return False, 1
    if not _same(start, variant.moments(run.params, run.start(variant))):
        return False, 1
    for index, (grads, was, now) in enumerate(zip(run.grads, shown, shown[1:], strict=False)):
        hp = backend.limits.held(run.at(index))
        before, after = was.moments or {}, now.moments or {}
        state = variant.load(was.params, hp, {k: slot._asdict() for k, slot in before.items()})
        stepped, state = variant.step(was.params, copies(grads), state, hp)
        others = variant.moments(was.params, state) or {}
        for name, param in was.params.items():
            ours = {"param": now.params[name], **after[name]._asdict()}
            theirs = {"param": stepped[name], **others[name]._asdict()}
            bound: Mapping[str, Bound] = {}
            if name in grads:
                bound = bounds(
                    param,
                    grads[name],
                    before[name],
                    hp,
                    reported=after[name],
                    accurate_correction=False,
                )
            if not _fit(ours, theirs, bound):
                return False, index + 1
    return True, len(run.grads)


def _fit(ours: Mapping[str, Any], theirs: Mapping[str, Any], bound: Mapping[str, Bound]) -> bool:
    """Are our values right where theirs are right, and equal to theirs elsewhere?

    Args:
        ours: the count, the moments and the parameter of the backend after a step.
        theirs: those of the variant.
        bound: the bounds of the moments and of the parameter; empty without a gradient.
    """
    for quantity, value in ours.items():
        mine, other = pairs(value), pairs(theirs[quantity])
        if mine.dtype != other.dtype:
            return False
        equal = (mine == other) | (mine != mine) & (other != other)  # noqa: PLR0124 - both are NaN
        if quantity in bound:
            right = [bound[quantity].excess(each) <= 1 for each in (mine, other)]
            equal = np.where(right[1], right[0], equal & ~right[0])
        if not np.all(equal):
            return False
    return True


def _same(some: Mapping[str, Moments], others: Mapping[str, Moments] | None) -> bool:
    """Are the moments of all parameters equal?"""
    return others is not None and all(
        _fit(slot._asdict(), others[name]._asdict(), {}) for name, slot in some.items()
    )
