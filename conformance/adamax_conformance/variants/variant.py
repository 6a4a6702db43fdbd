"""Variants: backends made from the reference by replacing a line or wrapping a step.

The other modules of this package define them, one module for each family;
`adamax_conformance.score` judges them.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import adamax_core
from adamax_conformance.dialects import Dialect
from adamax_conformance.dialects.axes import CORRECTION, DECAY, EPS, SIGN
from adamax_conformance.spec.alteration import Alteration, Change, Changed
from adamax_conformance.spec.clauses import CLAUSES
from adamax_conformance.spec.formats import FLOATS, WITH_COMPLEX
from adamax_conformance.subject.backend import FunctionalBackend
from adamax_conformance.subjects.reference import backend as reference
from adamax_core import CANONICAL, Hyperparameters, Rule, State, rule
from adamax_core.rule import Step

BASE = reference()
"""The reference; a variant differs from it in one thing."""

WIDE = ("float32", "float64")
HALF = ("float16", "bfloat16")

RULE = tuple(clause.id for clause in CLAUSES if clause.id[0] in "ASNH")
"""Clauses that a wrong step can violate: all but derivatives."""

Proofs = Mapping[tuple[str, ...], str]
"""Proofs that a variant equals the rule, by the dtypes in which it does."""

DERIVATIVES = ("N-7", *(clause.id for clause in CLAUSES if clause.id[0] == "D"))
"""Clauses that a wrong derivative can violate."""

LINES = tuple(clause for clause in RULE if clause[0] == "A")
"""Clauses of the lines of the rule. A report must not blame them for another fault."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A backend that differs from the reference in one thing.

    Attributes:
        id: permanent id, in kebab case.
        family: name of its family.
        does: a sentence about what it does.
        backend: the backend, named by the id.
    """

    id: str
    family: str
    does: str
    backend: FunctionalBackend


@dataclass(frozen=True, kw_only=True)
class Wrong(Variant):
    """A backend that is wrong on purpose.

    Attributes:
        clause: the clause that must catch it, and that the report must suspect first.
        dtypes: dtypes in which it differs from the rule.
        proofs: for every other dtype of the family, why it equals the rule there. The suite runs
            there too, and must accept it.
        alteration: the same fault in the rule on any type of numbers, so that the judge can derive
            bounds from it; None if it is not a fault of the rule, or is written for floats only.
    """

    clause: str
    dtypes: tuple[str, ...] = FLOATS
    proofs: Mapping[str, str] = field(default_factory=dict)
    alteration: Alteration | None = None


@dataclass(frozen=True, kw_only=True)
class Right(Variant):
    """A right reformulation of the rule, which the judge must accept.

    Attributes:
        dtypes: dtypes in which it is right.
        clauses: clauses to judge it by.
    """

    dtypes: tuple[str, ...] = WITH_COMPLEX
    clauses: tuple[str, ...] = RULE


_AXES = {"eps": EPS, "correction": CORRECTION, "sign": SIGN, "decay": DECAY}


class Family:
    """Variants that are wrong in the same part of the rule, and right reformulations of it.

    Attributes:
        name: its name, in kebab case.
        title: its name for people.
        scope: dtypes to judge it in; in each, a wrong variant is caught or proved equal.
        wrong: the wrong variants, in order.
        right: the right variants, in order.
    """

    def __init__(self, name: str, title: str, scope: tuple[str, ...] = FLOATS) -> None:
        self.name = name
        self.title = title
        self.scope = scope
        self.wrong: list[Wrong] = []
        self.right: list[Right] = []

    def wrong_one(
        self,
        variant_id: str,
        clause: str,
        part: str = "step",
        *,
        proofs: Proofs | None = None,
        base: FunctionalBackend | None = None,
        exact: bool = False,
        **others: Any,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorate the wrong part of a variant, and add the variant; the docstring describes it.

        Args:
            variant_id: permanent id, in kebab case.
            clause: the clause that must catch it.
            part: a line of `adamax_core.Rule` or an operation of `FunctionalBackend`.
            proofs: dtypes in which it equals the rule, and why.
            base: the backend whose part it replaces; the reference if None.
            exact: True if the part is a line that runs on any type of numbers, element by element.
            others: further parts to replace.
        """
        texts = {dtype: text for dtypes, text in (proofs or {}).items() for dtype in dtypes}

        def alteration(line: Callable[..., Any]) -> Changed:
            return Changed(lambda rule, hp: (rule._replace(**{part: line}), hp))

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.wrong.append(
                Wrong(
                    id=variant_id,
                    family=self.name,
                    does=sentence(function),
                    backend=made(variant_id, {part: function, **others}, base or BASE),
                    clause=clause,
                    dtypes=tuple(dtype for dtype in self.scope if dtype not in texts),
                    proofs=texts,
                    alteration=alteration(function) if exact else None,
                )
            )
            return function

        return register

    def changed_one(self, variant_id: str, clause: str) -> Callable[[Change], Change]:
        """Decorate a change of the rule and its hyperparameters, and add it as a wrong variant.

        Args:
            variant_id: permanent id, in kebab case.
            clause: the clause that must catch it, in every dtype of the family.
        """

        def register(change: Change) -> Change:
            def own(p: Any, g: Any, m: Any, u: Any, t: int, hp: Hyperparameters) -> Step:
                changed, hp = change(CANONICAL, hp)
                return changed(p, g, m, u, t, hp)

            self.wrong.append(
                Wrong(
                    id=variant_id,
                    family=self.name,
                    does=sentence(change),
                    backend=replace(BASE, name=variant_id, step=reference(own).step),
                    clause=clause,
                    dtypes=self.scope,
                    alteration=Changed(change),
                )
            )
            return change

        return register

    def dialect(self, variant_id: str, clause: str, **alternative: str) -> None:
        """Add a known dialect as a wrong variant, which differs in every dtype of the family.

        Args:
            variant_id: permanent id, in kebab case.
            clause: the clause that must catch it.
            alternative: the field of `Dialect` that is not canonical, with its value.
        """
        [(axis, name)] = alternative.items()
        found, dialect = _AXES[axis].alternatives[name], Dialect(**alternative)
        self.wrong.append(
            Wrong(
                id=variant_id,
                family=self.name,
                does=f"{found.phrase}: {found.formula}.",
                backend=replace(BASE, name=variant_id, step=reference(dialect).step),
                clause=clause,
                dtypes=self.scope,
                alteration=dialect,
            )
        )

    def right_one(
        self,
        variant_id: str,
        part: str = "step",
        *,
        dtypes: tuple[str, ...] = WITH_COMPLEX,
        clauses: tuple[str, ...] = RULE,
        base: FunctionalBackend | None = None,
        **others: Any,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorate a reformulated part, and add the variant; the docstring describes it."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.right.append(
                Right(
                    id=variant_id,
                    family=self.name,
                    does=sentence(function),
                    backend=made(variant_id, {part: function, **others}, base or BASE),
                    dtypes=dtypes,
                    clauses=clauses,
                )
            )
            return function

        return register


def moved(params: Any, moments: Any, norms: Any, state: State, hp: Hyperparameters) -> Any:
    """Return the parameters stepped by these moments and norms instead of those of the state."""
    stepped = dict(params)
    with np.errstate(all="ignore"):
        for k, moment in moments.items():
            size = hp.lr / rule.bias_correction(hp.betas[0], state.step[k])
            stepped[k] = (params[k] - size * (moment / norms[k])).astype(params[k].dtype)
    return stepped


def each_alone(
    params: Any,
    grads: Any,
    state: State,
    hp: Hyperparameters | Callable[[str], Hyperparameters],
    rule_of: Callable[[str], Rule] = lambda _name: CANONICAL,
) -> Any:
    """Take the reference's step of each parameter, with its own hyperparameters and rule."""
    stepped, new = dict(params), state
    for k in params:
        result, after = adamax_core.step(
            {k: params[k]},
            {k: grads.get(k)},
            State(*({k: part[k]} for part in state)),
            hp(k) if callable(hp) else hp,
            rule=rule_of(k),
        )
        stepped |= result
        new = State(*(old | part for old, part in zip(new, after, strict=True)))
    return stepped, new


def sentence(function: Callable[..., Any]) -> str:
    """Return the docstring of a function on one line."""
    return " ".join((inspect.getdoc(function) or "").split())


def made(
    name: str, parts: Mapping[str, Callable[..., Any]], base: FunctionalBackend
) -> FunctionalBackend:
    """Return the base with some parts replaced: lines of the rule, or whole operations."""
    lines = {part: made for part, made in parts.items() if part in Rule._fields}
    operations: dict[str, Any] = {part: made for part, made in parts.items() if part not in lines}
    if lines:
        operations["step"] = reference(CANONICAL._replace(**lines)).step
    return replace(base, name=name, **operations)
