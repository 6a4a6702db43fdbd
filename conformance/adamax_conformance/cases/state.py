"""S-1 to S-8: what the optimizer remembers, whose state it refuses, and what it leaves alone."""

from dataclasses import replace
from typing import Any

import numpy as np

from adamax_conformance.bounds.oracle import QUANTITIES, pairs
from adamax_conformance.cases.alike import require_alike, require_kept
from adamax_conformance.cases.case import EXTREME, PLAIN, Cases, Data
from adamax_conformance.judging.extent import change
from adamax_conformance.judging.finding import Finding, Violation, element
from adamax_conformance.judging.judge import follow, judge
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.spec.formats import DTYPES, WITH_COMPLEX, dtype_of
from adamax_conformance.subject.backend import Arrays, Moments
from adamax_conformance.subject.memory import copies
from adamax_conformance.subject.watched import Watched
from adamax_core import Hyperparameters

CASES = Cases()
HALF = ("float16", "bfloat16")


@CASES.case("S-1/zero", dtypes=DTYPES)
def _(backend: Watched, data: Data) -> Finding:
    """A state that starts anywhere else is another optimizer for thousands of steps."""
    run = data.run(EXTREME, steps=1)
    if backend.moments(run.params, backend.init(run.params, run.at(0))) is None:
        return judge(backend, Trial(run))
    single = Run(data.params({"s": (), "o": (1, 1)}), [], PLAIN)
    return _begins_at_zero(backend, run) + _begins_at_zero(backend, single)


def _begins_at_zero(backend: Watched, run: Run) -> Finding:
    elements = 0
    for name, slot in (backend.moments(run.params, run.start(backend)) or {}).items():
        if slot.step != 0:
            raise Violation(f"before step 1, {name}, step: got {slot.step}, must be 0")
        for what in ("exp_avg", "exp_inf"):
            array = getattr(slot, what)
            elements += array.size
            initial = backend.alteration.initial_norm(run.at(0)) if what == "exp_inf" else 0
            if np.any(array != 0) and np.any(pairs(array) != initial):
                raise Violation(
                    f"before step 1, {name}, {what}: must be all {initial:g}, got {array}"
                )
    return Finding(elements)


@CASES.case("S-1/each-its-own", dtypes=["float32"])
def _(backend: Watched, data: Data) -> Finding:
    """Two optimizers at once, step by step in turn and not looked at, go as they go alone."""
    runs = [data.run(PLAIN, steps=3), data.run(EXTREME, steps=3)]
    alone = [[shown.params for shown in follow(backend, run)] for run in runs]
    if backend.takes_runs:
        # The backend gets whole runs, one after the other, so they cannot interleave.
        return Finding(sum(param.size for each in alone for param in each[-1].values()))
    states = [run.start(backend) for run in runs]
    beside: list[list[Arrays]] = [[run.params] for run in runs]
    for index in range(3):
        for i, run in enumerate(runs):
            grads = copies(run.grads[index])
            params, states[i] = backend.step(beside[i][-1], grads, states[i], run.at(index))
            beside[i].append(params)
    each = zip(runs, alone, beside, strict=True)
    what = "beside another optimizer, not as alone"
    return sum((require_alike(backend, *one, what) for one in each), Finding())


@CASES.run("S-2/missing-once", judged=QUANTITIES)
def _(data: Data) -> Run:
    """A missing gradient is not a zero one: moments and count do not decay, weights do not move."""
    params = data.params()
    full, part = data.grads(params), data.grads({"w": params["w"]})
    return Run(params, [full, part, full], EXTREME)


@CASES.run("S-2/missing-with-decay", features=["weight_decay"], judged=QUANTITIES)
def _(data: Data) -> Run:
    """Weight decay alone does not move a parameter that has no gradient."""
    params = data.params()
    return Run(params, [data.grads({"w": params["w"]})] * 2, replace(PLAIN, weight_decay=0.5))


@CASES.run(
    "S-2/missing-with-decoupled-decay", features=["decoupled_weight_decay"], judged=QUANTITIES
)
def _(data: Data) -> Run:
    """Nor does decoupled decay, which reads no gradient at all."""
    params = data.params()
    hp = replace(PLAIN, weight_decay=0.5, decoupled_weight_decay=True)
    return Run(params, [data.grads({"w": params["w"]})] * 2, hp)


@CASES.run("S-2/all-missing", judged=QUANTITIES)
def _(data: Data) -> Run:
    """A step in which nothing has a gradient is a step of nothing."""
    params = data.params()
    return Run(params, [data.grads(params), {}, data.grads(params)], PLAIN)


@CASES.run("S-3/late-first-gradient", judged=["step", "param"])
def _(data: Data) -> Run:
    """A parameter whose first gradient comes at the second call takes its own first step then."""
    params = {"w": data.array([1.0, 0.0, -2.0]), "b": data.array([1.0, 0.0])}
    w, b = data.array([1.0, 0.5, -1.0]), data.array([1.0, -1.0])
    return Run(params, [{"w": w}, {"w": w, "b": b}, {"b": b}], replace(PLAIN, lr=0.1))


@CASES.run("S-3/step-of-nothing", judged=["step", "param"])
def _(data: Data) -> Run:
    """Without any gradient nothing steps, and so nothing counts."""
    params = data.params()
    return Run(params, [data.grads(params), {}, {}, data.grads(params)], PLAIN)


@CASES.run("S-3/loaded-counts", dtypes=["float32"], features=["load"])
def _(data: Data) -> Run:
    """Counts that differ when they are loaded stay what they are, each its own."""
    params = data.params()
    saved = {
        name: Moments(step, param * 0, abs(param) + data.array(1.0))
        for (name, param), step in zip(params.items(), (4, 0), strict=True)
    }
    return Run(params, [data.grads(params) for _ in range(2)], PLAIN, saved=saved)


@CASES.case("S-4/unchanged", dtypes=WITH_COMPLEX)
def _(backend: Watched, data: Data) -> Finding:
    """Gradients are read by others after the step: clipping, logging, a second optimizer."""
    runs = (data.run(replace(PLAIN, **mode), 2) for mode in modes(backend))
    return sum((_unchanged(backend, run) for run in runs), Finding())


def modes(backend: Watched) -> list[dict[str, Any]]:
    """Return hyperparameters for each mode of sign and decay that the backend offers."""
    found: list[dict[str, Any]] = [{}]
    if "weight_decay" in backend.features:
        found.append({"weight_decay": 0.5, "maximize": "maximize" in backend.features})
    if "decoupled_weight_decay" in backend.features:
        found.append({"weight_decay": 0.5, "decoupled_weight_decay": True})
    return found


def _unchanged(backend: Watched, run: Run) -> Finding:
    """Check after every step that all gradients given so far are unchanged."""
    state, params, elements = backend.init(run.params, run.at(0)), run.params, 0
    seen = []
    for index, grads in enumerate(run.grads):
        given = copies(grads)
        seen += [(name, given[name], grad) for name, grad in grads.items()]
        params, state = backend.step(params, given, state, run.at(index))
        for name, now, grad in seen:
            elements += grad.size
            if found := change(grad, now):
                raise Violation(
                    f"step {index + 1}, {element(name, found.index)}: the gradient {found.was} was "
                    f"changed to {found.now}; {found.within(name)}"
                )
    return Finding(elements)


@CASES.case("S-4/not-kept", dtypes=WITH_COMPLEX)
def _(backend: Watched, data: Data) -> Finding:
    """The caller writes the next gradient into the same memory: no step holds on to the last."""
    return _not_kept(backend, data.run(PLAIN, steps=3))


@CASES.case("S-4/not-kept-without-memory", dtypes=WITH_COMPLEX)
def _(backend: Watched, data: Data) -> Finding:
    """With beta1 = 0 the first moment equals the gradient, and is a copy of it all the same."""
    return _not_kept(backend, data.run(replace(PLAIN, betas=(0.0, 0.875)), steps=2))


def _not_kept(backend: Watched, run: Run) -> Finding:
    undisturbed = [shown.params for shown in follow(backend, run)]
    state, written = run.start(backend), [run.params]
    for index, grads in enumerate(run.grads):
        given = copies(grads)
        params, state = backend.step(written[-1], given, state, run.at(index))
        written.append(params)
        before = backend.moments(params, state)
        for grad in given.values():
            grad[...] = np.nan
        what = f"step {index + 1}: when the memory of the gradient was written again"
        require_kept(before, backend.moments(params, state), what)
    what = "where the memory of the gradient was written again, not as without that"
    return require_alike(backend, run, undisturbed, written, what)


def _same_dtypes(backend: Watched, run: Run, dtype: Any = None) -> Finding:
    """Run, and compare the dtype of the state after each step with `dtype`, or with its first."""
    state, params = run.start(backend), run.params
    elements = 0
    for index, grads in enumerate([None, *run.grads]):
        if grads is not None:
            # Every step of every case checks the dtype of the parameters.
            params, state = backend.step(params, copies(grads), state, run.at(index - 1))
            elements += sum(param.size for param in params.values())
        for name, slot in (backend.moments(params, state) or {}).items():
            for what in ("exp_avg", "exp_inf"):
                elements += getattr(slot, what).size
                got = getattr(slot, what).dtype
                dtype = got if dtype is None else dtype
                if got != dtype:
                    raise Violation(
                        f"after step {index}, {name}, {what}: dtype {got}, must stay {dtype}"
                    )
    return Finding(elements)


@CASES.case("S-5/dtypes-stay", dtypes=WITH_COMPLEX)
def _(backend: Watched, data: Data) -> Finding:
    """A state that changes its dtype after the first step breaks loops and doubles memory."""
    return _same_dtypes(backend, data.run(PLAIN, steps=2))


@CASES.case("S-5/float32-gradients", dtypes=HALF)
def _(backend: Watched, data: Data) -> Finding:
    """Gradients accumulated in float32 for half precision parameters promote nothing."""
    return _promotes_nothing(backend, with_gradients(data, np.float32))


@CASES.run("S-5/not-rounded-first", dtypes=HALF)
def _(data: Data) -> Run:
    """A gradient with more digits than its parameter keeps them until the result is stored.

    Just below one a rounding is half of what it is just above, where eps takes the norm.
    """
    grad = np.array(data.uniform(0.97, 0.999, 32), np.float32)
    return Run({"w": data.array(np.zeros(32))}, [{"w": grad}], replace(EXTREME, eps=2.0**-5))


@CASES.case("S-5/float16-gradients", dtypes=["float32", "float64"], reals=True)
def _(backend: Watched, data: Data) -> Finding:
    """Gradients of a model that runs in half precision, for the float32 copy of its weights."""
    return _promotes_nothing(backend, with_gradients(data, np.float16))


@CASES.case("S-5/float64-gradients", dtypes=[*HALF, "float32"], reals=True)
def _(backend: Watched, data: Data) -> Finding:
    """Gradients from NumPy, which makes float64 of everything; these fit the narrower format."""
    return _promotes_nothing(backend, with_gradients(data, np.float64))


def with_gradients(data: Data, dtype: Any) -> Run:
    """Return a run of two steps whose gradients have a dtype of their own."""
    run = data.run(PLAIN, steps=2)
    return replace(run, grads=[{k: g.astype(dtype) for k, g in each.items()} for each in run.grads])


def _promotes_nothing(backend: Watched, run: Run) -> Finding:
    return _same_dtypes(backend, run) + judge(backend, Trial(run))


@CASES.run("S-6/state-in-float32", dtypes=HALF, features=["state_dtype"])
def _(data: Data) -> Run:
    """In half precision 0.999 u rounds back to u; a float32 state decays as it should."""
    params = {"w": data.array([1.0, 0.0, -3.0])}
    one, small = data.array([1.0, 1.0, -1.0]), data.array([1e-3, -1e-3, 1e-3])
    hp = Hyperparameters(eps=2.0**-20)
    return Run(params, [{"w": one}, *[{"w": small}] * 6], hp, state_dtype="float32")


@CASES.run("S-6/with-decay", dtypes=HALF, features=["state_dtype", "weight_decay", "maximize"])
def _(data: Data) -> Run:
    """Another dtype for the state is another dtype, and nothing else."""
    params = data.params()
    grads = [data.grads(params), data.grads({"w": params["w"]}), data.grads(params)]
    hp = replace(PLAIN, weight_decay=0.5, maximize=True)
    return Run(params, grads, hp, state_dtype="float32")


@CASES.case("S-6/dtype", features=["state_dtype"])
def _(backend: Watched, data: Data) -> Finding:
    """The state begins at zero in the dtype asked for and keeps it, narrower ones too."""
    # Parameters exempt from decay may form a separate group.
    exempt = ("b",) if "undecayed" in backend.features else ()
    finding = Finding()
    # Some backends lack 64 bits for narrower parameters, or mixed arithmetic of the two halves.
    others = ("float32",) if data.dtype in HALF else ("float16", "bfloat16", "float32")
    for asked in (dtype for dtype in others if dtype != data.dtype):
        run = data.run(PLAIN, steps=2, state_dtype=asked, undecayed=exempt)
        finding += _begins_at_zero(backend, run) + _same_dtypes(backend, run, dtype_of(asked))
    return finding
