"""The clause to look at first, where the diagnosis names none: whose fault each wrong result is."""

from collections.abc import Mapping, Sequence

from adamax_conformance.judging.extent import scattered
from adamax_conformance.reports.grade import grade_of
from adamax_conformance.reports.result import Result, Status

WRONG = (Status.FAIL, Status.XFAIL)
"""The statuses of a wrong number."""

# Clauses judged by the quantity of their own line, without any mode. A-7, the step, comes before
# its correction A-6, since its cases set beta1 = 0, which needs no correction.
PLAIN_LINES = ("A-3", "A-4", "A-5", "A-7", "A-6")

_COUNTS = ("A-3", "S-3", "S-7")
"""The clauses about the count; where one fails, a wrong count in another case is its fault."""

_STORING: Mapping[str, tuple[str, ...]] = {
    "exp_avg": ("A-4", "N-1", "N-2"),
    "exp_inf": ("A-5", "N-1", "N-2"),
}
"""The clauses about each moment; where one fails, that moment in a case of `_STEP` is its fault."""

_STEP = ("A-6", "A-7")
"""The clauses about the step, which follows from the moments."""

_LOADING = "S-7"
"""The clause about loaded states; where it fails, a state that is wrong before the first step of
another case is its fault."""

_IN_FORCE = "H-6"
"""The clause about changed hyperparameters; where it fails, a step of another case that is wrong
after a change is its fault."""

_LAST_PLACES = "N-3"
"""The clause with the tightest bounds: what violates another clause mostly violates it too."""

_SIZES = "S-9"
"""The clause about sizes; where it leaves elements out, other cases fail by that too."""


def suspected(results: Sequence[Result], failed: Sequence[str]) -> str | None:
    """Return the failed clause to look at first; None if nothing failed.

    The sizes, if elements are left out; else a line of the rule before the clauses that depend on
    it, a wrong number before an error, and the arithmetic before all else, its last places last.
    """
    wrong = [each for each in results if each.status in WRONG and each.clause in failed]
    if _leaves_out(wrong):
        return _SIZES
    suspects = {_fault(each, failed) for each in wrong} or set(failed)
    if _LOADING in failed and any(r.divergence and r.divergence.step == 0 for r in wrong):
        suspects.discard(_LAST_PLACES)  # a step from a wrong state has none
    ordered = sorted(
        failed, key=lambda clause: (grade_of(clause) != "arithmetic", clause == _LAST_PLACES)
    )
    return next((clause for clause in (*PLAIN_LINES, *ordered) if clause in suspects), None)


def _fault(result: Result, failed: Sequence[str]) -> str:
    """Return the clause that a wrong result is the fault of."""
    found = result.divergence
    if found is None:
        return result.clause
    if found.step == 0 and _LOADING in failed:
        return _LOADING
    if found.changed and _IN_FORCE in failed:
        return _IN_FORCE
    about: tuple[str, ...] = ()
    if found.quantity == "step" and result.clause not in _COUNTS:
        about = _COUNTS
    elif result.clause in _STEP:
        about = _STORING.get(found.quantity, ())
    return next((clause for clause in about if clause in failed), result.clause)


def _leaves_out(wrong: Sequence[Result]) -> bool:
    """Are elements left out, in a case of sizes, and elements without order wrong less often?"""
    found = [(each.clause, each.divergence) for each in wrong if each.divergence]
    parts = sum(each.left_out for _, each in found)
    return parts >= sum(scattered(each.extent) for _, each in found) and any(
        clause == _SIZES and each.left_out for clause, each in found
    )
