"""A dialect: one alternative on each axis of the rule, callable like the rule."""

from dataclasses import dataclass

from adamax_conformance.dialects.axes import COMPLEX, CORRECTION, DECAY, EPS, SIGN, START
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


@dataclass(frozen=True)
class Dialect:
    """One alternative on each axis of the rule; call it like `adamax_core.Rule`.

    Attributes:
        eps: alternative of `EPS`.
        correction: alternative of `CORRECTION`.
        start: alternative of `START`; it applies in the first step, not before.
        sign: alternative of `SIGN`.
        decay: alternative of `DECAY`; None to follow the hyperparameters.
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
    decay: str | None = None
    complex: str = COMPLEX.specified

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
        rule, hp = base, hyperparameters
        for axis, name in (
            (EPS, self.eps),
            (COMPLEX, self.complex),
            (CORRECTION, self.correction),
            (SIGN, self.sign),
            *([(DECAY, self.decay)] if self.decay else []),
            *([(START, self.start)] if step == 0 else []),
        ):
            rule, hp = axis.alternatives[name].change(rule, hp)
        return rule(param, grad, exp_avg, exp_inf, step, hp)

    @property
    def known_as(self) -> tuple[str, ...]:
        """Implementations with the same eps and bias correction."""
        return KNOWN_AS.get((self.eps, self.correction), ())
