"""A dialect: one alternative on each axis that the rule has, to run as the rule is run."""

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
"""Who computes an eps with a bias correction."""


@dataclass(frozen=True)
class Dialect:
    """One alternative on each axis that the rule has; called as `adamax_core.Rule` is.

    Attributes:
        eps: of `EPS`.
        correction: of `CORRECTION`.
        start: of `START`; what it sets is set in the first step, whatever the state shows before.
        sign: of `SIGN`.
        decay: of `DECAY`; None for what the hyperparameters ask for.
        complex: of `COMPLEX`; the modulus is that of pairs on the last axis.

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
        """One step; `base` is the canonical rule in the numbers that it is run on."""
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
        """Implementations with this eps and this bias correction."""
        return KNOWN_AS.get((self.eps, self.correction), ())
