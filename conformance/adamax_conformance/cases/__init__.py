"""Every case, a file for each group of clauses, in the order of docs/spec.md."""

from adamax_conformance.case import Case
from adamax_conformance.cases import (
    arithmetic,
    arrays,
    derivatives,
    hyperparameters,
    special,
    state,
)

CASES: tuple[Case, ...] = (
    *arithmetic.CASES.all,
    *state.CASES.all,
    *arrays.CASES.all,
    *special.CASES.all,
    *hyperparameters.CASES.all,
    *derivatives.CASES.all,
)
