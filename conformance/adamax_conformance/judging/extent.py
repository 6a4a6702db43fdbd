"""The elements of an array that are wrong, in words: tails, strides and rows show at once."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from adamax_conformance.bounds.oracle import pairs


@dataclass(frozen=True)
class Change:
    """The first element whose bits changed.

    Attributes:
        index: the element; empty if dtype or shape changed, or if there is no axis.
        was: its value before, in words.
        now: its value now, in words.
        extent: which elements changed, as `extent` has it; empty if dtype or shape changed.
    """

    index: tuple[int, ...]
    was: str
    now: str
    extent: str

    def within(self, name: str) -> str:
        """Return which elements of the array of this name changed, in words."""
        return f"changed in {name}: {self.extent or 'all'}"


def change(was: Any, now: Any) -> Change | None:
    """Return the first element whose bits changed; None if none did.

    >>> change(np.array([1.0, 2.0, 3.0]), np.array([1.0, np.nan, 4.0]))
    Change(index=(1,), was='2.0', now='nan', extent='the last 2 of 3')
    >>> change(7, 8)
    Change(index=(), was='7', now='8', extent='the only one')
    >>> change(np.array(0.0), np.array(0.0))
    """
    was, now = np.asarray(was), np.asarray(now)
    if (was.dtype, was.shape) != (now.dtype, now.shape):
        one, other = (f"{each.dtype} of shape {each.shape}" for each in (was, now))
        return Change((), one, other, "")
    if was.tobytes() == now.tobytes():
        return None
    parts = [np.ascontiguousarray(pairs(each)) for each in (was, now)]
    words = [each.reshape(-1).view(f"u{each.itemsize}") for each in parts]
    changed = (words[0] != words[1]).reshape(pairs(was).shape)
    index = tuple(map(int, np.argwhere(changed)[0]))
    elements = changed.any(-1) if was.dtype.kind == "c" else changed
    before, after = (str(pairs(each)[index]) for each in (was, now))
    return Change(index, before, after, extent(elements))


def extent(wrong: Any) -> str:
    """Return how many elements of a mask are set, and which.

    >>> extent(np.arange(20) >= 16), extent(np.arange(20) % 8 == 7)
    ('the last 4 of 20', '2 of 20: every 8th from index 7')
    """
    at = np.flatnonzero(wrong)
    of = f"{at.size} of {wrong.size}"
    if at.size == wrong.size:
        return f"all {of}" if at.size > 1 else "the only one"
    if not at.size:
        return f"none of {wrong.size}"
    if where := _end(at, wrong.size):
        return where
    if where := _slices(wrong) or _steps(at):
        return f"{of}: {where}"
    return of


def left_out(wrong: Any, unchanged: Any) -> bool:
    """Are the elements of a mask unchanged, and a part of the array that a loop may leave out?

    A rule that is wrong may leave an element unchanged too, but seldom a tail or a stride, and
    seldom some and not all.

    >>> tail, every = np.arange(20) >= 16, np.ones(20, bool)
    >>> left_out(tail, every), left_out(tail, ~every), left_out(every, every)
    (True, False, False)
    """
    at = np.flatnonzero(wrong)
    if not at.size or at.size == wrong.size or not np.all(unchanged[wrong]):
        return False
    return bool(_end(at, wrong.size) or _slices(wrong) or _steps(at))


def scattered(words: str) -> bool:
    """Are the elements in these words of no order, at least of one array?

    >>> scattered("w: 9 of 20; b: all 7 of 7"), scattered("w: 4 of 20: index 4 to 7")
    (True, False)
    """
    return any(re.fullmatch(r".*: \d+ of \d+", each) for each in words.split("; "))


def _end(at: Any, size: int) -> str:
    """Return which end of the array the indices are; empty if they are none."""
    if at[-1] - at[0] + 1 != at.size or (at[0] and at[-1] != size - 1):
        return ""
    count = f" {at.size}" if at.size > 1 else ""
    return f"the {'last' if at[0] else 'first'}{count} of {size}"


def _slices(wrong: Any) -> str:
    """Return the indices on one axis at which all is wrong; empty if there is no such axis."""
    for axis in range(wrong.ndim if wrong.ndim > 1 else 0):
        others = tuple(other for other in range(wrong.ndim) if other != axis)
        some, every = wrong.any(others), wrong.all(others)
        if np.array_equal(some, every) and not np.all(every):
            return f"index {', '.join(map(str, np.flatnonzero(every)))} of axis {axis}"
    return ""


def _steps(at: Any) -> str:
    """Return the step between the indices, or their range; empty if the steps differ."""
    steps = np.diff(at)
    if not steps.size or np.any(steps != steps[0]):
        return ""
    if steps[0] == 1:
        return f"index {at[0]} to {at[-1]}"
    return f"every {_ordinal(int(steps[0]))} from index {at[0]}"


def _ordinal(number: int) -> str:
    """Return ``2nd`` and so on.

    >>> [_ordinal(number) for number in (2, 3, 11, 21, 64)]
    ['2nd', '3rd', '11th', '21st', '64th']
    """
    teen = number // 10 % 10 == 1
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
