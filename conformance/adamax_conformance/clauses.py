"""The clauses of docs/spec.md: their numbers, and whether a conformant backend needs them.

The words are in the document; a test keeps the two and the cases together.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Clause:
    """A numbered decision.

    Attributes:
        id: ``A-5``.
        title: the decision in a few words, as in the heading of the document.
        required: whether it binds every backend; the others bind those that offer the feature.
    """

    id: str
    title: str
    required: bool = True


CLAUSES: tuple[Clause, ...] = (
    Clause("A-1", "sign", required=False),
    Clause("A-2", "coupled weight decay"),
    Clause("A-3", "count"),
    Clause("A-4", "first moment"),
    Clause("A-5", "infinity norm"),
    Clause("A-6", "bias correction"),
    Clause("A-7", "step"),
    Clause("A-8", "decoupled weight decay", required=False),
    Clause("A-9", "complex parameters", required=False),
    Clause("A-10", "exemption from decay", required=False),
    Clause("S-1", "initial state"),
    Clause("S-2", "missing gradient"),
    Clause("S-3", "count per parameter"),
    Clause("S-4", "inputs unchanged"),
    Clause("S-5", "dtypes stay"),
    Clause("S-6", "state dtype", required=False),
    Clause("S-7", "long runs", required=False),
    Clause("S-8", "foreign state", required=False),
    Clause("S-9", "shapes"),
    Clause("S-10", "gradients that do not fit"),
    Clause("S-11", "placement", required=False),
    Clause("N-1", "zero first gradient"),
    Clause("N-2", "rounding in storage"),
    Clause("N-3", "precision of bias correction"),
    Clause("N-4", "infinite gradient"),
    Clause("N-5", "NaN gradient"),
    Clause("N-6", "eps of zero"),
    Clause("N-7", "range of gradients"),
    Clause("N-8", "no overflow on the way"),
    Clause("H-1", "domain of lr"),
    Clause("H-2", "domain of eps"),
    Clause("H-3", "domain of the betas"),
    Clause("H-4", "domain of weight decay", required=False),
    Clause("H-5", "ends of the domains"),
    Clause("H-6", "values in force"),
    Clause("D-1", "through several steps", required=False),
    Clause("D-2", "by gradients and state", required=False),
    Clause("D-3", "by hyperparameters", required=False),
    Clause("D-4", "at kinks", required=False),
)
