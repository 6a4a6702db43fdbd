"""The facts of a failed result that help to find the fault.

They are clause, case, step, element, quantity, got, allowed, distance, diagnosis, the smallest
example and the command that reproduces it. Each report formats them in its own way.
"""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol, TypeVar

import numpy as np

from adamax_conformance.cases import CASES
from adamax_conformance.cases.case import Case
from adamax_conformance.judging.finding import Divergence, in_bounds
from adamax_conformance.judging.run import Trial
from adamax_conformance.reports.result import BAD, Result
from adamax_conformance.spec.alteration import CANONICAL_NAME
from adamax_conformance.spec.clauses import CLAUSES
from adamax_conformance.subject.printable import printable
from adamax_core import Hyperparameters

T = TypeVar("T")

_FEW = 8
"""Largest number of elements to print; of a larger array, print the shape."""

_ALIKE = 3
"""Most equal parameters in a row to name."""


class Judgement(Protocol):
    """The parts of a `Report` that are about all its results."""

    @property
    def named(self) -> str: ...  # noqa: D102 - as in `Report`
    @property
    def started(self) -> str: ...  # noqa: D102 - as in `Report`
    @property
    def options(self) -> tuple[str, ...]: ...  # noqa: D102 - as in `Report`
    @property
    def seed(self) -> int: ...  # noqa: D102 - as in `Report`
    @property
    def diagnosis(self) -> str: ...  # noqa: D102 - as in `Report`
    @property
    def dialect(self) -> str: ...  # noqa: D102 - as in `Report`


@dataclass(frozen=True)
class Fact:
    """A fact about a failure.

    Attributes:
        name: its name, such as ``allowed``.
        lines: its text, one or more lines.
    """

    name: str
    lines: tuple[str, ...]


def describe(report: Judgement, result: Result) -> tuple[Fact, ...]:
    """Return all facts about a result, in order of interest, `printable`.

    Facts that do not apply are left out: a missing refusal has no step.

    >>> from adamax_conformance import check
    >>> from adamax_core import CANONICAL
    >>> from adamax_conformance.subjects.reference import backend
    >>> idle = backend(CANONICAL._replace(first_moment=lambda m, g, b1: m), "idle")
    >>> report = check(idle, cases=["A-4/defaults[float32]"])
    >>> [fact.name for fact in describe(report, report.results[0])][:5]
    ['clause', 'case', 'why', 'step', 'element']
    """
    return tuple(Fact(name, lines) for name, lines in _facts(report, result))


def most_informative(results: Iterable[Result]) -> list[Result]:
    """Return one result of each clause: the first with a smallest example, or the first.

    Args:
        results: the results of one backend, in the order of the specification.
    """
    chosen: dict[str, Result] = {}
    for result in results:
        known = chosen.setdefault(result.clause, result)
        if result.minimal and not known.minimal:
            chosen[result.clause] = result
    return list(chosen.values())


def in_full(
    report: Judgement, results: Iterable[Result]
) -> Iterator[tuple[Result, tuple[Fact, ...]]]:
    """Yield each result, with its facts if it is the most informative of its clause."""
    results = list(results)
    bad = (each for each in results if each.status in BAD)
    described = {each.id for each in most_informative(bad)}
    for result in results:
        yield result, describe(report, result) if result.id in described else ()


def written(facts: tuple[Fact, ...], indent: str = "  ") -> list[str]:
    """Format the facts as lines of text in two columns.

    >>> written((Fact("step", ("2",)), Fact("minimal example", ("a", "b"))))
    ['  step             2', '  minimal example  a', '                   b']
    """
    width = max((len(fact.name) for fact in facts), default=0)
    return [
        f"{indent}{'' if number else fact.name:<{width}}  {line}"
        for fact in facts
        for number, line in enumerate(fact.lines)
    ]


def command(report: Judgement, result: Result) -> str:
    """Return the command that reruns this case: for a shell, or for Python if it has no name there.

    >>> from adamax_conformance import Report, Result
    >>> result = Result("A-5/decays", "A-5", "float32", "pass")
    >>> command(Report("mine", (result,), (), named="py:my kernel:adamax"), result)
    "adamax-conformance check 'py:my kernel:adamax' --case 'A-5/decays[float32]' --seed 0"
    >>> command(Report("mine", (result,), ()), result)
    "adamax_conformance.check(backend, cases=['A-5/decays[float32]'], seed=0)"
    """
    canonical = report.dialect == CANONICAL_NAME
    if not report.named:
        own = "" if canonical else f", dialect={report.dialect!r}"
        return f"adamax_conformance.check(backend, cases=[{result.id!r}], seed={report.seed}{own})"
    arguments = ["check", report.named, "--case", result.id, "--seed", str(report.seed)]
    arguments += [] if canonical else ["--dialect", report.dialect]
    return printable(f"{report.started} {shlex.join([*arguments, *report.options])}")


def note_of(case_id: str) -> str:
    """Return why a case exists, from its docstring; empty for an unknown case."""
    case = _cases().get(case_id)
    return case.note if case else ""


def got(divergence: Divergence) -> str:
    """Return the value of the backend, with its bits if it is one number."""
    text = printable(" ".join(divergence.got.split()))
    return f"{text} ({divergence.bits})" if divergence.bits else text


def _facts(report: Judgement, result: Result) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "clause", (f"{result.clause} {_titles().get(result.clause, '')}".rstrip(),)
    yield "case", (f"{result.id}, {result.status}",)
    if note := note_of(result.case):
        yield "why", (printable(note),)
    if found := result.divergence:
        yield "step", (str(found.step),)
        yield "element", (printable(found.element),)
        yield "quantity", (found.quantity,)
        if found.extent:
            kept = ", as before the step" if found.left_out else ""
            yield "wrong", (printable(found.extent) + kept,)
        yield "got", (got(found),)
        yield "allowed", (printable(" ".join(found.allowed.split())),)
        if found.exact:
            yield "exactly", (found.exact,)
        yield "distance", (distance(found),)
        if result.expected:
            yield "known", (printable(result.expected),)
    elif result.message:
        yield "found", (printable(result.message),)
    if report.diagnosis:
        yield "diagnosis", (printable(report.diagnosis),)
    if result.minimal:
        yield "minimal example", (*_example(result.minimal), *_seen(result.shown))
    yield "reproduce", (command(report, result),)


def distance(divergence: Divergence) -> str:
    """Return the distance in words."""
    text = in_bounds(divergence.distance)
    return f"infinite: {text}" if np.isinf(divergence.distance) else text


def _example(trial: Trial) -> Iterator[str]:
    """Yield the numbers of a run: lines for its initial values, then for each step, folded."""
    run = trial.run
    hps = [run.at(index) for index in range(len(run.grads))]
    same = len(set(hps)) <= 1
    if hps and same:
        yield _hyperparameters(hps[0])
    yield f"params {_arrays(run.params)}"
    if run.saved is not None:
        for name, slot in run.saved.items():
            parts = _arrays({"exp_avg": slot.exp_avg, "exp_inf": slot.exp_inf})
            yield f"state of {printable(name)}: step = {slot.step}, {parts}"
    if run.state_dtype is not None:
        yield f"state in {run.state_dtype}"
    if run.undecayed:
        yield f"exempt from decay: {', '.join(map(printable, run.undecayed))}"
    steps = [
        f"grads {_arrays(grads) if grads else 'none'}{'' if same else f'; {_hyperparameters(hp)}'}"
        for hp, grads in zip(hps, run.grads, strict=True)
    ]
    yield from (f"{which}: {step}" for which, step in folded(steps))


def _seen(found: Divergence | None) -> Iterator[str]:
    """Yield the first wrong value of a run, and the expected one."""
    if found:
        allowed = printable(" ".join(found.allowed.split()))
        yield (
            f"step {found.step}: {found.quantity} of {printable(found.element)}: got "
            f"{printable(' '.join(found.got.split()))}, expected {found.exact or allowed}"
        )


def folded(steps: Iterable[T]) -> Iterator[tuple[str, T]]:
    """Yield each step with its number; of equal steps in a row, the first with all their numbers.

    >>> list(folded(["a", "a", "b"]))
    [('steps 1 to 2', 'a'), ('step 3', 'b')]
    """
    first = 1
    for step, equal in groupby(steps):
        last = first + len(list(equal)) - 1
        yield f"step {first}" if first == last else f"steps {first} to {last}", step
        first = last + 1


def _hyperparameters(hp: Hyperparameters) -> str:
    given = {"lr": hp.lr, "betas": hp.betas, "eps": hp.eps}
    given |= {"weight_decay": hp.weight_decay} if hp.weight_decay else {}
    flags = ("maximize", "decoupled_weight_decay")
    given |= {flag: True for flag in flags if getattr(hp, flag)}
    return ", ".join(f"{name}={value}" for name, value in given.items())


def _arrays(arrays: Any) -> str:
    """Format arrays by name; of many equal ones in a row, the first name and the last."""
    parts: list[str] = []
    shown = ((printable(name), _numbers(array)) for name, array in arrays.items())
    for numbers, equal in groupby(shown, key=itemgetter(1)):
        names = [name for name, _ in equal]
        if len(names) > _ALIKE:
            names = [f"each of {names[0]} to {names[-1]} ({len(names)})"]
        parts += [f"{name} = {numbers}" for name in names]
    return ", ".join(parts)


def _numbers(array: Any) -> str:
    """Format the elements, if few or all equal, in digits that round-trip, and the dtype."""
    array = np.asarray(array)
    if array.size > _FEW:
        alike = array.tobytes() == np.full(array.shape, array.flat[0]).tobytes()
        value = f"all {array.flat[0]!s} " if alike else ""
        return f"{value}{array.dtype.name} of shape {array.shape}"
    return f"{_nested(array)} {array.dtype.name}"


def _nested(array: Any) -> str:
    if array.ndim:
        return f"[{', '.join(map(_nested, array))}]"
    return str(array[()])


@cache
def _cases() -> dict[str, Case]:
    return {case.id: case for case in CASES}


@cache
def _titles() -> dict[str, str]:
    return {clause.id: clause.title for clause in CLAUSES}
