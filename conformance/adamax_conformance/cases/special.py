"""N-1 to N-8: special values, precision, and the ends of the range."""

from dataclasses import replace
from typing import Any

import numpy as np
from gmpy2 import mpq

from adamax_conformance.bounds.carried import Carried, K, power
from adamax_conformance.cases.case import DEFAULT, PLAIN, Cases, Data, compare, late
from adamax_conformance.judging.finding import Finding, Violation
from adamax_conformance.judging.judge import judge
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.spec.formats import format_of
from adamax_conformance.subject.backend import Arrays, Moments
from adamax_conformance.subject.watched import Watched
from adamax_core import Hyperparameters

CASES = Cases()
# If a scalar has more digits than the storage format, its last places are invisible.
WIDE = ("float32", "float64")


def _unmoved(run: Run, params: Arrays, _state: Any) -> Finding:
    for name, param in params.items():
        if not np.array_equal(param, run.params[name]):
            raise Violation(f"{name}: a zero gradient moved {run.params[name]} to {param}")
    return Finding()


def _unmoved_by_nothing(run: Run, params: Arrays, state: Any) -> Finding:
    """Check that the parameters stayed, if all gradients were zero."""
    zero = not any(np.any(grad) for grads in run.grads for grad in grads.values())
    return _unmoved(run, params, state) if zero else Finding()


@CASES.run("N-1/zero-first-gradient", also=_unmoved)
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
    # Half precision has few digits itself: there 1 - beta1 is not two units of float32, nor one.
    (least, most), size = ((3.5, 14), 1.0) if data.dtype in WIDE else ((23.2, 23.8), 4096.0)
    for octaves in data.uniform(least, most, 3):
        hp = Hyperparameters(lr=1.0, betas=(1 - 2.0**-octaves, 0.5), eps=2.0**-10)
        run = Run(params, [{"w": data.array([size, -size / 2])}] * 3, hp)
        found += judge(backend, Trial(run, ["param"], accurate_correction=True))
    return found


@CASES.case("N-3/late", dtypes=WIDE, features=["load"])
def _(backend: Watched, data: Data) -> Finding:
    """In every step and not only the first: some give the accurate formula up after a few."""
    trials = (Trial(late(data, step), ["param"], accurate_correction=True) for step in (15, 350))
    return sum((judge(backend, trial) for trial in trials), Finding())


def _inverse_correction(run: Run, params: Arrays, _state: Any) -> Finding:
    """Compare the parameters with ``-1 / c``: K roundings of c, and one of the division."""
    found, (beta1, _) = Finding(), run.at(0).betas
    for name, param in params.items():
        count, format_ = (run.saved or {})[name].step + 1, format_of(param.dtype)
        exact = replace(format_, unit=mpq(0))  # what is computed in it is not rounded
        c = Carried.of([1 - power(mpq(beta1), count)], format_).rounded(K)
        inverse = Carried.of([mpq(-1)], exact) / replace(c, format=exact)
        expected = replace(inverse, format=format_).rounded()
        found += compare(f"count {count}, param", param, expected)
    return found


@CASES.case("N-3/correction-alone", dtypes=WIDE, features=["load"])
def _(backend: Watched, data: Data) -> Finding:
    """Where all else is exact, K roundings of c can be told from the six of XLA's expm1."""
    # On CPUs XLA's float32 expm1 errs at most of these; the first and last are for other devices.
    counts = (
        1, 2, 3, 10, 134, 173, 182, 271, 300, 320, 479, 554, 556, 643, 1154, 1327, 1607, 1611, 1721,
        2021, 2068, 2108, 2258, 2506, 2553, 2661, 2662, 5000, 20000, 100000,
    )  # fmt: skip
    # beta1 and 1 - beta1 have few digits, so in any association m is one, u two, lr / u one.
    hp = Hyperparameters(lr=2.0, betas=(float(np.float32(0.9999)), 0.5), eps=1.0)
    one = data.array([1.0])
    saved = {f"w{count}": Moments(count - 1, one, data.array([4.0])) for count in counts}
    run = Run(dict.fromkeys(saved, data.array([0.0])), [dict.fromkeys(saved, one)], hp, saved=saved)
    return judge(backend, Trial(run, ["param"], accurate_correction=True), also=_inverse_correction)


@CASES.run("N-4/infinite")
def _(data: Data) -> Run:
    """An inf / inf is NaN; a finite parameter after an infinite gradient hides the accident."""
    params = {"w": data.array([1.0, 1.0, 1.0])}
    one, bad = data.array([1.0, 1.0, 1.0]), data.array([np.inf, -np.inf, 1.0])
    return Run(params, [{"w": one}, {"w": bad}, {"w": one}], PLAIN)


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
