"""An alteration of the rule: what a dialect changes before a backend is judged by it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from adamax_core import Hyperparameters, Rule

CANONICAL_NAME = "canonical"
"""The name of the specification among dialects: nothing is altered."""


class Alteration(Protocol):
    """A change of lines of the rule; it is hashable, since bounds are cached by it."""

    def apply(
        self, rule: Rule, hp: Hyperparameters, *, first: bool, paired: bool
    ) -> tuple[Rule, Hyperparameters]:
        """Return the rule and the hyperparameters of one step, changed.

        Args:
            rule: the canonical rule, for any type of numbers.
            hp: the hyperparameters of the step.
            first: True in the first step of a parameter.
            paired: True for a complex parameter: pairs of reals on the last axis.
        """
        ...

    def initial_norm(self, hp: Hyperparameters) -> Any:
        """Return the norm of every element before the first step."""
        ...

    def norms(self, exp_inf: Any) -> Any:
        """Return the norm that a backend shows, of both parts of complex numbers."""
        ...


@dataclass(frozen=True)
class Unaltered:
    """No change: the rule that docs/spec.md decides on."""

    def apply(
        self, rule: Rule, hp: Hyperparameters, *, first: bool, paired: bool
    ) -> tuple[Rule, Hyperparameters]:
        """Return both as they are."""
        del first, paired
        return rule, hp

    def initial_norm(self, hp: Hyperparameters) -> Any:
        """Return zero (S-1)."""
        del hp
        return 0

    def norms(self, exp_inf: Any) -> Any:
        """Return them as they are: each part has its own (A-9)."""
        return exp_inf


@dataclass(frozen=True)
class Both(Unaltered):
    """Two alterations, one after the other; the state begins and is shown as by the first.

    Attributes:
        one: the first.
        other: the second.
    """

    one: Alteration
    other: Alteration

    def apply(
        self, rule: Rule, hp: Hyperparameters, *, first: bool, paired: bool
    ) -> tuple[Rule, Hyperparameters]:
        """Return both, changed twice."""
        rule, hp = self.one.apply(rule, hp, first=first, paired=paired)
        return self.other.apply(rule, hp, first=first, paired=paired)

    def initial_norm(self, hp: Hyperparameters) -> Any:
        """Return that of the first."""
        return self.one.initial_norm(hp)

    def norms(self, exp_inf: Any) -> Any:
        """Return those of the first."""
        return self.one.norms(exp_inf)


UNALTERED = Unaltered()

Change = Callable[[Rule, Hyperparameters], tuple[Rule, Hyperparameters]]
"""Function that takes the rule and the hyperparameters of one step, and returns changed ones."""


@dataclass(frozen=True)
class Changed(Unaltered):
    """An alteration that is the same in every step and for every parameter.

    Attributes:
        change: function that changes the rule, for any type of numbers.
    """

    change: Change

    def apply(
        self, rule: Rule, hp: Hyperparameters, *, first: bool, paired: bool
    ) -> tuple[Rule, Hyperparameters]:
        """Return both, changed."""
        del first, paired
        return self.change(rule, hp)
