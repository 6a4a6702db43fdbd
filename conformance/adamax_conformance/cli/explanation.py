"""The content of an explanation: a case's bound line by line, and the wrong variants it catches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gmpy2 import mpq

from adamax_conformance.bounds.carried import Carried
from adamax_conformance.bounds.oracle import admitted, pairs, with_numbers
from adamax_conformance.cases import CASES
from adamax_conformance.cases.case import Case, Data
from adamax_conformance.check import Subject
from adamax_conformance.judging.finding import element
from adamax_conformance.judging.run import initial
from adamax_conformance.reports.result import Status
from adamax_conformance.spec.clauses import CLAUSES, Clause
from adamax_conformance.spec.formats import coarser, format_of
from adamax_conformance.subject.backend import Moments
from adamax_conformance.variants import CONTROLS, RIGHT, WRONG, Variant, Wrong
from adamax_core import Hyperparameters

LINES = {
    "coupled_decay": "g + weight_decay p",
    "first_moment": "m' = beta1 m + (1 - beta1) g",
    "infinity_norm": "u' = max(beta2 u, |g| + eps)",
    "bias_correction": "c = 1 - beta1^t",
    "displacement": "lr / c * m' / u'",
    "decoupled_decay": "lr weight_decay p",
}
"""The lines of the rule that round, by field name of `adamax_core.Rule`."""


@dataclass(frozen=True)
class Line:
    """The result of one line of the rule for one element.

    Attributes:
        text: the line.
        value: its exact value.
        error: bound on a backend's error after the line.
        unit: unit roundoff of the format in which it rounds.
    """

    text: str
    value: mpq
    error: mpq
    unit: mpq

    @property
    def roundings(self) -> mpq | None:
        """The error in units of one rounding of the value; None for a value of zero."""
        return self.error / (self.unit * abs(self.value)) if self.value else None


@dataclass(frozen=True)
class Example:
    """The derivation of the bound for one element, in the first step of a case's run.

    Attributes:
        where: ``w[0, 1]``.
        lines: the lines of the rule, in order, as the judge runs them.
    """

    where: str
    lines: tuple[Line, ...]


def find(name: str) -> Clause | Variant | tuple[Case, str]:
    """Return the clause or the variant of this name, or the case and the dtype; in any case.

    Raises:
        LookupError: the name is unknown; says which commands list the names.

    >>> find("a-5").title
    'infinity norm'
    >>> find("A-5/decays")[1]
    'float32'
    >>> find("nesterov").clause
    'A-7'
    """
    asked = name.lower()
    for clause in CLAUSES:
        if clause.id.lower() == asked:
            return clause
    for variant in (*WRONG, *RIGHT, *CONTROLS):
        if variant.id == asked:
            return variant
    for case in CASES:
        if case.id.lower() == asked:
            return case, "float32" if "float32" in case.dtypes else next(iter(case.dtypes))
        for dtype in case.dtypes:
            if f"{case.id}[{dtype}]".lower() == asked:
                return case, dtype
    raise LookupError(
        f"no clause, case or variant {name!r}: see `adamax-conformance list clauses`, `list cases` "
        "and what a report names"
    )


def example(case: Case, dtype: str) -> Example | None:
    """Return the derivation for the first finite element of the case's run; None without a run."""
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
        return Example(element(name, index), lines(param, grad_, moments, run.at(0)))
    return None


def lines(param: Any, grad: Any, before: Moments, hp: Hyperparameters) -> tuple[Line, ...]:
    """Return each line of a step of one element, with the error that the judge allows.

    Args:
        param: the parameter, a 0-d array of a real dtype.
        grad: its gradient.
        before: its moments, of the same shape.
        hp: hyperparameters of the step.

    >>> g, z = np.float32(0.5), np.float32(0)
    >>> for line in lines(z, g, Moments(0, z, z), Hyperparameters(eps=0.25)):
    ...     print(f"{line.text} = {float(line.value):.4g}")
    m' = beta1 m + (1 - beta1) g = 0.05
    u' = max(beta2 u, |g| + eps) = 0.75
    c = 1 - beta1^t = 0.1
    lr / c * m' / u' = 0.001333
    p' = -0.001333
    """
    found: list[Line] = []

    def record(text: str, number: Carried) -> None:
        value, error = number.value.item(), number.error.item()
        found.append(Line(text, value, error, number.format.unit))

    def recording(name: str) -> Callable[..., Carried]:
        line = getattr(rule, name)

        def call(*args: Any) -> Carried:
            result: Carried = line(*args)
            if result is not args[0]:  # a decay of zero returns the gradient itself
                record(LINES[name], result)
            return result

        return call

    moments = [np.asarray(each).reshape(1) for each in before[1:]]
    state_format = coarser(format_of(each.dtype) for each in moments)
    rule = admitted(state_format, accurate_correction=False)
    p, g, m, u = (
        Carried.of(np.asarray(each).reshape(1), state_format) for each in (param, grad, *moments)
    )
    exact = with_numbers(hp, mpq)
    recorded: Any = {name: recording(name) for name in LINES}
    update = rule._replace(**recorded)(p, g, m, u, before.step, exact).update
    param_format = format_of(np.asarray(param).dtype)
    record("p'", Carried.of(p.value, param_format) + update.stored(param_format))
    return tuple(found)


def aimed_at(clause: str) -> tuple[Wrong, ...]:
    """Return the wrong variants that this clause must catch."""
    return tuple(variant for variant in WRONG if variant.clause == clause)


def caught(case: Case, dtype: str) -> tuple[Wrong, ...]:
    """Run all wrong variants; return those that this case rejects in this dtype."""
    bad = (Status.FAIL, Status.REFUSED, Status.ERROR)
    return tuple(v for v in WRONG if Subject(v.backend).judge(case, dtype).status in bad)
