"""All cases, a file for each group of clauses, in the order of docs/spec.md."""

from adamax_conformance.cases import (
    arithmetic,
    arrays,
    derivatives,
    hyperparameters,
    loaded,
    mixed_precision,
    sizes,
    special,
    state,
)
from adamax_conformance.cases.case import Case

CASES: tuple[Case, ...] = (
    *arithmetic.CASES.all,
    *state.CASES.all,
    *loaded.CASES.all,
    *arrays.CASES.all,
    *sizes.CASES.all,
    *mixed_precision.CASES.all,
    *special.CASES.all,
    *hyperparameters.CASES.all,
    *derivatives.CASES.all,
)
