"""Probe a black box: find the dialect of Adamax that a backend computes.

The probe uses extreme hyperparameters, under which the dialects are far apart. Each alternative of
`adamax_conformance.dialects` runs on numbers that carry their rounding error, from the parameters
that the backend itself returned. The alternative fits if all its intervals contain the next
parameters. No two alternatives have intervals that overlap everywhere, so at most one can fit; a
test computes that for every pair (in bfloat16 one pair comes too close; neither is in known use).

If no eps and bias correction fit, the probe repeats with eps = 0, with beta1 = 0 and with both,
which removes eps, the correction or both from the rule. What then fits is Adamax with something
else in that place, and the other axes are probed with those values. The first moment has a beta1
too, so it is a bias correction only if the run with beta1 differs by one factor in each step.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from adamax_conformance.dialects.axes import (
    COMPLEX,
    CORRECTION,
    DECAY,
    DECOUPLED,
    EPS,
    INITIAL_NORMS,
    MISSING,
    NAN,
    SCOPE,
    SIGN,
    START,
    Axis,
)
from adamax_conformance.dialects.diagnosis import (
    NOT_OFFERED,
    NOT_SEEN,
    OTHER,
    Diagnosis,
    Found,
)
from adamax_conformance.dialects.dialect import Dialect
from adamax_conformance.dialects.findings import (
    counted,
    found,
    instead,
    is_one_factor,
    nan,
    other,
    raises,
    standing,
    unlike,
    unseen,
)
from adamax_conformance.dialects.fitting import (
    Count,
    Seen,
    count_of,
    fits,
    moved_without_gradient,
    observe,
    observe_params,
    shows,
)
from adamax_conformance.judging.run import Run
from adamax_conformance.spec.formats import COMPLEX as COMPLEX_DTYPES
from adamax_conformance.spec.formats import dtype_of
from adamax_conformance.subject.backend import Moments
from adamax_conformance.subject.limits import NotOfferedError
from adamax_conformance.subject.watched import BackendError, Watched
from adamax_core import Hyperparameters

PROBE = Hyperparameters(lr=4.0, betas=(0.75, 0.5), eps=0.1875)
"""Values far from each other and from one, and exact in every format."""

WEIGHT_DECAY = 0.125

NO_EPS = "no eps with any bias correction takes these steps"
NO_FACTOR = "with beta1 = 0 it is, but beta1 changes more than one factor in each step"
UNKNOWN = "the rest of the rule is not known well enough"

# Rows are steps, columns elements; zeros after the first step show the decay of the norm.
GRADS = (
    (0.5, 0.125, 0.03125, -1.0, 32.0, 0.25),
    (0.0, 0.0, 0.0, 0.25, 0.0, 0.25),
    (0.0, 0.0, 0.0, 0.125, -0.125, 0.25),
    (0.0, 0.5, 0.0, 0.0, 0.0, -0.25),
    (0.125, 0.0, 0.0, 0.0, 0.0, 0.125),
    (0.0, 0.0, 0.0625, 0.03125, 0.0, 0.0),
)
PARAMS = (0.0, 8.0, -4.0, 16.0, 2.0, -32.0)

# The modulus of 3 + 4i, 5 + 12i and the like is an integer.
COMPLEX_GRADS = ((3 + 4j, 5 - 12j, 1j, -8), (0, 0, 0, 6j), (0, 3 + 4j, 0, 0), (-4 + 3j, 0, 1, 0))

# The parameters with a gradient in each step. Their first gradients come at different steps, and a
# misses a later one. With groups, b and c form a group.
PRESENT = ("a", "ab", "abc", "bc", "abc")


class Probe:
    """A probe of one backend in one dtype.

    Attributes:
        dialect: the dialect as known so far.
        hp: hyperparameters under which the backend computes `dialect`.
        scale: scale of the gradients, for the same reason.
        known: False if `hp` and `scale` had to remove eps or the correction from the rule.
        digits: dtype in whose digits to compare; that of the probe if empty.
    """

    def __init__(self, backend: Watched, dtype: str, digits: str = "") -> None:
        self.backend = backend
        self.dtype = dtype
        self.digits = digits
        self.dialect = Dialect()
        self.hp = PROBE
        self.scale = 1.0
        self.known = True

    def diagnosis(self) -> Diagnosis:
        """Return the findings on all axes."""
        name = self.backend.backend.name
        try:
            rule = self._rule()
        except BackendError as error:
            return Diagnosis(name, self.dtype, broken=str(error))
        if isinstance(rule, str):
            return Diagnosis(name, self.dtype, adamax=False, reason=rule)
        sign = self._axis(SIGN, self._sign, "maximize")
        turned = sign.found == SIGN.specified
        missing, scope = self._missing_and_scope()
        if scope.found == NOT_SEEN and "load" in self.backend.features:
            scope = self._axis(SCOPE, self._loaded_scope)
        axes = (
            *rule,
            sign,
            self._axis(DECAY, lambda: self._decay(DECAY, turned), "weight_decay"),
            self._axis(DECOUPLED, lambda: self._decay(DECOUPLED, turned), "decoupled_weight_decay"),
            scope,
            missing,
            self._axis(COMPLEX, self._complex),
            self._axis(NAN, self._nan),
        )
        runs = not any(each.found == OTHER for each in rule)
        dialect = Dialect.found({each.axis: each.found for each in axes}) if runs else None
        return Diagnosis(name, self.dtype, axes, dialect, adamax=True)

    def _axis(self, axis: Axis, look: Callable[[], Found], feature: str = "") -> Found:
        """Look at one axis, if the backend offers its feature; an error is a finding too."""
        if feature and feature not in self.backend.features:
            return unseen(axis, NOT_OFFERED, f"the backend does not offer {feature}")
        try:
            return look()
        except BackendError as error:
            return raises(axis, error)

    def _run(self, grads: Iterable[Any], hp: Hyperparameters, dtype: str = "") -> Run:
        """Return a run of one parameter from zero, with gradients times the scale."""
        kind = dtype_of(dtype or self.dtype)
        rows = [(np.asarray(row) * self.scale).astype(kind) for row in grads]
        return Run({"w": np.zeros(rows[0].shape, kind)}, [{"w": row} for row in rows], hp)

    def _observe(self, run: Run) -> Seen:
        return observe_params(self.backend, run, self.digits)

    def _rule(self) -> tuple[Found, Found, Found] | str:
        """Find eps, bias correction and initial state together; say why if it is not Adamax."""
        plain: dict[bool, Seen] = {}
        for with_eps, with_correction in ((True, True), (False, True), (True, False), (False,) * 2):
            self.known = with_eps and with_correction
            # Large gradients hide an eps that does not come from the hyperparameters.
            self.scale = 1.0 if with_eps else 2.0 ** (8 if self.dtype == "float16" else 60)
            self.hp = replace(
                PROBE,
                eps=PROBE.eps if with_eps else 0.0,
                betas=(PROBE.betas[0] if with_correction else 0.0, PROBE.betas[1]),
            )
            try:
                seen = observe(self.backend, self._run(GRADS, self.hp), self.digits)
            except (BackendError, NotOfferedError):  # some take no eps of zero
                if self.known:
                    raise
                continue
            if with_correction:
                plain[with_eps] = seen
            for eps, correction, start in product(
                EPS.alternatives if with_eps else [EPS.specified],
                # With beta1 = 0 all the others are equal.
                CORRECTION.alternatives if with_correction else ["yes", "extra square root"],
                START.alternatives,
            ):
                self.dialect = Dialect(eps, correction, start)
                if fits(self.dialect, seen):
                    if not (with_correction or self._corrects(plain.get(with_eps))):
                        return NO_FACTOR
                    return (
                        self._part(EPS, "eps", plain[True], known=with_eps),
                        self._part(CORRECTION, "correction", plain[True], known=with_correction),
                        self._start(seen),
                    )
        canonical = instead(plain[True], {"the specification": Dialect()})
        return standing(plain[True]) or f"{NO_EPS}; {canonical}"

    def _corrects(self, seen: Seen | None) -> bool:
        """Is the run with beta1 that of the dialect, but for one factor in each step?"""
        uncorrected = replace(self.dialect, correction="none")
        return seen is not None and is_one_factor(seen, uncorrected)

    def _part(self, axis: Axis, field: str, seen: Seen, *, known: bool) -> Found:
        """Return the finding on eps or bias correction; if not known, from a run that fits none."""
        if known:
            return found(axis, getattr(self.dialect, field))
        options = {name: replace(self.dialect, **{field: name}) for name in axis.alternatives}
        return unlike(axis, seen, options)

    def _start(self, seen: Seen) -> Found:
        """Find the initial state, from the state before the first step or from the first step."""
        shown = seen.moments[0]
        if shown is None:
            return found(START, self.dialect.start, "seen in the first step; the state is hidden")
        step, exp_avg, exp_inf = shown["w"]
        exp_avg, exp_inf = np.asarray(exp_avg, float), np.asarray(exp_inf, float)
        if step != 0:
            return other(START, f"the count starts at {step}")
        if not (exp_avg.any() or exp_inf.any()):
            return found(START, self.dialect.start)
        for name, norm in INITIAL_NORMS.items():
            if not exp_avg.any() and np.all(exp_inf == norm(self.hp)):
                return found(START, name)
        return other(START, f"m = {exp_avg[0]:g}, u = {exp_inf[0]:g}")

    def _choice(self, axis: Axis, seen: Seen, options: Mapping[str, Dialect]) -> Found:
        """Return the finding for the option that fits; at most one of an axis does."""
        fitting = [name for name, dialect in options.items() if fits(dialect, seen)]
        if fitting:
            return found(axis, fitting[0])
        if not self.known:
            return unseen(axis, NOT_SEEN, UNKNOWN)
        return unlike(axis, seen, options)

    def _sign(self) -> Found:
        seen = self._observe(self._run(GRADS[:3], replace(self.hp, maximize=True)))
        options = {name: replace(self.dialect, sign=name) for name in SIGN.alternatives}
        return self._choice(SIGN, seen, options)

    def _decay(self, axis: Axis, turned: bool) -> Found:
        """Find the weight decay, with maximize if that works: it shows the order of the two."""
        hp = replace(
            self.hp,
            weight_decay=WEIGHT_DECAY,
            decoupled_weight_decay=axis is DECOUPLED,
            maximize=turned,
        )
        kind = dtype_of(self.dtype)
        grads = [{"w": np.asarray(row, kind)} for row in GRADS[:4]]
        seen = self._observe(Run({"w": np.asarray(PARAMS, kind)}, grads, hp))
        field = "decoupled" if axis is DECOUPLED else "decay"
        names = [name for name in axis.alternatives if turned or name != "coupled before the sign"]
        chosen = self._choice(
            axis, seen, {name: replace(self.dialect, **{field: name}) for name in names}
        )
        if chosen.found == "coupled" and not turned:
            return replace(chosen, note=f"{chosen.note}; or before, unseen without maximize")
        return chosen

    def _missing_and_scope(self) -> tuple[Found, Found]:
        """Find both from parameters whose gradients start at different steps or miss one."""
        kind = dtype_of(self.dtype)
        rows = {
            name: [(np.asarray(row) * self.scale).astype(kind) for row in np.roll(GRADS, i, axis=1)]
            for i, name in enumerate("abc")
        }
        taken = {name: iter(each) for name, each in rows.items()}
        grads = [{name: next(taken[name]) for name in names} for names in PRESENT]
        groups = ("b", "c") if "undecayed" in self.backend.features else ()
        params = {name: np.zeros(len(GRADS[0]), kind) for name in "abc"}
        run = Run(params, grads, self.hp, undecayed=groups)
        try:
            seen = self._observe(run)
        except (BackendError, NotOfferedError) as error:
            loaded = self._axis(SCOPE, self._loaded_scope, "load")
            if isinstance(error, BackendError):
                return raises(MISSING, error), loaded
            return unseen(MISSING, NOT_OFFERED, f"the backend does not take {error}"), loaded
        scopes = [name for name in SCOPE.alternatives if groups or name != "group"]
        fitting = [name for name in scopes if fits(self.dialect, seen, count_of(name, run))]
        if len(fitting) > 1:
            fitting = [name for name in fitting if shows(seen, count_of(name, run))] or fitting
        if len(fitting) == 1:
            note = "" if groups else "or for each group; the backend has only one"
            note = note if fitting[0] == "global" else ""
            return found(MISSING, "untouched"), found(SCOPE, fitting[0], note)
        if fitting:
            why = "neither steps nor state depend on the count"
            return found(MISSING, "untouched"), unseen(SCOPE, NOT_SEEN, why)
        return self._uncounted(seen)

    def _uncounted(self, seen: Seen) -> tuple[Found, Found]:
        """Find what is done for a missing gradient, where the run fits no scope of the count."""
        why = "parameters without a gradient change"
        run = seen.run
        zeros = {name: np.zeros_like(param) for name, param in run.params.items()}
        filled = replace(seen, run=replace(run, grads=[zeros | dict(each) for each in run.grads]))
        if fits(self.dialect, filled):
            return found(MISSING, "as zero"), unseen(SCOPE, NOT_SEEN, why)
        if not self.known:
            return unseen(MISSING, NOT_SEEN, UNKNOWN), unseen(SCOPE, NOT_SEEN, UNKNOWN)
        if moved := moved_without_gradient(seen):
            return other(MISSING, moved), unseen(SCOPE, NOT_SEEN, why)
        return found(MISSING, "untouched"), counted(seen, self.dialect)

    def _loaded_scope(self) -> Found:
        """Find the step scope by loading two parameters with different counts."""
        kind = dtype_of(self.dtype)
        row = np.asarray(GRADS[0], kind)
        zeros = np.zeros_like(row)
        counts = {"a": 4, "b": 0}
        saved = {name: Moments(count, zeros, zeros) for name, count in counts.items()}
        grads = {name: (row * self.scale).astype(kind) for name in counts}
        run = Run(dict.fromkeys(counts, zeros), [grads], self.hp, saved=saved)
        seen = self._observe(run)
        options: dict[str, Count] = {
            "parameter": lambda name, index: counts[name] + index,
            "global": lambda _name, index: max(counts.values()) + index,
        }
        dialect = replace(self.dialect, start=START.specified)
        fitting = [name for name, count in options.items() if fits(dialect, seen, count)]
        if len(fitting) > 1:
            fitting = [name for name in fitting if shows(seen, options[name])]
        if len(fitting) != 1:
            return unseen(SCOPE, NOT_SEEN, "neither a missing gradient nor loading shows the count")
        return found(SCOPE, fitting[0], "seen by loading different counts")

    def _complex(self) -> Found:
        taken = [name for name in COMPLEX_DTYPES[::-1] if name in self.backend.backend.dtypes]
        if not taken:
            return unseen(COMPLEX, NOT_OFFERED, "the backend does not take complex dtypes")
        seen = self._observe(self._run(COMPLEX_GRADS, self.hp, taken[0]))
        options = {name: replace(self.dialect, complex=name) for name in COMPLEX.alternatives}
        return self._choice(COMPLEX, seen, options)

    def _nan(self) -> Found:
        """Find the effect of a NaN in the first step, in a later one, and on other elements."""
        grads = np.array(GRADS[:4])
        comes = {0: 0, 1: 1}
        for element, step in comes.items():
            grads[step, element] = np.nan
        return nan(self._observe(self._run(grads, self.hp)), comes)
