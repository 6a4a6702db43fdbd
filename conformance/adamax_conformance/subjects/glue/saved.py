"""A saved state, for optimizers that have one count for all parameters."""

from collections.abc import Mapping
from typing import Any


def one_count(saved: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the largest count.

    >>> one_count({"w": {"step": 3}, "b": {"step": 2}})
    3
    """
    return int(max(slot["step"] for slot in saved.values()))


def name_of_norm(saved: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the name of what takes the norm's place: the square in a state of Adam (S-8).

    >>> name_of_norm({"w": {"exp_inf": 1.0}}), name_of_norm({"w": {"exp_avg_sq": 1.0}})
    ('exp_inf', 'exp_avg_sq')
    """
    return "exp_avg_sq" if any("exp_avg_sq" in slot for slot in saved.values()) else "exp_inf"
