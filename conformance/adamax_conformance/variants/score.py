"""`mutate`: the suite's own score, how many wrong variants it catches and how many right ones pass.

A wrong variant counts as killed when its own clause is the one that the report says to look at
first; in a dtype in which nothing can tell it from the rule, the suite has to find nothing. What
the variants are is in `adamax_conformance.variants`; printing is the command's business.
"""

import multiprocessing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from adamax_conformance.check import check
from adamax_conformance.reports.report import PLAIN_LINES, Report
from adamax_conformance.reports.result import BAD
from adamax_conformance.spec.formats import DTYPES, FLOATS
from adamax_conformance.variants import CONTROLS, FAMILIES, RIGHT, WRONG, Control, Right, Wrong
from adamax_conformance.variants.variant import LINES


class Kind(StrEnum):
    """What a variant is, in one dtype, and so what has to become of it."""

    WRONG = "wrong"
    EQUAL = "equal"
    RIGHT = "right"
    CONTROL = "control"


@dataclass(frozen=True)
class Job:
    """One variant to be judged in one dtype.

    Attributes:
        variant: which.
        kind: what it is there.
        dtype: of the parameters.
        clauses: what it is judged by.
    """

    variant: Wrong | Right | Control
    kind: Kind
    dtype: str
    clauses: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of one variant in one dtype.

    Attributes:
        id: of the variant.
        family: of the variant.
        kind: what it is in this dtype.
        dtype: of the parameters.
        good: whether it came out as it has to: killed by its clause, accepted, dead.
        failed: the clauses that do not hold.
        suspect: the clause that the report says to look at first.
        why: what is not good about it.
        proof: why nothing can tell it in this dtype, for an equal one.
    """

    id: str
    family: str
    kind: Kind
    dtype: str
    good: bool
    failed: tuple[str, ...] = ()
    suspect: str | None = None
    why: str = ""
    proof: str = ""


@dataclass(frozen=True)
class Score:
    """What became of every variant.

    Attributes:
        outcomes: one for each variant and dtype, in the order of the jobs.
    """

    outcomes: tuple[Outcome, ...]

    def ids(self, kind: Kind, *, good: bool | None = None) -> tuple[str, ...]:
        """The variants of a kind; only those that are good in every dtype, or only the others."""
        bad = {each.id for each in self.outcomes if each.kind is kind and not each.good}
        every = dict.fromkeys(each.id for each in self.outcomes if each.kind is kind)
        return tuple(id_ for id_ in every if good is None or (id_ not in bad) is good)

    @property
    def bad(self) -> tuple[Outcome, ...]:
        """What has to be looked at."""
        return tuple(each for each in self.outcomes if not each.good)

    @property
    def void(self) -> bool:
        """Whether a control lives, or none was judged: then nothing else means anything."""
        controls = self.ids(Kind.CONTROL)
        return not controls or len(self.ids(Kind.CONTROL, good=True)) < len(controls)

    @property
    def perfect(self) -> bool:
        """Whether everything came out as it has to."""
        return not self.void and not self.bad

    @property
    def sentence(self) -> str:
        """The totals.

        >>> Score((Outcome("idle", "controls", Kind.CONTROL, "float32", good=False),)).sentence
        'void: the control idle lives, so nothing here means anything'
        """
        if self.void:
            alive = ", ".join(self.ids(Kind.CONTROL, good=False))
            what = f"the control {alive} lives" if alive else "no control was judged"
            return f"void: {what}, so nothing here means anything"
        wrong, right, dead = (
            f"{len(self.ids(kind, good=True))} of {len(self.ids(kind))}"
            for kind in (Kind.WRONG, Kind.RIGHT, Kind.CONTROL)
        )
        told = sum(each.kind is Kind.WRONG for each in self.outcomes)
        sentence = (
            f"{wrong} wrong variants killed, each by its own clause in every dtype that can tell "
            f"it ({told} in all); {right} right ones accepted; {dead} controls died"
        )
        unproved = self.ids(Kind.EQUAL, good=False)
        return sentence + (f"; proofs that do not hold: {', '.join(unproved)}" if unproved else "")

    def as_dict(self) -> Mapping[str, Any]:
        """The score as JSON has it."""
        counts = {
            kind.value: {"variants": len(self.ids(kind)), "good": len(self.ids(kind, good=True))}
            for kind in Kind
        }
        return {
            "perfect": self.perfect,
            "void": self.void,
            "sentence": self.sentence,
            "counts": counts,
            "outcomes": [asdict(each) for each in self.outcomes],
        }


def plan(
    families: Collection[str] | None = None,
    dtypes: Collection[str] | None = None,
    *,
    wrong: Iterable[Wrong] = WRONG,
    right: Iterable[Right] = RIGHT,
    controls: Iterable[Control] = CONTROLS,
) -> list[Job]:
    """What there is to judge; the controls first, whatever else is asked for.

    Args:
        families: names of families, such as ``eps``; all by default.
        dtypes: of `DTYPES`; all by default.
        wrong: wrong variants, those of the package by default.
        right: right variants, those of the package by default.
        controls: what must die, those of the package by default.

    Raises:
        ValueError: an unknown family or dtype.

    >>> [job.variant.id for job in plan(["eps"], ["float32"])][:4]
    ['idle', 'frozen', 'random', 'eps-outside']
    """
    known = [family.name for family in FAMILIES]
    for what, given, domain in (("family", families, known), ("dtype", dtypes, DTYPES)):
        for unknown in (each for each in given or () if each not in domain):
            raise ValueError(f"unknown {what} {unknown!r}: there are {', '.join(domain)}")
    wanted = [dtype for dtype in DTYPES if dtype in (dtypes or DTYPES)]

    def chosen(variant: Wrong | Right) -> bool:
        return variant.family in (families or known)

    jobs: list[Job] = []
    for each in filter(chosen, wrong):
        clauses = _looked_at_before(each.clause)
        for dtype in wanted:
            if dtype in each.dtypes:
                jobs.append(Job(each, Kind.WRONG, dtype, clauses))
            elif dtype in each.proofs:
                jobs.append(Job(each, Kind.EQUAL, dtype, clauses))
    for other in filter(chosen, right):
        jobs += [Job(other, Kind.RIGHT, d, other.clauses) for d in wanted if d in other.dtypes]
    reals = [dtype for dtype in wanted if dtype in FLOATS] or ["float32"]
    dying = [Job(each, Kind.CONTROL, dtype, LINES) for each in controls for dtype in reals]
    return dying + jobs if jobs else []


def _looked_at_before(clause: str) -> tuple[str, ...]:
    """A clause and all lines of the rule that `Report.suspect` would name before it."""
    order = tuple(dict.fromkeys((*PLAIN_LINES, *LINES, clause)))
    return order[: order.index(clause) + 1]


def mutate(
    jobs: Sequence[Job], *, workers: int = 1, advance: Callable[[], None] = lambda: None
) -> Score:
    """Judge variants.

    Args:
        jobs: from `plan`.
        workers: how many processes; with more than one the variants have to be the package's own.
        advance: called after each job.

    Raises:
        ValueError: `workers` is below one, or a variant is not the package's own.

    >>> mutate(plan(["domains"], ["float32"])).perfect
    True
    """
    if workers < 1:
        raise ValueError(f"workers = {workers} is below 1")
    if workers == 1:
        outcomes = []
        for job in jobs:
            outcomes.append(_outcome(job))
            advance()
        return Score(tuple(outcomes))
    own = {variant.id: variant for variant in (*CONTROLS, *WRONG, *RIGHT)}
    for job in jobs:
        if own.get(job.variant.id) is not job.variant:
            raise ValueError(
                f"{job.variant.id!r} is not a variant of this package, which other processes need "
                "to find it: judge it with workers=1"
            )
    # Spawned, not forked: a process with threads, such as a progress bar's, must not be forked.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        # A dtype after the other, since the oracle remembers what it was last asked.
        futures = {
            pool.submit(_by_id, job.variant.id, job.kind, job.dtype, job.clauses): index
            for index, job in sorted(enumerate(jobs), key=lambda each: DTYPES.index(each[1].dtype))
        }
        found: dict[int, Outcome] = {}
        for future in as_completed(futures):
            found[futures[future]] = future.result()
            advance()
    return Score(tuple(found[index] for index in range(len(jobs))))


def _by_id(variant_id: str, kind: Kind, dtype: str, clauses: tuple[str, ...]) -> Outcome:
    """A job in another process, which has variants of its own: functions do not travel."""
    every: tuple[Wrong | Right | Control, ...] = (*CONTROLS, *WRONG, *RIGHT)
    variant = next(each for each in every if each.id == variant_id)
    return _outcome(Job(variant, kind, dtype, clauses))


def _outcome(job: Job) -> Outcome:
    variant, kind = job.variant, job.kind
    report = check(variant.backend, clauses=job.clauses, dtypes=[job.dtype], investigate=False)
    why = _fault(job, report)
    return Outcome(
        id=variant.id,
        family=variant.family,
        kind=kind,
        dtype=job.dtype,
        good=not why,
        failed=report.failed_clauses,
        suspect=report.suspect,
        why=why,
        proof=variant.proofs[job.dtype]
        if kind is Kind.EQUAL and isinstance(variant, Wrong)
        else "",
    )


def _fault(job: Job, report: Report) -> str:
    """What is wrong with what became of it, or nothing."""
    variant, failed = job.variant, report.failed_clauses
    if report.broken:
        return f"cannot be judged: {report.broken}"
    if isinstance(variant, Control):
        missed = [clause for clause in variant.clauses if clause not in failed]
        return f"not caught by {', '.join(missed)}" if missed else ""
    if job.kind is Kind.WRONG and isinstance(variant, Wrong):
        if not failed:
            return f"survives; {variant.clause} has to catch it"
        caught = variant.clause == report.suspect
        return "" if caught else f"caught by {', '.join(failed)}, not {variant.clause} first"
    bad = next((result for result in report.results if result.status in BAD), None)
    return f"rejected: {bad.id}: {bad.message}" if bad else ""
