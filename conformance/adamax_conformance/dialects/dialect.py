"""A dialect: one alternative on each axis of the rule, callable like the rule."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from adamax_conformance.dialects.axes import (
    AXES,
    COMPLEX,
    CORRECTION,
    DECAY,
    DECOUPLED,
    EPS,
    INITIAL_NORMS,
    SIGN,
    START,
    Axis,
)
from adamax_conformance.spec.alteration import CANONICAL_NAME
from adamax_core import CANONICAL, Hyperparameters, Rule
from adamax_core.rule import Array, Step

KNOWN_AS = {
    ("inside", "yes"): ("torch.optim", "optax", "TorchOpt", "pytorch_optimizer"),
    ("outside", "yes"): (
        "Keras", "tf.raw_ops", "tfjs", "ensmallen", "MindSpore", "pymc", "jax.example_libraries",
    ),
    ("in the decay", "yes"): ("Paddle",),
    ("none", "yes"): ("MXNet", "the paper"),
    ("outside", "none"): ("MLX",),
}  # fmt: skip
"""Implementations by their eps and bias correction."""

FOUND_NAME = "found"
"""Stands for the dialect that `diagnose` finds, where a dialect to judge by is asked for."""

FIELDS: Mapping[str, Axis] = {
    "eps": EPS,
    "correction": CORRECTION,
    "start": START,
    "sign": SIGN,
    "decay": DECAY,
    "decoupled": DECOUPLED,
    "complex": COMPLEX,
}
"""The axis of each field of a `Dialect`; the other axes are not lines of the rule."""


@dataclass(frozen=True)
class Dialect:
    """One alternative on each axis of the rule; call it like `adamax_core.Rule`.

    Attributes:
        eps: alternative of `EPS`.
        correction: alternative of `CORRECTION`.
        start: alternative of `START`; it applies in the first step, not before.
        sign: alternative of `SIGN`.
        decay: alternative of `DECAY`, where decoupled decay is not asked for.
        decoupled: alternative of `DECOUPLED`, where it is.
        complex: alternative of `COMPLEX`; complex numbers are pairs on the last axis.

    >>> from adamax_core import step, init
    >>> import numpy as np
    >>> hp = Hyperparameters(lr=1.0, betas=(0.75, 0.5), eps=1.0)
    >>> p, g = np.zeros(1), np.ones(1)
    >>> for dialect in (Dialect(), Dialect(eps="none"), Dialect("outside", "none")):
    ...     print(step(p, g, init(p), hp, rule=dialect)[0])
    [-0.5]
    [-1.]
    [-0.125]
    """

    eps: str = EPS.specified
    correction: str = CORRECTION.specified
    start: str = START.specified
    sign: str = SIGN.specified
    decay: str = DECAY.specified
    decoupled: str = DECOUPLED.specified
    complex: str = COMPLEX.specified

    @classmethod
    def of(cls, text: str) -> "Dialect":
        """Return the dialect of a text such as ``eps=outside,bias-correction=none``.

        Hyphens stand for the spaces of names; ``canonical`` is the specification.

        Raises:
            ValueError: an unknown axis or alternative; the message lists the known ones.

        >>> Dialect.of("eps=outside,bias-correction=none") == Dialect("outside", "none")
        True
        >>> Dialect.of("eps=inner")
        Traceback (most recent call last):
        ValueError: eps has no alternative 'inner': choose from inside, outside, in-the-decay, \
floor, on-the-maximum, twice, none
        """
        chosen: dict[str, str] = {}
        fields = {_hyphened(axis.name): field for field, axis in FIELDS.items()}
        for part in [] if text == CANONICAL_NAME else text.split(","):
            axis, found, name = (each.strip() for each in part.partition("="))
            if not found or _hyphened(axis) not in fields:
                raise ValueError(_unknown(axis, fields))
            field = fields[_hyphened(axis)]
            names = {_hyphened(each): each for each in FIELDS[field].alternatives}
            if _hyphened(name) not in names:
                raise ValueError(
                    f"{axis} has no alternative {name!r}: choose from {', '.join(names)}"
                )
            chosen[field] = names[_hyphened(name)]
        return cls(**chosen)

    @classmethod
    def found(cls, found: Mapping[str, str]) -> "Dialect":
        """Return the dialect of what was found on each axis; what is not known is as specified."""
        known = {field: found.get(axis.name) for field, axis in FIELDS.items()}
        return cls(
            **{f: name for f, name in known.items() if name and name in FIELDS[f].alternatives}
        )

    def __str__(self) -> str:
        """Return the text that `of` reads."""
        parts = (
            f"{_hyphened(axis.name)}={_hyphened(getattr(self, field))}"
            for field, axis in self._changed
        )
        return ",".join(parts) or CANONICAL_NAME

    @property
    def phrase(self) -> str:
        """The dialect in words; empty if it is canonical.

        >>> Dialect("outside", "none").phrase
        'eps outside the maximum, no bias correction'
        """
        return ", ".join(
            axis.alternatives[getattr(self, field)].phrase for field, axis in self._changed
        )

    @property
    def _changed(self) -> list[tuple[str, Axis]]:
        """The fields that are not canonical, with their axes."""
        return [each for each in FIELDS.items() if getattr(self, each[0]) != each[1].specified]

    def apply(
        self, rule: Rule, hp: Hyperparameters, *, first: bool, paired: bool
    ) -> tuple[Rule, Hyperparameters]:
        """Return the rule and the hyperparameters of one step, changed (`Alteration`)."""
        for axis, name in (
            (EPS, self.eps),
            *([(COMPLEX, self.complex)] if paired else []),
            (CORRECTION, self.correction),
            (SIGN, self.sign),
            (DECOUPLED, self.decoupled) if hp.decoupled_weight_decay else (DECAY, self.decay),
            *([(START, self.start)] if first else []),
        ):
            rule, hp = axis.alternatives[name].change(rule, hp)
        return rule, hp

    def initial_norm(self, hp: Hyperparameters) -> Any:
        """Return the norm of every element before the first step."""
        return INITIAL_NORMS[self.start](hp) if self.start in INITIAL_NORMS else 0

    def norms(self, exp_inf: Any) -> Any:
        """Return the norm of both parts: a modulus may be shown without an imaginary part."""
        if self.complex == COMPLEX.specified or exp_inf.dtype.kind != "c":
            return exp_inf
        return np.where(exp_inf.imag == 0, exp_inf.real * exp_inf.dtype.type(1 + 1j), exp_inf)

    def __call__(
        self,
        param: Array,
        grad: Array,
        exp_avg: Array,
        exp_inf: Array,
        step: int,
        hyperparameters: Hyperparameters,
        base: Rule = CANONICAL,
    ) -> Step:
        """Take one step; `base` is the canonical rule for the type of numbers used."""
        rule, hp = self.apply(base, hyperparameters, first=step == 0, paired=True)
        return rule(param, grad, exp_avg, exp_inf, step, hp)

    @property
    def known_as(self) -> tuple[str, ...]:
        """Implementations with the same eps and bias correction."""
        return KNOWN_AS.get((self.eps, self.correction), ())


def _hyphened(name: str) -> str:
    return name.replace(" ", "-")


def _unknown(axis: str, known: Mapping[str, str]) -> str:
    other = next((each for each in AXES if _hyphened(each.name) == _hyphened(axis)), None)
    if other is not None and other not in FIELDS.values():
        return f"{axis} is not a line of the rule: {other.clause} judges it in every dialect"
    return (
        f"{axis!r} is no axis of the rule: write {CANONICAL_NAME}, or AXIS=NAME with an axis of "
        f"{', '.join(known)}"
    )
