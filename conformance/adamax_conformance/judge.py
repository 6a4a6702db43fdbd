"""Judging a run of steps: each step from the state that the backend itself reported.

Errors therefore never accumulate, and the bound is as tight at step 1000 as at step 1. A backend
that shows no state is judged along its trajectory: what one step allows is where the next begins.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from adamax_conformance.backend import Arrays, Moments
from adamax_conformance.oracle import QUANTITIES, Allowed, allowed, pairs
from adamax_conformance.watched import Watched, copies
from adamax_core import Hyperparameters

EVERYTHING = ("step", *QUANTITIES)


class Violation(Exception):  # noqa: N818 - a finding about a backend, not an error of the judge
    """A backend did something that a clause forbids; the message says what, where and what else."""


@dataclass(frozen=True)
class Finding:
    """What a case that passed has looked at.

    Attributes:
        elements: how many numbers were compared.
        used: the largest part of a bound that an error took, 0 to 1.
    """

    elements: int = 0
    used: float = 0.0

    def __add__(self, other: "Finding") -> "Finding":
        return Finding(self.elements + other.elements, max(self.used, other.used))


@dataclass(frozen=True)
class Run:
    """The data of a trajectory.

    Attributes:
        params: initial parameters by name.
        grads: one dict a step; a missing key is a missing gradient.
        hp: hyperparameters of every step, or a sequence, one a step.
        saved: moments to load before the first step; those of `init` when None.
        state_dtype: dtype that the state is asked to have.
        undecayed: names of parameters that are exempt from weight decay.
    """

    params: Arrays
    grads: Sequence[Arrays]
    hp: Hyperparameters | Sequence[Hyperparameters]
    saved: Mapping[str, Moments] | None = None
    state_dtype: str | None = None
    undecayed: Collection[str] = ()

    def at(self, index: int) -> Hyperparameters:
        """The hyperparameters of the step with this index, from zero."""
        return self.hp if isinstance(self.hp, Hyperparameters) else self.hp[index]

    def start(self, backend: Watched) -> Any:
        """The state before the first step."""
        if self.saved is not None:
            return backend.load(
                self.params, self.at(0), {k: v._asdict() for k, v in self.saved.items()}
            )
        options: dict[str, Any] = {}
        if self.state_dtype is not None:
            options["state_dtype"] = self.state_dtype
        if self.undecayed:
            options["undecayed"] = tuple(self.undecayed)
        return backend.init(self.params, self.at(0), **options)


@dataclass
class _Tally:
    """Comparisons so far, and the worst of the present step."""

    elements: int = 0
    used: float = 0.0
    wrong: list[tuple[float, str]] = field(default_factory=list)

    def compare(self, where: str, quantity: str, got: Any, bound: Allowed) -> None:
        got = pairs(got)
        self.elements += got.size
        if not got.size:
            return
        excess = bound.excess(got)
        index = tuple(map(int, np.unravel_index(int(np.argmax(excess)), excess.shape)))
        worst = float(excess[index])
        if worst <= 1:
            self.used = max(self.used, worst)
            return
        at = f"[{', '.join(map(str, index))}]" if index else ""
        off = f"off by {worst:.3g} times the bound" if np.isfinite(worst) else "cannot be right"
        self.differ(
            f"{where}{at}, {quantity}: got {float(got[index])!r}, allowed "
            f"{bound.interval(index)}; {off}",
            worst,
        )

    def same(self, where: str, got: Any, expected: Any) -> None:
        got, expected = np.asarray(got), np.asarray(expected)
        self.elements += got.size
        if got.tobytes() != expected.tobytes():
            self.differ(f"{where}: got {got}, must stay {expected}")

    def differ(self, message: str, by: float = np.inf) -> None:
        self.wrong.append((by, message))


def judge(
    backend: Watched,
    run: Run,
    judged: Collection[str] = EVERYTHING,
    *,
    accurate_correction: bool = False,
    also: Callable[[Run, Arrays, Any], Finding] | None = None,
) -> Finding:
    """Run the steps and compare each; raise at the first step that is wrong.

    Args:
        backend: the backend, watched.
        run: what to run.
        judged: which of ``step``, ``exp_avg``, ``exp_inf`` and ``param`` the clause is about. The
            parameters are judged in any case where the state cannot be seen.
        accurate_correction: judge the bias correction to the last places (N-3).
        also: a further look at the last parameters and state.

    Raises:
        Violation: a value is outside its interval; names step, element, value and interval.
        BackendError: the backend raised.
    """
    state = run.start(backend)
    params = copies(run.params)
    believed = backend.moments(params, state)
    if believed is None:
        if accurate_correction:
            # The last places of the correction cannot be told from those of a hidden moment.
            return Finding()
        judged = {*judged, "param"}
        believed = _initial(run)
    tally = _Tally()
    for index, grads in enumerate(run.grads):
        hp = run.at(index)
        stepped, state = backend.step(params, copies(grads), state, hp)
        reported = backend.moments(params, state) or {}
        following = {}
        for name, param in params.items():
            where, before, after = f"step {index + 1}, {name}", believed[name], reported.get(name)
            if name not in grads:
                following[name] = _judge_kept(tally, where, param, stepped[name], before, after)
                continue
            own = replace(hp, weight_decay=0.0) if name in run.undecayed else hp
            bounds = allowed(
                param,
                grads[name],
                before,
                own,
                reported=after,
                accurate_correction=accurate_correction,
            )
            following[name] = _judge_step(
                tally, where, judged, stepped[name], before, after, bounds
            )
        if tally.wrong:
            raise Violation(max(tally.wrong, key=lambda each: each[0])[1])
        params, believed = stepped, following
    finding = Finding(tally.elements, tally.used)
    return finding + also(run, params, state) if also else finding


def _judge_kept(
    tally: _Tally, where: str, param: Any, stepped: Any, before: Moments, after: Moments | None
) -> Moments:
    """A parameter without a gradient: every bit stays (S-2). Returns where it goes on from."""
    tally.same(f"{where} (no gradient)", stepped, param)
    if after is None:
        return before
    for part, got, kept in zip(Moments._fields, after, before, strict=True):
        tally.same(f"{where} (no gradient), {part}", got, kept)
    return after


def _judge_step(
    tally: _Tally,
    where: str,
    judged: Collection[str],
    stepped: Any,
    before: Moments,
    after: Moments | None,
    bounds: Mapping[str, Allowed],
) -> Moments:
    """A parameter that has taken a step. Returns where it goes on from."""
    steps = before.step + 1
    values = {"param": stepped}
    if after is not None:
        values |= {"exp_avg": after.exp_avg, "exp_inf": after.exp_inf}
        if "step" in judged:
            tally.elements += 1
            if after.step != steps:
                tally.differ(f"{where}, step: got {after.step}, must be {steps}")
    for quantity in QUANTITIES:
        if quantity in judged and quantity in values:
            tally.compare(where, quantity, values[quantity], bounds[quantity])
    return after or Moments(steps, bounds["exp_avg"], bounds["exp_inf"])


def _initial(run: Run) -> dict[str, Moments]:
    """The state that a backend which shows none is taken to begin with."""
    if run.saved is not None:
        return dict(run.saved)
    dtype = None if run.state_dtype is None else np.dtype(run.state_dtype)
    zeros = {name: np.zeros_like(param, dtype=dtype) for name, param in run.params.items()}
    return {name: Moments(0, zero, zero) for name, zero in zeros.items()}
