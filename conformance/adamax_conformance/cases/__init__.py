"""All cases, a file for each group of clauses, in the order of docs/spec.md."""

from adamax_conformance.cases import (
    arithmetic,
    arrays,
    derivatives,
    hyperparameters,
    special,
    state,
)
from adamax_conformance.cases.case import Case

CASES: tuple[Case, ...] = (
    *arithmetic.CASES.all,
    *state.CASES.all,
    *arrays.CASES.all,
    *special.CASES.all,
    *hyperparameters.CASES.all,
    *derivatives.CASES.all,
)
