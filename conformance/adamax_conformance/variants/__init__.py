"""Variants that test the judge: implementations wrong on purpose, and right reformulations.

One module for each family. The judge must catch all of `WRONG`, each by its clause, and accept all
of `RIGHT`. If one of `CONTROLS` survives, the whole score is void.
`adamax_conformance.score` does the judging.
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
    layouts,
    lengths,
    mixed_precision,
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
        lengths, layouts, mixed_precision, precision, squaring, special, complex_numbers, groups,
        domains, in_force, derivatives,
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
