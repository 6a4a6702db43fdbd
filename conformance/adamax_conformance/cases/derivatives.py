"""D-1 to D-4, N-7 and A-9: derivatives through steps, against the rule run on dual numbers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from gmpy2 import mpq

from adamax_conformance.bounds.carried import Carried
from adamax_conformance.bounds.dual import Dual
from adamax_conformance.bounds.oracle import pairs, with_numbers
from adamax_conformance.cases.case import EXTREME, PLAIN, Cases, Data, compare
from adamax_conformance.judging.finding import Finding
from adamax_conformance.spec.alteration import UNALTERED, Alteration
from adamax_conformance.spec.formats import COMPLEX, Format, format_of
from adamax_conformance.subject.backend import Moments, Steps, unvalidated
from adamax_conformance.subject.watched import Watched
from adamax_core import CANONICAL, Hyperparameters

CASES = Cases()
DTYPES = ("float32", "float64")
DECOUPLED = replace(PLAIN, weight_decay=0.5, decoupled_weight_decay=True)
COUPLED_ASCENT = replace(EXTREME, weight_decay=0.5, maximize=True)
DECOUPLED_ASCENT = replace(DECOUPLED, maximize=True)
ARRAYS = ("params", "grads", "exp_avg", "exp_inf")
SCALARS = ("lr", "beta1", "beta2", "eps", "weight_decay")
SCALES = {"float32": (2.0**-100, 2.0**100), "float64": (2.0**-900, 2.0**900)}
"""Scales at which the square of a gradient underflows or overflows, and a slope does not."""


def tangents(
    wrt: str,
    param: Any,
    grads: Sequence[Any],
    saved: Moments,
    hp: Hyperparameters,
    seeded_step: int = 0,
    alteration: Alteration = UNALTERED,
) -> Carried:
    """Return the exact derivative of each element of the last parameter, with its bound.

    Args:
        wrt: one of `WRT`; each element with respect to its own element of an array.
        param: initial parameter.
        grads: its gradients, one for each step; constants.
        saved: moments before the first step.
        hp: hyperparameters, as floats.
        seeded_step: for ``grads``, the step whose gradient is differentiated by.
        alteration: what the rule is altered by.
    """
    format_ = format_of(param.dtype)
    param, grads, saved = (
        pairs(param),
        [*map(pairs, grads)],
        Moments(saved[0], *map(pairs, saved[1:])),
    )

    def of(what: str, values: Any) -> Dual:
        return Dual.of(values, format_, seeded=wrt == what)

    p, m, u = of("params", param), of("exp_avg", saved.exp_avg), of("exp_inf", saved.exp_inf)
    step, numbers = saved.step, _seeded(wrt, hp, format_)
    for index, grad in enumerate(grads):
        g = Dual.of(grad, format_, seeded=wrt == "grads" and index == seeded_step)
        rule, own = alteration.apply(CANONICAL, numbers, first=step == 0, paired=False)
        after = rule(p, g, m, u, step, own)
        p, m, u, step = p + after.update, after.exp_avg, after.exp_inf, after.step
    return p.tangent


def _seeded(wrt: str, hp: Hyperparameters, format_: Format) -> Hyperparameters:
    """Return the hyperparameters as rationals, and the one differentiated by as a dual number."""
    numbers = with_numbers(hp, mpq)
    if wrt not in SCALARS:
        return numbers
    fields: dict[str, Any] = {"lr": numbers.lr, "eps": numbers.eps}
    fields |= {"beta1": numbers.betas[0], "beta2": numbers.betas[1]}
    fields["weight_decay"] = numbers.weight_decay
    fields[wrt] = Dual.of(fields[wrt], format_, seeded=True)
    betas = (fields.pop("beta1"), fields.pop("beta2"))
    return unvalidated(numbers, betas=betas, **fields)  # a dual number is not ordered


def _total(each: Carried) -> Carried:
    """Return the sum of the elements; in any order, each addition rounds once."""
    size = sum(abs(each.value)) + sum(each.error)
    rounding = len(each.value) * each.format.unit * size
    return Carried(np.asarray(sum(each.value)), np.asarray(sum(each.error) + rounding), each.format)


def judge_vjp(backend: Watched, wrt: str, steps: Steps) -> Finding:
    """Compare a backend's derivative with respect to one input with the exact one.

    Raises:
        Violation: names the input, the element, the derivative and the interval.
    """
    params, grads, saved, _, cotangents = steps
    hp = backend.limits.held(steps.hp)
    got = backend.vjp(wrt, steps)

    def expected(name: str, seeded_step: int = 0) -> Carried:
        series = [each[name] for each in grads]
        slope = tangents(
            wrt, params[name], series, saved[name], hp, seeded_step, backend.alteration
        )
        return slope * Carried.of(pairs(cotangents[name]), slope.format)

    if wrt in SCALARS:
        each = [expected(name) for name in params]
        joined = Carried(
            np.concatenate([np.ravel(e.value) for e in each]),
            np.concatenate([np.ravel(e.error) for e in each]),
            each[0].format,
        )
        return compare(f"d/d {wrt}", got, _total(joined))
    found = Finding()
    for name in params:
        for index in range(len(grads) if wrt == "grads" else 1):
            mine = got[index] if wrt == "grads" else got
            what = f"d/d {wrt}[{index}] {name}" if wrt == "grads" else f"d/d {wrt} {name}"
            found += compare(what, pairs(mine[name]), expected(name, index))
    return found


def _judge_each(backend: Watched, inputs: Sequence[str], steps: Steps) -> Finding:
    return sum((judge_vjp(backend, wrt, steps) for wrt in inputs), Finding())


def _smooth(data: Data, hp: Hyperparameters, steps: int = 3) -> Steps:
    """Return steps away from every kink: no zero gradient, no tie."""
    params = {"w": data.normal((6,), 1), "b": data.normal((2, 2), 1)}
    return Steps(
        params,
        [{k: data.normal(p.shape, 1) for k, p in params.items()} for _ in range(steps)],
        {k: Moments(0, np.zeros_like(p), np.zeros_like(p)) for k, p in params.items()},
        hp,
        {k: data.normal(p.shape, 1) for k, p in params.items()},
    )


def _later(data: Data, steps: Steps) -> Steps:
    """Return the same steps from nonzero moments, as after other steps."""
    return steps._replace(
        saved={
            k: Moments(2, data.normal(p.shape, 1), abs(data.normal(p.shape, 1)) + data.array(4.0))
            for k, p in steps.params.items()
        }
    )


def _at(scale: float, data: Data, hp: Hyperparameters) -> Steps:
    """Return a step after others, with gradients, moments, eps and weight decay of this scale.

    Parameters, lr and betas stay at scale one, so each slope is that at scale one times a power.
    """
    steps = _later(data, _smooth(data, hp, 1))
    (grads,) = steps.grads
    # The parameter has had zero gradients only, so its norm is eps.
    once = {k: np.arange(p.size).reshape(p.shape) > 0 for k, p in steps.params.items()}
    return steps._replace(
        grads=[{k: data.array(scale * g * once[k]) for k, g in grads.items()}],
        saved={
            k: Moments(slot.step, *(data.array(scale * each * once[k]) for each in slot[1:]))
            for k, slot in steps.saved.items()
        },
        hp=replace(hp, eps=scale * hp.eps, weight_decay=scale * hp.weight_decay),
    )


def _judge_at_every_scale(backend: Watched, data: Data, inputs: Sequence[str]) -> Finding:
    """Judge the slopes by all inputs; by weight decay if the backend offers it."""
    decays = "weight_decay" in backend.features
    hp = replace(EXTREME, weight_decay=0.5 if decays else 0.0)
    offered = [wrt for wrt in inputs if decays or wrt != "weight_decay"]
    scales = SCALES[data.dtype]
    return sum((_judge_each(backend, offered, _at(x, data, hp)) for x in scales), Finding())


@CASES.case("N-7/derivatives", dtypes=DTYPES, features=["vjp"])
def _(backend: Watched, data: Data) -> Finding:
    """The derivative of m / u by u, as it is printed, squares u, which vanishes or overflows."""
    return _judge_at_every_scale(backend, data, ARRAYS)


@CASES.case("A-9/derivatives", dtypes=COMPLEX, features=["vjp"])
def _(backend: Watched, data: Data) -> Finding:
    """The slope of a pair of reals is the pair of their slopes."""
    decay = 0.5 if "weight_decay" in backend.features else 0.0
    steps = _smooth(data, replace(EXTREME, weight_decay=decay), 2)
    return _judge_each(backend, ("params", "grads", "lr"), steps)


@CASES.case("D-1/params", dtypes=DTYPES, features=["vjp"])
def _(backend: Watched, data: Data) -> Finding:
    """Through three steps: an in-place update of what the graph has saved fails at the second."""
    return judge_vjp(backend, "params", _smooth(data, EXTREME))


@CASES.case("D-1/params-with-decay", dtypes=DTYPES, features=["vjp", "weight_decay"])
def _(backend: Watched, data: Data) -> Finding:
    """Coupled decay makes every later moment depend on the parameter."""
    return judge_vjp(backend, "params", _smooth(data, replace(EXTREME, weight_decay=0.5)))


@CASES.case(
    "D-1/params-with-decoupled-decay", dtypes=DTYPES, features=["vjp", "decoupled_weight_decay"]
)
def _(backend: Watched, data: Data) -> Finding:
    """Decoupled decay reads the parameter before the step, not after it."""
    return judge_vjp(backend, "params", _smooth(data, DECOUPLED))


@CASES.case("D-2/grads", dtypes=DTYPES, features=["vjp"])
def _(backend: Watched, data: Data) -> Finding:
    """Meta-learning differentiates through the gradients: of every step, not only the last."""
    return judge_vjp(backend, "grads", _smooth(data, EXTREME))


@CASES.case("D-2/maximize", dtypes=DTYPES, features=["vjp", "maximize"])
def _(backend: Watched, data: Data) -> Finding:
    """Maximizing negates the derivative with respect to the gradient too."""
    return judge_vjp(backend, "grads", _smooth(data, replace(EXTREME, maximize=True)))


@CASES.case("D-2/after-other-steps", dtypes=["float32"], features=["vjp"])
def _(backend: Watched, data: Data) -> Finding:
    """Every array at once: loaded moments, four steps, sign and coupled decay where offered."""
    hp = replace(
        EXTREME,
        maximize="maximize" in backend.features,
        weight_decay=0.5 if "weight_decay" in backend.features else 0.0,
    )
    steps = _later(data, _smooth(data, hp, 4))
    return _judge_each(backend, ARRAYS, steps)


@CASES.case("D-2/state", dtypes=DTYPES, features=["vjp"])
def _(backend: Watched, data: Data) -> Finding:
    """The moments that a run begins with are inputs as well."""
    steps = _later(data, _smooth(data, EXTREME))
    return _judge_each(backend, ("exp_avg", "exp_inf"), steps)


@CASES.case(
    "D-2/decoupled-ascent",
    dtypes=["float32"],
    features=["vjp", "decoupled_weight_decay", "maximize"],
)
def _(backend: Watched, data: Data) -> Finding:
    """Ascent turns the step round and leaves decoupled decay as it is: in every array's slope."""
    return _judge_each(backend, ARRAYS, _later(data, _smooth(data, DECOUPLED_ASCENT, 2)))


def _add_hyperparameter(name: str) -> None:
    def body(backend: Watched, data: Data) -> Finding:
        hp = replace(EXTREME, weight_decay=0.5 if name == "weight_decay" else 0.0)
        return judge_vjp(backend, name, _smooth(data, hp))

    body.__doc__ = f"Learning {name} by its hypergradient needs the derivative at every step."
    features = ["vjp", "weight_decay"] if name == "weight_decay" else ["vjp"]
    case_id = f"D-3/{name.replace('_', '-')}"
    CASES.case(case_id, dtypes=DTYPES, features=features)(body)


for _name in SCALARS:
    _add_hyperparameter(_name)


@CASES.case("D-3/decoupled-weight-decay", dtypes=DTYPES, features=["vjp", "decoupled_weight_decay"])
def _(backend: Watched, data: Data) -> Finding:
    """With decoupled decay, lr multiplies the decay: both derivatives see the parameter."""
    steps = _smooth(data, DECOUPLED)
    return _judge_each(backend, SCALARS, steps)


@CASES.case("D-3/coupled-ascent", dtypes=DTYPES, features=["vjp", "weight_decay", "maximize"])
def _(backend: Watched, data: Data) -> Finding:
    """The sign comes before the decay, so that the slope of the decay keeps its own."""
    return _judge_each(backend, SCALARS, _later(data, _smooth(data, COUPLED_ASCENT, 2)))


@CASES.case(
    "D-3/decoupled-ascent",
    dtypes=["float32"],
    features=["vjp", "decoupled_weight_decay", "maximize"],
)
def _(backend: Watched, data: Data) -> Finding:
    """The two parts of the step that lr multiplies have signs of their own."""
    return _judge_each(backend, SCALARS, _later(data, _smooth(data, DECOUPLED_ASCENT, 2)))


@CASES.case("D-3/any-scale", dtypes=DTYPES, features=["vjp"])
def _(backend: Watched, data: Data) -> Finding:
    """The slope by lr or a beta does not depend on the size of the gradients, whose square does."""
    return _judge_at_every_scale(backend, data, SCALARS)


@CASES.case("D-3/every-beta1", dtypes=["float64"], features=["vjp"])
def _(backend: Watched, data: Data) -> Finding:
    """Where a formula of the correction gives way to another, and at zero, the slope is one too."""
    steps = _smooth(data, EXTREME, 2)
    betas = ((beta1, 0.5) for beta1 in (0.0, 0.5, 0.9))
    return sum(
        (judge_vjp(backend, "beta1", steps._replace(hp=replace(EXTREME, betas=b))) for b in betas),
        Finding(),
    )


@CASES.case("D-3/at-zero", dtypes=DTYPES, features=["vjp"])
def _(backend: Watched, data: Data) -> Finding:
    """An lr or a decay of zero has a slope: a branch that leaves the term out loses it."""
    modes = [EXTREME] if "weight_decay" in backend.features else []
    if "decoupled_weight_decay" in backend.features:
        modes.append(replace(EXTREME, decoupled_weight_decay=True))
    found = judge_vjp(backend, "lr", _smooth(data, replace(EXTREME, lr=0.0), 2))
    for hp in modes:
        found += judge_vjp(backend, "weight_decay", _smooth(data, hp, 2))
        still = replace(hp, lr=0.0, weight_decay=0.5)
        found += judge_vjp(backend, "lr", _smooth(data, still, 2))
    return found


@CASES.case("D-4/zero-gradient", dtypes=DTYPES, features=["vjp"])
def _(backend: Watched, data: Data) -> Finding:
    """At |0| any slope in [-1, 1] is a subgradient; NaN is none."""
    steps = _smooth(data, EXTREME, 2)
    first, second = steps.grads
    zero = {k: g * 0 for k, g in first.items()}
    found = Finding()
    for grads in ([zero, second], [first, zero]):
        found += _judge_each(backend, ("grads", "params", "eps"), steps._replace(grads=grads))
    return found


@CASES.case("D-4/tie", dtypes=DTYPES, features=["vjp"])
def _(backend: Watched, data: Data) -> Finding:
    """Where beta2 u equals |g| + eps any split of the slope is a subgradient."""
    steps = _smooth(data, EXTREME, 2)
    # beta2 (3 + eps) = 2 with beta2 = 1/2, eps = 1: the second gradient is 1, exactly.
    tied = [{k: p * 0 + data.array(g) for k, p in steps.params.items()} for g in (3.0, 1.0)]
    # Weights of one sign, so that in a sum one element does not make up for another.
    weights = {k: abs(each) for k, each in steps.cotangents.items()}
    steps = steps._replace(grads=tied, cotangents=weights)
    # More inputs in float64 would only add time: some backends compile for each.
    inputs = ("grads", "beta2", "eps", *(["exp_inf"] if data.dtype == "float32" else []))
    return _judge_each(backend, inputs, steps)
