"""How the judge is judged: by what is wrong on purpose, and by what is right in other words.

One module a family. `WRONG` must all be caught, each by its clause; `RIGHT` must all be accepted;
were one of `CONTROLS` to live, nothing that the suite says would mean anything. The judging is in
`adamax_conformance.variants.score`.
"""

from adamax_conformance.variants import (
    bias_correction,
    complex_numbers,
    decay,
    derivatives,
    domains,
    eps,
    first_moment,
    groups,
    in_force,
    infinity_norm,
    lengths,
    precision,
    special,
    squaring,
    state,
    step_count,
    tails,
)
from adamax_conformance.variants.controls import CONTROLS as _CONTROLS
from adamax_conformance.variants.controls import Control
from adamax_conformance.variants.variant import Family, Right, Variant, Wrong

FAMILIES: tuple[Family, ...] = tuple(
    module.FAMILY
    for module in (
        decay, first_moment, infinity_norm, eps, bias_correction, step_count, state, tails,
        lengths, precision, squaring, special, complex_numbers, groups, domains, in_force,
        derivatives,
    )
)  # fmt: skip
WRONG: tuple[Wrong, ...] = tuple(wrong for family in FAMILIES for wrong in family.wrong)
RIGHT: tuple[Right, ...] = tuple(right for family in FAMILIES for right in family.right)
CONTROLS: tuple[Control, ...] = tuple(_CONTROLS)

__all__ = [
    "CONTROLS",
    "FAMILIES",
    "RIGHT",
    "WRONG",
    "Control",
    "Family",
    "Right",
    "Variant",
    "Wrong",
]
