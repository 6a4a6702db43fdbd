"""A-1 to A-10: the lines of the rule, each judged by the quantity that it computes."""

from dataclasses import replace

import numpy as np

from adamax_conformance.cases.case import (
    BOUNDARIES,
    DEFAULT,
    EXTREME,
    LATEST,
    PLAIN,
    Cases,
    Data,
    judge_each,
    judge_late,
    late,
)
from adamax_conformance.judging.finding import Finding
from adamax_conformance.judging.judge import follow, judge, stepwise
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.spec.formats import COMPLEX
from adamax_conformance.subject.backend import Moments
from adamax_conformance.subject.watched import Watched
from adamax_core import Hyperparameters

CASES = Cases()


@CASES.run("A-1/maximize", features=["maximize"], judged=["exp_avg"])
def _(data: Data) -> Run:
    """A backend that ignores `maximize`, or turns the step round and not the moment, shows here."""
    return data.run(replace(PLAIN, maximize=True))


@CASES.run("A-1/ascends", features=["maximize"], judged=["param"])
def _(data: Data) -> Run:
    """Turned round once, not in the gradient and in the step again."""
    return data.run(replace(PLAIN, maximize=True))


@CASES.run("A-2/coupled", features=["weight_decay"], judged=["exp_avg", "exp_inf"])
def _(data: Data) -> Run:
    """Coupled decay goes through both moments; without eps nothing else is in the norm."""
    params = {"w": data.normal((4, 5))}
    grads = [{"w": data.normal((4, 5))} for _ in range(5)]
    return Run(params, grads, replace(EXTREME, weight_decay=0.3, eps=0.0))


@CASES.run("A-2/step", features=["weight_decay"])
def _(data: Data) -> Run:
    """And through them alone: a second decay beside the step shows in the parameter."""
    return data.run(replace(EXTREME, weight_decay=0.5))


@CASES.run("A-2/after-the-sign", features=["maximize", "weight_decay"])
def _(data: Data) -> Run:
    """Negating after the decay would make the decay grow the parameters when maximizing."""
    return data.run(replace(EXTREME, maximize=True, weight_decay=0.5))


@CASES.run("A-2/absent-without-decay", judged=["exp_avg", "exp_inf"])
def _(data: Data) -> Run:
    """Without decay the parameter is not read: 0 * inf would spoil the moments."""
    params = {"w": data.array([np.inf, 1.0, 0.0])}
    return Run(params, [{"w": data.array([1.0, -2.0, 0.5])}] * 2, PLAIN)


@CASES.run("A-3/counts-from-one", judged=["step"])
def _(data: Data) -> Run:
    """The first step is step 1, and each adds one."""
    return data.run(PLAIN, steps=3)


@CASES.run("A-4/two-products", judged=["exp_avg"])
def _(data: Data) -> Run:
    """Unequal betas, so that one taken for the other shows."""
    return data.run(EXTREME)


@CASES.run("A-4/defaults", judged=["exp_avg"])
def _(data: Data) -> Run:
    """1 - 0.9 is where a scalar kept in low precision would show."""
    return data.run(DEFAULT)


@CASES.run("A-4/beta1-near-one", dtypes=["float32", "float64"], judged=["exp_avg"], digits=True)
def _(data: Data) -> Run:
    """The weight is that of the exact beta1: 1 - 0.999 of float32 has lost three digits."""
    return data.run(Hyperparameters(lr=0.125, betas=(0.999, 0.875), eps=2.0**-10))


@CASES.run("A-4/zero-rows", judged=["exp_avg"])
def _(data: Data) -> Run:
    """Rows, and whole arrays, of zero gradients decay their moments as all others do."""
    params = data.params({"w": (6, 3), "b": (5,)})
    full, part = data.grads(params), data.grads(params)
    part["w"][[0, 2, 3]] = 0
    part["w"][:, 1] = 0
    return Run(params, [full, part, {"w": full["w"], "b": full["b"] * 0}, full], PLAIN)


@CASES.run("A-5/eps-inside-the-maximum", judged=["exp_inf"])
def _(data: Data) -> Run:
    """An eps of the size of the gradients tells the dialects apart: outside, in the decay, none."""
    return data.run(EXTREME)


@CASES.run("A-5/decays", judged=["exp_inf"])
def _(data: Data) -> Run:
    """One large gradient, then small ones: the norm falls by beta2 a step, and never below."""
    params = data.params()
    large = {name: data.array(8 + abs(np.asarray(p))) for name, p in params.items()}
    small = {name: data.array(np.full(p.shape, -(2.0**-6))) for name, p in params.items()}
    return Run(params, [large, *[small] * 6], PLAIN)


@CASES.run("A-5/defaults", judged=["exp_inf"])
def _(data: Data) -> Run:
    """Scalars near one: 0.999 in bfloat16 is one, and 1e-8 in float16 is nothing."""
    return data.run(DEFAULT)


@CASES.case("A-5/late", features=["load"])
def _(backend: Watched, data: Data) -> Finding:
    """An eps as large as the gradients does not end in a long run."""
    return judge_late(backend, data, EXTREME, ["exp_inf"])


@CASES.run("A-6/corrects-the-first-moment", judged=["param"])
def _(data: Data) -> Run:
    """No correction, one of beta2, a square root of it, or one of t - 1 shows at once."""
    return data.run(EXTREME, steps=6)


@CASES.run("A-6/defaults", judged=["param"])
def _(data: Data) -> Run:
    """The first step is about lr, ten times what it would be without the correction."""
    params = {"w": data.array(np.zeros(8))}
    grads = [{"w": data.array(np.full(8, g))} for g in (1.0, 0.5, -0.25)]
    return Run(params, grads, DEFAULT)


_SEVERAL = {step for step in range(1, 411) if step <= 20 or min(step % 50, step % 64) < 2}  # noqa: PLR2004 - the first, and those at multiples of 50 and 64


@CASES.run("A-6/many-steps", only=_SEVERAL)
def _(data: Data) -> Run:
    """Hundreds of steps, past 256 and 400, in which the correction still matters."""
    params = {"w": data.array(np.zeros(1))}
    grads = [{"w": data.array([(-1.0) ** (t // 50)])} for t in range(410)]
    return Run(params, grads, Hyperparameters(lr=0.5, betas=(0.99, 0.5), eps=2.0**-10))


@CASES.case("A-6/late", features=["load"])
def _(backend: Watched, data: Data) -> Finding:
    """Deep in a long run: a table that ends, or a correction that is given up too early."""
    trials = (Trial(late(data, step), ["step", "param"]) for step in (15, *BOUNDARIES[:7]))
    return judge_each(backend, trials)


@CASES.case("A-6/latest", features=["load"])
def _(backend: Watched, data: Data) -> Finding:
    """At powers of two and of ten, with a beta1 whose correction lasts."""
    return judge_late(backend, data, LATEST, ["step", "param"])


@CASES.case("A-6/later", features=["load"])
def _(backend: Watched, data: Data) -> Finding:
    """Between them, with a beta1 whose correction lasts: a count that stops, or a short table."""
    return judge(backend, Trial(late(data, 20_000, LATEST), ["step", "param"]))


@CASES.run("A-7/step", judged=["param"])
def _(data: Data) -> Run:
    """Against the moment, by lr m / u and no further eps; with betas of 0 nothing is corrected."""
    return data.run(replace(EXTREME, lr=0.3, betas=(0.0, 0.0)))


@CASES.run("A-7/late", features=["load"], judged=["param"])
def _(data: Data) -> Run:
    """After a thousand steps the correction is one: the step is of the moment, not beyond it."""
    params = {"w": data.array(np.zeros(8))}
    saved = Moments(1000, data.normal((8,), 1), data.array(np.full(8, 8.0)))
    grads = [{"w": data.normal((8,), 1)} for _ in range(3)]
    return Run(params, grads, replace(EXTREME, lr=0.5), saved={"w": saved})


@CASES.run("A-7/small-step-on-large-parameter", judged=["param"])
def _(data: Data) -> Run:
    """The step is rounded with the parameter once: not lost, not rounded to a power of two."""
    params = {"w": data.array(1000 + np.arange(8))}
    hp = replace(PLAIN, betas=(0.0, 0.0))
    return Run(params, [data.grads(params) for _ in range(3)], hp)


@CASES.case("A-7/parameters-given")
def _(backend: Watched, data: Data) -> Finding:
    """The caller clips, averages or restores parameters between steps: no copy of them is kept."""
    # Betas of 0 need no correction, so a wrong one does not matter here.
    hp = replace(PLAIN, betas=(0.0, 0.0))
    run = data.run(hp, steps=1)
    *_, shown = follow(backend, run)
    if backend.takes_runs:
        # The backend gets the whole run at once, so nothing can change between its steps.
        return Finding(sum(param.size for param in shown.params.values()))
    if shown.moments is None:
        return Finding()
    others = {name: data.array(2 - param) for name, param in shown.params.items()}
    further = Run(others, [data.grads(others) for _ in range(2)], hp, saved=shown.moments)
    showing = stepwise(backend, further, shown.state)
    return judge(backend, Trial(further, ["param"]), showing=showing)


@CASES.run("A-8/decoupled", features=["decoupled_weight_decay"])
def _(data: Data) -> Run:
    """The decay is times lr, of the old parameter, and does not reach the moments."""
    hp = replace(EXTREME, lr=0.5, weight_decay=0.5, decoupled_weight_decay=True)
    return data.run(hp)


@CASES.run("A-8/scalars", dtypes=["float32", "float64"], features=["decoupled_weight_decay"])
def _(data: Data) -> Run:
    """An lr and a decay that no format holds, nor their product: kept in fewer digits they show."""
    hp = replace(EXTREME, lr=0.3, weight_decay=0.1, decoupled_weight_decay=True)
    return data.run(hp, steps=2)


@CASES.run("A-8/with-maximize", features=["decoupled_weight_decay", "maximize"])
def _(data: Data) -> Run:
    """Maximizing turns the gradient round, never the decay."""
    hp = replace(PLAIN, weight_decay=0.5, maximize=True, decoupled_weight_decay=True)
    return data.run(hp)


@CASES.run("A-8/without-decay", dtypes=["float32"], features=["decoupled_weight_decay"])
def _(data: Data) -> Run:
    """A decoupled decay of zero is no decay."""
    return data.run(replace(PLAIN, decoupled_weight_decay=True))


@CASES.run("A-9/pairs-of-reals", dtypes=COMPLEX)
def _(data: Data) -> Run:
    """Each part has a norm of its own; the modulus would couple them."""
    return data.run(EXTREME)


@CASES.run("A-9/with-decay", dtypes=COMPLEX, features=["weight_decay", "maximize"])
def _(data: Data) -> Run:
    """Sign and decay act on the parts alike."""
    return data.run(replace(PLAIN, weight_decay=0.25, maximize=True))


@CASES.run("A-9/decoupled", dtypes=COMPLEX, features=["decoupled_weight_decay"])
def _(data: Data) -> Run:
    """And decoupled decay."""
    hp = replace(EXTREME, lr=0.5, weight_decay=0.5, decoupled_weight_decay=True)
    return data.run(hp)


@CASES.run("A-9/missing-and-late", dtypes=COMPLEX)
def _(data: Data) -> Run:
    """A missing gradient is missing in both parts, at first or later."""
    params = data.params()
    w, b = data.grads({"w": params["w"]}), data.grads({"b": params["b"]})
    return Run(params, [w, w | b, b, w | b], PLAIN)


@CASES.run("A-9/special-values", dtypes=COMPLEX)
def _(data: Data) -> Run:
    """NaN or infinity in one part leaves the other alone."""
    params = {"w": data.array([1.0, 1.0 + 1.0j, 1.0j])}
    one = data.array([1.0 + 1.0j, -1.0, 2.0j])
    bad = np.array([complex(np.nan, 1.0), complex(1.0, np.inf), complex(-np.inf, np.nan)])
    return Run(params, [{"w": one}, {"w": data.array(bad)}, {"w": one}], PLAIN)


@CASES.run("A-9/shapes", dtypes=COMPLEX)
def _(data: Data) -> Run:
    """0-d, empty and odd arrays of pairs, with other hyperparameters in each step."""
    shapes: dict[str, tuple[int, ...]] = {"scalar": (), "empty": (0,), "odd": (13,), "box": (2, 3)}
    params = {k: data.normal(s) for k, s in shapes.items()}
    hp = [PLAIN, EXTREME, replace(PLAIN, betas=(0.5, 0.25))]
    return Run(params, [{k: data.normal(s) for k, s in shapes.items()} for _ in hp], hp)


def _late_decay(backend: Watched, data: Data, *, decoupled: bool) -> Finding:
    """Judge two steps with decay at each boundary."""
    hp = replace(PLAIN, weight_decay=0.5, decoupled_weight_decay=decoupled)
    return judge_late(backend, data, hp, params={"w": data.array([8.0, -4.0, 2.0])})


@CASES.case("A-1/late", features=["maximize", "load"])
def _(backend: Watched, data: Data) -> Finding:
    """The sign does not change in a long run."""
    return judge_late(backend, data, replace(PLAIN, maximize=True), ["exp_avg"])


@CASES.case("A-2/late", features=["weight_decay", "load"])
def _(backend: Watched, data: Data) -> Finding:
    """Coupled decay does not end in a long run."""
    return _late_decay(backend, data, decoupled=False)


@CASES.case("A-8/late", features=["decoupled_weight_decay", "load"])
def _(backend: Watched, data: Data) -> Finding:
    """Decoupled decay does not end in a long run."""
    return _late_decay(backend, data, decoupled=True)


@CASES.run("A-10/coupled", features=["undecayed", "weight_decay"])
def _(data: Data) -> Run:
    """An exempt parameter takes the step without decay, not none."""
    return data.run(replace(EXTREME, weight_decay=0.5), undecayed=("b",))


@CASES.run("A-10/decoupled", features=["undecayed", "decoupled_weight_decay"])
def _(data: Data) -> Run:
    """The same for decoupled decay."""
    hp = replace(PLAIN, weight_decay=0.5, decoupled_weight_decay=True)
    return data.run(hp, undecayed=("b",))


@CASES.case("A-10/alike", features=["undecayed", "weight_decay"])
def _(backend: Watched, data: Data) -> Finding:
    """The name alone exempts a parameter: not a part of it, and not the shape."""
    params = {name: data.normal((3,)) for name in ("w", "w.b", "b", "b.w")}
    hp = replace(EXTREME, weight_decay=0.5)
    return judge(backend, Trial(Run(params, [data.grads(params)] * 2, hp, undecayed=("b",))))
