"""N-1 to N-8: special values, precision, and the ends of the range."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from gmpy2 import mpq

from adamax_conformance.bounds.carried import Carried
from adamax_conformance.bounds.oracle import accurately_corrected, with_numbers
from adamax_conformance.cases.case import DEFAULT, PLAIN, Cases, Data, compare, judge_each, late
from adamax_conformance.judging.finding import Finding, Violation
from adamax_conformance.judging.judge import judge
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.spec.formats import FLOAT32, format_of
from adamax_conformance.subject.backend import Arrays, Moments
from adamax_conformance.subject.watched import Watched
from adamax_core import CANONICAL, Hyperparameters

CASES = Cases()
# If a scalar has more digits than the storage format, its last places are invisible.
WIDE = ("float32", "float64")


def unmoved(backend: Watched, run: Run, params: Arrays) -> Finding:
    """Check that the parameters stayed, as without a gradient by the rule."""
    zero = np.zeros(1)
    rule, hp = backend.alteration.apply(CANONICAL, run.at(0), first=True, paired=False)
    if rule(zero, zero, zero, zero, 0, hp).update != 0:
        # Without an eps the rule itself gives 0 / 0, and the run has been judged by it.
        return Finding()
    for name, param in params.items():
        if not np.array_equal(param, run.params[name]):
            raise Violation(f"{name}: a zero gradient moved {run.params[name]} to {param}")
    return Finding()


def _unmoved_by_nothing(backend: Watched, run: Run, params: Arrays) -> Finding:
    """Check that the parameters stayed, if all gradients were zero."""
    zero = not any(np.any(grad) for grads in run.grads for grad in grads.values())
    return unmoved(backend, run, params) if zero else Finding()


@CASES.run("N-1/zero-first-gradient", also=unmoved)
def _(data: Data) -> Run:
    """Where the format rounds the default eps to zero, 0 / 0 is one careless division away."""
    params = {"w": data.array([1.0, 0.0, -3.0])}
    return Run(params, [{"w": data.array([0.0, -0.0, 0.0])}] * 2, DEFAULT)


@CASES.run("N-1/small-gradients", dtypes=["float16"])
def _(data: Data) -> Run:
    """Gradients of the size of the smallest numbers step as others do: about lr."""
    params = {"w": data.array(np.zeros(6))}
    small = 2.0 ** -np.arange(12, 18)
    return Run(params, [{"w": data.array(s * small)} for s in (1.0, -0.5, 0.25)], DEFAULT)


@CASES.run("N-2/storage-rounds")
def _(data: Data) -> Run:
    """A step too small for the format leaves the parameter; a decay too small leaves the norm."""
    params = {"w": data.array([1.0, 0.0])}
    grads = [{"w": data.array([1.0, 1.0])}, *[{"w": data.array([2.0**-9] * 2)}] * 3]
    return Run(params, grads, Hyperparameters(lr=1e-3, eps=2.0**-20))


@CASES.run("N-3/last-places", dtypes=WIDE, judged=["param"], accurate_correction=True)
def _(data: Data) -> Run:
    """At beta1 = 0.999 a printed 1 - beta1^t loses three digits; a right one loses none."""
    params = {"w": data.array(np.zeros(7))}
    grads = [{"w": data.array(np.full(7, g))} for g in (1.0, 1.0, -0.5)]
    return Run(params, grads, Hyperparameters(lr=1.0, betas=(0.999, 0.5), eps=2.0**-10))


@CASES.run("N-3/every-beta1", dtypes=WIDE, judged=["param"], accurate_correction=True)
def _(data: Data) -> Run:
    """From zero to one unit in the last place of float32 below one, changed between the steps."""
    params = {"w": data.array(np.zeros(3))}
    betas = (0.0, 2.0**-30, 0.5, 0.75, 0.9, 0.99, 1 - 2.0**-12, 1 - 2.0**-24)
    hp = [Hyperparameters(lr=1.0, betas=(beta1, 0.5), eps=2.0**-10) for beta1 in betas]
    grad = {"w": data.array([1.0, -0.5, 2.0])}
    return Run(params, [grad] * len(betas), hp)


@CASES.case("N-3/any-beta1")
def _(backend: Watched, data: Data) -> Finding:
    """Betas that nobody has chosen, each from its first step; next to one for half precision."""
    params, found = {"w": data.array(np.zeros(2))}, Finding()
    wide = format_of(data.dtype).unit <= FLOAT32.unit
    # Half precision has few digits itself: there 1 - beta1 is not two units of float32, nor one.
    (least, most), size = ((3.5, 14), 1.0) if wide else ((23.2, 23.8), 4096.0)
    for octaves in data.uniform(least, most, 3):
        hp = Hyperparameters(lr=1.0, betas=(1 - 2.0**-octaves, 0.5), eps=2.0**-10)
        run = Run(params, [{"w": data.array([size, -size / 2])}] * 3, hp)
        found += judge(backend, Trial(run, ["param"], accurate_correction=True))
    return found


@CASES.case("N-3/late", dtypes=WIDE, features=["load"])
def _(backend: Watched, data: Data) -> Finding:
    """In every step and not only the first: some give the accurate formula up after a few."""
    judged = ["step", "param"]
    trials = (Trial(late(data, step), judged, accurate_correction=True) for step in (15, 350))
    return judge_each(backend, trials)


def _constant(c: Any) -> Callable[[Any, int], Any]:
    return lambda _beta1, _step: c


def _inverse_correction(backend: Watched, run: Run, params: Arrays) -> Finding:
    """Compare the parameters with ``-1 / c``: K roundings of c, and one of the division."""
    found = Finding()
    for name, param in params.items():
        slot, format_ = (run.saved or {})[name], format_of(param.dtype)
        exact = replace(format_, unit=mpq(0))  # what is computed in it is not rounded
        hp = with_numbers(replace(run.at(0), eps=0.0), mpq)  # every format rounds eps away
        rule, hp = backend.alteration.apply(
            CANONICAL._replace(bias_correction=accurately_corrected(format_)),
            hp, first=slot.step == 0, paired=False,
        )  # fmt: skip
        c = rule.bias_correction(hp.betas[0], slot.step + 1)
        unrounded = _constant(replace(c, format=exact) if isinstance(c, Carried) else c)
        p, g, m, u = (Carried.of(a, exact) for a in (param * 0, run.grads[0][name], *slot[1:]))
        update = rule._replace(bias_correction=unrounded)(p, g, m, u, slot.step, hp).update
        expected = replace(update, format=format_).rounded()
        found += compare(f"count {slot.step + 1}, param", param, expected)
    return found


@CASES.case("N-3/correction-alone", dtypes=WIDE, features=["load"])
def _(backend: Watched, data: Data) -> Finding:
    """Where all else is exact, K roundings of c can be told from the six of XLA's expm1."""
    # On CPUs XLA's float32 expm1 errs at most of these; the first and last are for other devices.
    counts = (
        1, 2, 3, 10, 134, 173, 182, 271, 300, 320, 479, 554, 556, 643, 1154, 1327, 1607, 1611, 1721,
        2021, 2068, 2108, 2258, 2506, 2553, 2661, 2662, 5000, 20000, 100000,
    )  # fmt: skip
    # beta1 and 1 - beta1 have few digits, so in any association m is one, u two, lr / u one; every
    # format rounds so small an eps away, wherever a dialect adds it.
    hp = Hyperparameters(lr=2.0, betas=(float(np.float32(0.9999)), 0.5), eps=2.0**-100)
    one = data.array([1.0])
    found = Finding()
    for count in counts:
        # Each count alone: S-3 decides what a backend with one count makes of several.
        saved = {"w": Moments(count - 1, one, data.array([4.0]))}
        run = Run({"w": data.array([0.0])}, [{"w": one}], hp, saved=saved)
        trial = Trial(run, ["step", "param"], accurate_correction=True)
        found += judge(backend, trial, also=_inverse_correction)
    return found


@CASES.run("N-4/infinite")
def _(data: Data) -> Run:
    """An inf / inf is NaN; a finite parameter after an infinite gradient hides the accident."""
    params = {"w": data.array([1.0, 1.0, 1.0])}
    one, bad = data.array([1.0, 1.0, 1.0]), data.array([np.inf, -np.inf, 1.0])
    return Run(params, [{"w": one}, {"w": bad}, {"w": one}], PLAIN)


def _at_the_ends(backend: Watched, data: Data, bad: list[float]) -> Finding:
    """Judge two bad gradients in a row where the hyperparameters are at an end of their domain."""
    decoupled = "decoupled_weight_decay" in backend.features
    params, one = {"w": data.array([1.0] * 3)}, {"w": data.array([1.0, 1.0, -1.0])}
    grads = [one, *[{"w": data.array([*bad, -1.0])}] * 2, one, one]
    ends: list[dict[str, Any]] = [
        {"betas": (0.0, 0.875)}, {"betas": (0.75, 0.0)}, {"betas": (0.0, 0.0)},
        {"lr": 0.0}, {"eps": 0.0},
        *([{"lr": 0.0, "weight_decay": 0.5, "decoupled_weight_decay": True}] if decoupled else []),
    ]  # fmt: skip
    runs = (Run(params, grads, replace(PLAIN, **end)) for end in ends)
    return sum((judge(backend, Trial(run)) for run in runs), Finding())


@CASES.case("N-4/ends-of-the-domains")
def _(backend: Watched, data: Data) -> Finding:
    """0 * inf is NaN: without memory, eps or lr an infinity is not forgotten, nor cut short."""
    return _at_the_ends(backend, data, [np.inf, -np.inf])


@CASES.run("N-5/nan-first")
def _(data: Data) -> Run:
    """max(beta2 u, NaN) is NaN in the rule; a maximum that drops it goes on as if nothing was."""
    params = {"w": data.array([1.0, 1.0, 0.0])}
    one = data.array([1.0, 1.0, -1.0])
    return Run(params, [{"w": data.array([np.nan, 1.0, -1.0])}, {"w": one}, {"w": one}], PLAIN)


@CASES.run("N-5/nan-later")
def _(data: Data) -> Run:
    """The other operand of the maximum: a NaN that arrives after the norm has grown."""
    params = {"w": data.array([1.0, 1.0, 0.0])}
    one = data.array([1.0, 1.0, -1.0])
    return Run(params, [{"w": one}, {"w": data.array([np.nan, 1.0, -1.0])}, {"w": one}], PLAIN)


@CASES.case("N-5/parameters")
def _(backend: Watched, data: Data) -> Finding:
    """A parameter that is NaN stays NaN, and an infinite one becomes it where the step is."""
    params = {"w": data.array([np.nan, np.inf, -np.inf, 1.0])}
    grad = {"w": data.array([1.0, np.nan, np.inf, 1.0])}
    return judge(backend, Trial(Run(params, [grad], PLAIN)))


@CASES.case("N-5/ends-of-the-domains")
def _(backend: Watched, data: Data) -> Finding:
    """0 * NaN is NaN: a factor of zero is no reason to leave a term or a step out."""
    return _at_the_ends(backend, data, [np.nan, -np.nan])


@CASES.run("N-6/zero-over-zero")
def _(data: Data) -> Run:
    """With eps = 0, as the paper prints it, 0 / 0 is NaN, as IEEE 754 says."""
    params = {"w": data.array([1.0, 1.0, 0.0])}
    grad = data.array([0.0, 1.0, -1.0])
    return Run(params, [{"w": grad}, {"w": grad * 0}], replace(PLAIN, eps=0.0))


@CASES.run("N-7/large")
def _(data: Data) -> Run:
    """Gradients up to a quarter of the largest number: a square would be infinite."""
    params = {"w": data.array(np.zeros(8))}
    scales = data.largest * 2.0 ** -np.arange(2, 10)
    return Run(params, [{"w": data.array(s * scales)} for s in (1.0, -0.5, 0.0, 0.25)], PLAIN)


@CASES.run("N-7/largest", judged=["exp_inf", "param"])
def _(data: Data) -> Run:
    """Up to three quarters of the largest number: the maximum of two is in range, not their sum."""
    params = {"w": data.array(np.zeros(2))}
    grad = {"w": data.array(data.largest * np.array([0.75, -0.75]))}
    return Run(params, [grad] * 3, PLAIN)


@CASES.run("N-7/small", also=_unmoved_by_nothing)
def _(data: Data) -> Run:
    """Gradients whose square vanishes still have a norm; what may flush to zero is allowed to."""
    params = {"w": data.array(np.zeros(8))}
    # float16 cannot hold such a gradient, but float32, used to compute, holds such an eps.
    tiny = 2.0**-900 if data.dtype == "float64" else 2.0**-100
    scales = tiny * 2.0 ** np.arange(8)
    hp = replace(PLAIN, eps=tiny)
    return Run(params, [{"w": data.array(s * scales)} for s in (1.0, -0.5, 0.0)], hp)


@CASES.run("N-8/small-lr", judged=["param"])
def _(data: Data) -> Run:
    """A denominator u * c / lr exceeds float16's 65504 long before the step is out of range."""
    params = {"w": data.array(np.zeros(4))}
    grad = {"w": data.array([4000.0, -30000.0, 500.0, 60000.0])}
    return Run(params, [grad] * 3, replace(PLAIN, lr=2.0**-9))


@CASES.run("N-8/tiny-lr", judged=["param"])
def _(data: Data) -> Run:
    """An lr below every number of float16, and a step of 10,000 lr that it holds again."""
    large, small = ({"w": data.array(x * np.array([1.0, -0.5, 0.25]))} for x in (3000.0, 0.0625))
    hp = Hyperparameters(lr=1e-8, betas=(0.25, 0.0), eps=2.0**-10)
    return Run({"w": data.array(np.zeros(3))}, [large, small], hp)


@CASES.run("N-8/long-step", judged=["param"], only=[28])
def _(data: Data) -> Run:
    """After large gradients a small one: a step of thousands of lr, which nothing clips.

    In float16 an lr of a millionth has four digits, so that it is not kept there. After 27 steps a
    beta1 of a quarter needs no correction.
    """
    params = {"w": data.array(np.zeros(3))}
    large, small = ({"w": data.array(x * np.array([1.0, -0.5, 0.25]))} for x in (3000.0, 0.0625))
    hp = Hyperparameters(lr=1e-6, betas=(0.25, 0.0), eps=2.0**-10)
    return Run(params, [*[large] * 27, small], hp)
