"""Comparisons of a backend with itself: nothing changed, or two runs went alike."""

from collections.abc import Mapping, Sequence

from adamax_conformance.judging.extent import change
from adamax_conformance.judging.finding import Finding, Violation, element
from adamax_conformance.judging.judge import Shown, judge
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.subject.backend import Arrays, Moments
from adamax_conformance.subject.watched import Watched


def require_kept(
    before: Mapping[str, Moments] | None, after: Mapping[str, Moments] | None, what: str
) -> None:
    """Raise unless every bit of the state is the same; `what` happened in between.

    Raises:
        Violation: names the parameter and the part of its state.
    """
    for name, slot in (before or {}).items():
        for part, old, new in zip(slot._fields, slot, (after or {})[name], strict=True):
            if found := change(old, new):
                raise Violation(
                    f"{what}, {part} of {element(name, found.index)} changed from {found.was} to "
                    f"{found.now}; {found.within(name)}"
                )


def require_alike(
    backend: Watched, run: Run, expected: Sequence[Arrays], got: Sequence[Arrays], what: str
) -> Finding:
    """Compare the parameters of a run, before the first step and after each, with another time.

    Right results of one run need not have the same bits, as where the sum of a vector register is
    fused and that of its tail is not. Where bits differ, both must be in the intervals of the rule.

    Raises:
        Violation: names the parameter, its values, and `what` was different.
    """
    for before, after in zip(expected, got, strict=True):
        for name, param in before.items():
            if (found := change(param, after[name])) and not (
                _right(backend, run, expected) and _right(backend, run, got)
            ):
                raise Violation(
                    f"{element(name, found.index)}: {found.now} {what}: {found.was}; "
                    f"{found.within(name)}"
                )
    return Finding(sum(param.size for params in got[1:] for param in params.values()))


def _right(backend: Watched, run: Run, shown: Sequence[Arrays]) -> bool:
    try:
        showing = (Shown(params, None, None) for params in shown)
        judge(backend, Trial(run, ["param"]), showing=showing)
    except Violation:
        return False
    return True
