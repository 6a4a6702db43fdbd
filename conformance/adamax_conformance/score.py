"""`mutate`: score the suite by the wrong variants that it catches and the right ones it accepts.

A wrong variant counts as killed if the report suspects its own clause first. In a dtype in which it
equals the rule, the suite must accept it. `adamax_conformance.variants` defines the variants; the
command prints the score.
"""

import multiprocessing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from adamax_conformance.check import check
from adamax_conformance.reports.report import Report
from adamax_conformance.reports.result import BAD
from adamax_conformance.reports.suspect import PLAIN_LINES
from adamax_conformance.spec.formats import DTYPES, FLOATS
from adamax_conformance.variants import CONTROLS, FAMILIES, RIGHT, WRONG, Control, Right, Wrong
from adamax_conformance.variants.variant import LINES


class Kind(StrEnum):
    """The kind of a variant in one dtype, which decides the required outcome."""

    WRONG = "wrong"
    EQUAL = "equal"
    RIGHT = "right"
    CONTROL = "control"


@dataclass(frozen=True)
class Job:
    """A variant to judge in one dtype.

    Attributes:
        variant: the variant.
        kind: its kind in this dtype.
        dtype: dtype of the parameters.
        clauses: clauses to judge it by.
    """

    variant: Wrong | Right | Control
    kind: Kind
    dtype: str
    clauses: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """The outcome of one variant in one dtype.

    Attributes:
        id: id of the variant.
        family: family of the variant.
        kind: its kind in this dtype.
        dtype: dtype of the parameters.
        good: True for the required outcome: killed by its clause, accepted, or dead.
        failed: the clauses that do not hold.
        suspect: the clause that the report says to look at first.
        why: why the outcome is not good; empty if it is.
        proof: why the variant equals the rule in this dtype, for an equal one.
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
    """The outcomes of all variants.

    Attributes:
        outcomes: one for each variant and dtype, in the order of the jobs.
    """

    outcomes: tuple[Outcome, ...]

    def ids(self, kind: Kind, *, good: bool | None = None) -> tuple[str, ...]:
        """Return the variants of a kind; with `good`, those good in all dtypes, or the others."""
        bad = {each.id for each in self.outcomes if each.kind is kind and not each.good}
        every = dict.fromkeys(each.id for each in self.outcomes if each.kind is kind)
        return tuple(id_ for id_ in every if good is None or (id_ not in bad) is good)

    @property
    def bad(self) -> tuple[Outcome, ...]:
        """The outcomes that are not good."""
        return tuple(each for each in self.outcomes if not each.good)

    @property
    def void(self) -> bool:
        """Did a control survive, or was none judged? Then the score means nothing."""
        controls = self.ids(Kind.CONTROL)
        return not controls or len(self.ids(Kind.CONTROL, good=True)) < len(controls)

    @property
    def perfect(self) -> bool:
        """Is every outcome good, and the score not void?"""
        return not self.void and not self.bad

    @property
    def sentence(self) -> str:
        """The totals.

        >>> Score((Outcome("idle", "controls", Kind.CONTROL, "float32", good=False),)).sentence
        'void: the control idle survives, so the score means nothing'
        """
        if self.void:
            alive = ", ".join(self.ids(Kind.CONTROL, good=False))
            what = f"the control {alive} survives" if alive else "no control was judged"
            return f"void: {what}, so the score means nothing"
        wrong, right, dead = (
            f"{len(self.ids(kind, good=True))} of {len(self.ids(kind))}"
            for kind in (Kind.WRONG, Kind.RIGHT, Kind.CONTROL)
        )
        differing = sum(each.kind is Kind.WRONG for each in self.outcomes)
        sentence = (
            f"{wrong} wrong variants killed, each by its own clause in every dtype in which it "
            f"differs ({differing} in all); {right} right ones accepted; {dead} controls died"
        )
        unproved = self.ids(Kind.EQUAL, good=False)
        return sentence + (f"; proofs that do not hold: {', '.join(unproved)}" if unproved else "")

    def as_dict(self) -> Mapping[str, Any]:
        """Return the score as values for JSON."""
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
    """Return the jobs for these families and dtypes; the controls always come first.

    Args:
        families: names of families, such as ``eps``; all by default.
        dtypes: dtypes of `DTYPES`; all by default.
        wrong: wrong variants, those of the package by default.
        right: right variants, those of the package by default.
        controls: controls, those of the package by default.

    Raises:
        ValueError: an unknown family or dtype.

    >>> [job.variant.id for job in plan(["eps"], ["float32"])][:4]
    ['idle', 'frozen', 'random', 'eps-outside']
    """
    known = [family.name for family in FAMILIES]
    for what, given, domain in (("family", families, known), ("dtype", dtypes, DTYPES)):
        for unknown in (each for each in given or () if each not in domain):
            raise ValueError(f"unknown {what} {unknown!r}: choose from {', '.join(domain)}")
    wanted = [dtype for dtype in DTYPES if dtype in (dtypes or DTYPES)]

    def chosen(variant: Wrong | Right) -> bool:
        return variant.family in (families or known)

    jobs: list[Job] = []
    for each in filter(chosen, wrong):
        clauses = _with_earlier_suspects(each.clause)
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


def _with_earlier_suspects(clause: str) -> tuple[str, ...]:
    """Return a clause after all lines of the rule that `Report.suspect` would name before it."""
    order = tuple(dict.fromkeys((*PLAIN_LINES, *LINES, clause)))
    return order[: order.index(clause) + 1]


def mutate(
    jobs: Sequence[Job], *, workers: int = 1, advance: Callable[[], None] = lambda: None
) -> Score:
    """Judge variants.

    Args:
        jobs: jobs from `plan`.
        workers: number of processes; more than one can judge the package's own variants only.
        advance: called after each job.

    Raises:
        ValueError: `workers` is below one, or not one and a variant is not the package's own.

    >>> mutate(plan(["squaring"], ["float32"])).perfect
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
                f"{job.variant.id!r} is not a variant of this package, so other processes cannot "
                "find it: use workers=1"
            )
    # Spawned, not forked: a process with threads, such as a progress bar's, must not be forked.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        # One dtype after the other, since the oracle caches its most recent results.
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
    """Run a job in another process; find the variant by id, since functions cannot be pickled."""
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
    """Return why the outcome is not good; empty if it is."""
    variant, failed = job.variant, report.failed_clauses
    if report.broken:
        return f"cannot be judged: {report.broken}"
    if isinstance(variant, Control):
        missed = [clause for clause in variant.clauses if clause not in failed]
        return f"not caught by {', '.join(missed)}" if missed else ""
    if job.kind is Kind.WRONG and isinstance(variant, Wrong):
        if not failed:
            return f"survives; {variant.clause} must catch it"
        caught = variant.clause == report.suspect
        return "" if caught else f"caught by {', '.join(failed)}, not {variant.clause} first"
    bad = next((result for result in report.results if result.status in BAD), None)
    return f"rejected: {bad.id}: {bad.message}" if bad else ""
