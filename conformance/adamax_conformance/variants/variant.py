"""What a variant is, and how one is made of the reference: a line replaced, or a step wrapped.

The variants themselves are in the other modules of this package, one family a module; judging them
is `adamax_conformance.variants.score`'s business.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import adamax_core
from adamax_conformance.dialects import Dialect
from adamax_conformance.dialects.axes import CORRECTION, DECAY, EPS, SIGN
from adamax_conformance.spec.clauses import CLAUSES
from adamax_conformance.spec.formats import FLOATS, WITH_COMPLEX
from adamax_conformance.subject.backend import FunctionalBackend
from adamax_conformance.subjects.reference import backend as reference
from adamax_core import CANONICAL, Hyperparameters, Rule, State, rule

BASE = reference()
"""The reference, which a variant differs from in one thing."""

WIDE = ("float32", "float64")
HALF = ("float16", "bfloat16")

RULE = tuple(clause.id for clause in CLAUSES if clause.id[0] in "ASNH")
"""What a way of stepping can be wrong in: all but derivatives."""

Proofs = Mapping[tuple[str, ...], str]
"""Why nothing can tell a variant in some dtypes."""

DERIVATIVES = ("N-7", *(clause.id for clause in CLAUSES if clause.id[0] == "D"))
"""What a way of differentiating can be wrong in."""

LINES = tuple(clause for clause in RULE if clause[0] == "A")
"""The lines of the rule. Whatever else is wrong with a variant, it must not be taken for them."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A backend that is the reference but for one thing.

    Attributes:
        id: permanent, in kebab case.
        family: the family that it belongs to.
        does: what it does, in a sentence.
        backend: the backend itself, of that name.
    """

    id: str
    family: str
    does: str
    backend: FunctionalBackend


@dataclass(frozen=True, kw_only=True)
class Wrong(Variant):
    """A backend that is wrong on purpose.

    Attributes:
        clause: the clause that must catch it, and be the one to look at first.
        dtypes: where it can be told from the rule.
        proofs: for every other dtype of the family, why nothing can tell it there. The suite runs
            there as well, and has to find nothing.
    """

    clause: str
    dtypes: tuple[str, ...] = FLOATS
    proofs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Right(Variant):
    """The rule in other words, which nothing may reject.

    Attributes:
        dtypes: where it is right.
        clauses: what it is judged by.
    """

    dtypes: tuple[str, ...] = WITH_COMPLEX
    clauses: tuple[str, ...] = RULE


_AXES = {"eps": EPS, "correction": CORRECTION, "sign": SIGN, "decay": DECAY}


class Family:
    """Variants that get the same thing wrong, and right ones that state it in other words.

    Attributes:
        name: in kebab case.
        title: the name for people.
        scope: the dtypes that play a part; each wrong one is told or proved equal in each.
        wrong: the wrong ones, in order.
        right: the right ones, in order.
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
        **others: Any,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A decorator: the function is the part that is wrong, its docstring what it does.

        Args:
            variant_id: permanent, in kebab case.
            clause: the clause that must catch it.
            part: a line of `adamax_core.Rule` or an operation of `FunctionalBackend`.
            proofs: dtypes in which it cannot be told, and why.
            base: what has the part, the reference if None.
            others: further parts, which the wrong one needs.
        """
        texts = {dtype: text for dtypes, text in (proofs or {}).items() for dtype in dtypes}

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
                )
            )
            return function

        return register

    def dialect(self, variant_id: str, clause: str, **alternative: str) -> None:
        """Add a wrong one that is a known dialect, told in every dtype of the family.

        Args:
            variant_id: permanent, in kebab case.
            clause: the clause that must catch it.
            alternative: the field of `Dialect` that is not the canonical one, with its value.
        """
        [(axis, name)] = alternative.items()
        found = _AXES[axis].alternatives[name]
        self.wrong.append(
            Wrong(
                id=variant_id,
                family=self.name,
                does=f"{found.phrase}: {found.formula}.",
                backend=replace(BASE, name=variant_id, step=reference(Dialect(**alternative)).step),
                clause=clause,
                dtypes=self.scope,
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
        """A decorator: the function is the part in other words, its docstring says in which."""

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
    """The parameters stepped by other moments or norms than those of the state after the step."""
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
    """The reference's step, each parameter by itself, with hyperparameters and rule of its own."""
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
    """The docstring of a function, on one line."""
    return " ".join((inspect.getdoc(function) or "").split())


def made(
    name: str, parts: Mapping[str, Callable[..., Any]], base: FunctionalBackend
) -> FunctionalBackend:
    """The base with these parts: lines of its rule, which make its step, or whole operations."""
    lines = {part: made for part, made in parts.items() if part in Rule._fields}
    operations: dict[str, Any] = {part: made for part, made in parts.items() if part not in lines}
    if lines:
        operations["step"] = reference(CANONICAL._replace(**lines)).step
    return replace(base, name=name, **operations)
