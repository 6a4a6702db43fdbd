"""What a clause or a case is about: its words, its bound, the broken variants that it catches."""

from dataclasses import dataclass

import numpy as np

from adamax_conformance.bounds.derivation import Operation, derive
from adamax_conformance.bounds.oracle import pairs
from adamax_conformance.cases import CASES
from adamax_conformance.cases.case import Case, Data
from adamax_conformance.check import Subject
from adamax_conformance.judging.run import initial
from adamax_conformance.reports.result import Status
from adamax_conformance.spec.clauses import CLAUSES, Clause
from adamax_conformance.subject.backend import Moments
from adamax_conformance.variants import WRONG, Wrong


@dataclass(frozen=True)
class Example:
    """One element of a case's run in its first step, and how the bound on it comes about.

    Attributes:
        where: ``w[0, 1]``.
        operations: those of the rule, in order.
    """

    where: str
    operations: tuple[Operation, ...]


def find(name: str) -> Clause | tuple[Case, str]:
    """The clause of this name, or the case and the dtype.

    Raises:
        LookupError: there is none; says where they are listed.

    >>> find("A-5").title
    'infinity norm'
    >>> find("A-5/decays")[1]
    'float32'
    """
    for clause in CLAUSES:
        if clause.id == name:
            return clause
    for case in CASES:
        if case.id == name:
            return case, "float32" if "float32" in case.dtypes else next(iter(case.dtypes))
        for dtype in case.dtypes:
            if f"{case.id}[{dtype}]" == name:
                return case, dtype
    raise LookupError(
        f"no clause or case {name!r}: `adamax-conformance list clauses` and `list cases` have them"
    )


def example(case: Case, dtype: str) -> Example | None:
    """The first finite element of the run that a case is, if it is one."""
    if case.trial is None:
        return None
    with np.errstate(all="ignore"):
        run = case.trial(Data(dtype, 0, case.id)).run
    before = initial(run)
    for name, grad in run.grads[0].items():
        at = [pairs(each) for each in (run.params[name], grad, *before[name][1:])]
        usable = np.argwhere(np.isfinite(at[0]) & np.isfinite(at[1]))
        if name in run.undecayed or not len(usable):
            continue
        index = tuple(map(int, usable[0]))
        param, grad_, exp_avg, exp_inf = (each[index] for each in at)
        moments = Moments(before[name].step, exp_avg, exp_inf)
        position = f"[{', '.join(map(str, index))}]" if index else ""
        return Example(f"{name}{position}", derive(param, grad_, moments, run.at(0)))
    return None


def aimed_at(clause: str) -> tuple[Wrong, ...]:
    """The broken variants that this clause must catch."""
    return tuple(variant for variant in WRONG if variant.clause == clause)


def caught(case: Case, dtype: str) -> tuple[Wrong, ...]:
    """The broken variants that this case rejects in this dtype: each is run."""
    bad = (Status.FAIL, Status.ERROR)
    return tuple(v for v in WRONG if Subject(v.backend).judge(case, dtype).status in bad)
