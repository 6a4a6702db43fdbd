"""The dialects of Adamax: the axes on which they differ, and the alternatives on each axis.

An alternative is the canonical rule with a line replaced, or with changed hyperparameters. It is
written like the rule: the same source runs on floats, on decimals, and on numbers that carry their
rounding error. `adamax_conformance.dialects.diagnose` finds the dialect of a backend, and
`adamax_conformance.dialects.cost` the effect of a dialect on the size of steps.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from adamax_conformance.dialects.generic import at_least, modulus, square_root, started
from adamax_conformance.spec.alteration import Change
from adamax_conformance.subject.backend import unvalidated
from adamax_core import Hyperparameters, Rule
from adamax_core.rule import maximum


def _same(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule, hp


class Alternative(NamedTuple):
    """One alternative on an axis.

    Attributes:
        name: short name, unique on its axis.
        phrase: the name in a sentence about a backend.
        formula: the formula that it computes.
        who: implementations that are known to compute it; empty if none is known.
        change: function that changes the rule to compute it; the identity for no change.
    """

    name: str
    phrase: str
    formula: str
    who: str
    change: Change = _same


@dataclass(frozen=True)
class Axis:
    """A choice on which implementations differ.

    Attributes:
        name: its name in reports.
        clause: the clause of docs/spec.md that decides it.
        specified: name of the alternative that the clause specifies.
        alternatives: alternatives by name.
    """

    name: str
    clause: str
    specified: str
    alternatives: dict[str, Alternative] = field(default_factory=dict)

    def add(self, name: str, phrase: str, formula: str, who: str = "") -> None:
        """Add an alternative that does not change the rule."""
        self.alternatives[name] = Alternative(name, phrase, formula, who)

    def alternative(
        self, name: str, phrase: str, formula: str, who: str = ""
    ) -> Callable[[Change], Change]:
        """Decorate the change of an alternative, and add the alternative."""

        def register(change: Change) -> Change:
            self.alternatives[name] = Alternative(name, phrase, formula, who, change)
            return change

        return register


EPS = Axis("eps", "A-5", "inside")
CORRECTION = Axis("bias correction", "A-6", "yes")
START = Axis("initial state", "S-1", "zero")
SIGN = Axis("maximize", "A-1", "honoured")
DECAY = Axis("weight decay", "A-2", "coupled")
DECOUPLED = Axis("decoupled weight decay", "A-8", "decoupled", DECAY.alternatives)
SCOPE = Axis("step scope", "S-3", "parameter")
MISSING = Axis("missing gradient", "S-2", "untouched")
COMPLEX = Axis("complex", "A-9", "pairs")
NAN = Axis("NaN gradient", "N-5", "sticks")

AXES = (EPS, CORRECTION, START, SIGN, DECAY, DECOUPLED, SCOPE, MISSING, COMPLEX, NAN)
"""All of them, in the order of reports."""


EPS.add(
    "inside",
    "eps inside the maximum",
    "u = max(b2 u, |g| + eps), divides by u",
    "torch.optim, optax, TorchOpt, pytorch_optimizer, mindspore.experimental",
)


@EPS.alternative(
    "outside",
    "eps outside the maximum",
    "u = max(b2 u, |g|), divides by u + eps",
    "Keras, tf_keras, tf.raw_ops, tfjs, ensmallen, MindSpore (nn.AdaMax), nnabla, npdl, pymc, "
    "jax.example_libraries, MLX",
)
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule._replace(
        infinity_norm=lambda u, g, b2, _eps: maximum(b2 * u, abs(g)),
        displacement=lambda m, u, lr, c: rule.displacement(m, u + hp.eps, lr, c),
    ), hp


@EPS.alternative(
    "in the decay", "eps in the decay", "u = max(b2 u + eps, |g|), divides by u", "Paddle"
)
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule._replace(infinity_norm=lambda u, g, b2, eps: maximum(b2 * u + eps, abs(g))), hp


@EPS.alternative("floor", "eps as a floor", "u = max(b2 u, |g|, eps), divides by u")
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule._replace(
        infinity_norm=lambda u, g, b2, eps: at_least(maximum(b2 * u, abs(g)), eps)
    ), hp


@EPS.alternative(
    "on the maximum", "eps added to the maximum", "u = max(b2 u, |g|) + eps, divides by u"
)
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule._replace(infinity_norm=lambda u, g, b2, eps: maximum(b2 * u, abs(g)) + eps), hp


@EPS.alternative(
    "twice",
    "eps both inside and outside the maximum",
    "u = max(b2 u, |g| + eps), divides by u + eps",
)
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule._replace(
        displacement=lambda m, u, lr, c: rule.displacement(m, u + hp.eps, lr, c)
    ), hp


@EPS.alternative("none", "no eps", "u = max(b2 u, |g|), divides by u", "MXNet, the paper")
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule._replace(infinity_norm=lambda u, g, b2, _eps: maximum(b2 * u, abs(g))), hp


CORRECTION.add("yes", "bias correction", "lr / (1 - b1^t)", "all but two")


@CORRECTION.alternative(
    "none", "no bias correction", "lr", "MLX, pytorch_optimizer with adam_debias=True"
)
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule._replace(bias_correction=lambda _b1, _step: 1), hp


@CORRECTION.alternative(
    "extra square root",
    "an extra square root in the bias correction",
    "lr sqrt(1 - b2^t) / (1 - b1^t), as in Adam",
)
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule._replace(
        bias_correction=lambda b1, step: (
            rule.bias_correction(b1, step)
            / square_root(rule.bias_correction(hp.betas[1], step))
        )
    ), hp  # fmt: skip


@CORRECTION.alternative(
    "square root", "the square root of the bias correction", "lr / sqrt(1 - b1^t)"
)
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule._replace(
        bias_correction=lambda b1, step: square_root(rule.bias_correction(b1, step))
    ), hp


@CORRECTION.alternative(
    "one early",
    "a bias correction that is one step behind",
    "lr / (1 - b1^(t-1)) from the second step on",
)
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule._replace(
        bias_correction=lambda b1, step: rule.bias_correction(b1, max(step - 1, 1))
    ), hp


@CORRECTION.alternative(
    "one late", "a bias correction that is one step ahead", "lr / (1 - b1^(t+1))"
)
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule._replace(bias_correction=lambda b1, step: rule.bias_correction(b1, step + 1)), hp


@DECAY.alternative("coupled", "coupled weight decay", "g + wd p, after the sign", "torch.optim")
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule, unvalidated(hp, decoupled_weight_decay=False)


@DECAY.alternative(
    "coupled before the sign", "weight decay before the sign", "-(g + wd p) when maximizing"
)
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    turned = -hp.weight_decay if hp.maximize else hp.weight_decay
    return rule._replace(
        coupled_decay=lambda g, p, _wd: rule.coupled_decay(g, p, turned)
    ), unvalidated(hp, decoupled_weight_decay=False)


@DECAY.alternative("none", "weight decay ignored", "g")
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule, unvalidated(hp, weight_decay=hp.weight_decay * 0)


@DECAY.alternative(
    "decoupled", "decoupled weight decay", "p - lr wd p_old - step", "optax.adamaxw, Keras"
)
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule, unvalidated(hp, decoupled_weight_decay=True)


@DECAY.alternative(
    "decoupled without lr",
    "decoupled weight decay that lr does not multiply",
    "p - wd p_old - step",
)
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule._replace(decoupled_decay=lambda p, _lr, wd: wd * p), unvalidated(
        hp, decoupled_weight_decay=True
    )


@DECAY.alternative(
    "decoupled after the step",
    "decoupled weight decay of the new parameter",
    "(p - step) (1 - lr wd), that is p - lr wd p_old - (1 - lr wd) step",
)
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    kept = 1 - hp.lr * hp.weight_decay
    return rule._replace(
        displacement=lambda m, u, lr, c: kept * rule.displacement(m, u, lr, c)
    ), unvalidated(hp, decoupled_weight_decay=True)


COMPLEX.add(
    "pairs",
    "complex numbers as pairs of reals",
    "|re g| and |im g|, each with its own u",
    "torch.optim",
)


@COMPLEX.alternative(
    "modulus",
    "the modulus of complex gradients",
    "|g| = sqrt((re g)^2 + (im g)^2), one u for both parts",
    "optax",
)
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule._replace(
        infinity_norm=lambda u, g, b2, eps: rule.infinity_norm(u, modulus(g), b2, eps)
    ), hp


START.add("zero", "a state of zeros", "m = 0, u = 0")

INITIAL_NORMS: dict[str, Callable[[Hyperparameters], Any]] = {
    "norm of eps": lambda hp: hp.eps,
    "norm of one": lambda _hp: 1,
}
"""The norm before the first step, where it is not zero, by the name of the alternative."""


def _starting(rule: Rule, norm: Any) -> Rule:
    return rule._replace(
        infinity_norm=lambda u, g, b2, eps: rule.infinity_norm(
            u if started(u) else u * 0 + norm, g, b2, eps
        )
    )


@START.alternative("norm of eps", "a norm that starts at eps", "m = 0, u = eps")
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return _starting(rule, INITIAL_NORMS["norm of eps"](hp)), hp


@START.alternative("norm of one", "a norm that starts at one", "m = 0, u = 1")
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return _starting(rule, INITIAL_NORMS["norm of one"](hp)), hp


@START.alternative(
    "first gradient", "a first moment that starts at the first gradient", "m = g, u = 0"
)
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule._replace(
        first_moment=lambda m, g, b1: rule.first_moment(m, g, b1) if started(m) else m + g
    ), hp


SIGN.add("honoured", "maximize honoured", "-g when maximizing", "torch.optim")


@SIGN.alternative("ignored", "maximize ignored", "g, whatever is asked", "OneFlow")
def _(rule: Rule, hp: Hyperparameters) -> tuple[Rule, Hyperparameters]:
    return rule, unvalidated(hp, maximize=False)


SCOPE.add("parameter", "a count for each parameter", "t counts its own steps", "torch.optim")
SCOPE.add("group", "one count for each group", "t counts the steps of its group")
SCOPE.add(
    "global",
    "one count for all parameters",
    "t counts all steps",
    "optax, Keras, tf_keras, MLX, tfjs, pytorch_optimizer, jax.example_libraries",
)

MISSING.add("untouched", "untouched without a gradient", "p, m and u stay", "torch.optim")
MISSING.add("as zero", "missing gradients taken for zero", "a step with g = 0")
MISSING.add("raises", "missing gradients not taken", "an error", "optax")

NAN.add("sticks", "NaN that sticks", "m, u and p are NaN from then on", "torch.optim, optax")
NAN.add(
    "dropped", "NaN dropped by the norm", "the maximum takes the number", "tf.raw_ops, MindSpore"
)
NAN.add("washes out", "NaN that washes out of the norm", "u is NaN for a step", "Paddle")
NAN.add("skipped", "NaN gradients skipped", "no step is taken")
NAN.add("raises", "NaN gradients not taken", "an error")
