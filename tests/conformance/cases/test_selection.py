"""Which cases run."""

from collections import Counter

import pytest

from adamax_conformance.cases import CASES
from adamax_conformance.cases.selection import selected
from adamax_conformance.check import check
from adamax_conformance.spec.formats import DTYPES

DOMAINS = ["H-1", "H-2", "H-3", "H-4"]


def test_every_case_runs_in_each_of_its_dtypes() -> None:
    runs = Counter(case.id for case, _ in selected())
    assert runs == {case.id: len(case.dtypes) for case in CASES}


@pytest.mark.parametrize("dtype", DTYPES)
def test_domains_are_judged_once_in_whatever_dtype_is_wanted(dtype: str) -> None:
    """A kernel that is judged in one dtype only is not let off the validation."""
    here = [case.id for case, _ in selected(DOMAINS, [dtype])]
    assert here == [case.id for case, _ in selected(DOMAINS)]
    one = f"H-1/infinite[{dtype}]"
    assert [result.id for result in check("numpy", cases=[one]).results] == [one]
