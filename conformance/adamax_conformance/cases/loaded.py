"""S-7 and S-8: states that are loaded, with counts of any size or of another optimizer."""

import numpy as np

from adamax_conformance.cases.case import LATEST, PLAIN, Cases, Data, judge_late
from adamax_conformance.judging.finding import Finding, Violation
from adamax_conformance.judging.run import Run
from adamax_conformance.subject.backend import LostError, Moments
from adamax_conformance.subject.memory import copies
from adamax_conformance.subject.watched import BackendError, Watched

CASES = Cases()


def _long_run(data: Data, step: int) -> Run:
    shape = (5,)
    saved = Moments(step, data.normal(shape, 1), abs(data.normal(shape, 1)) + data.array(0.5))
    params = {"w": data.normal(shape)}
    return Run(params, [data.grads(params) for _ in range(3)], PLAIN, saved={"w": saved})


@CASES.run("S-7/beyond-2-to-the-24", features=["load"])
def _(data: Data) -> Run:
    """A count kept in float32 sticks at 16,777,216."""
    return _long_run(data, 2**24 - 1)


@CASES.run("S-7/up-to-2-to-the-31", features=["load"])
def _(data: Data) -> Run:
    """A count in int32 is exact to 2^31 - 1, where this run ends."""
    return _long_run(data, 2**31 - 4)


@CASES.case("S-7/boundaries", features=["load"])
def _(backend: Watched, data: Data) -> Finding:
    """At powers of two and of ten no line begins anew, and no count ends."""
    return judge_late(backend, data, LATEST)


@CASES.case("S-7/never-wraps", features=["load"])
def _(backend: Watched, data: Data) -> Finding:
    """Past 2^31 - 1 a count may stay there; it may not become negative or start again."""
    run = _long_run(data, 2**31 - 2)
    state, params = run.start(backend), run.params
    for grads in run.grads:
        params, state = backend.step(params, copies(grads), state, PLAIN)
        now = backend.moments(params, state)
        if now is not None and now["w"].step < 2**31 - 1:
            raise Violation(f"w, step: {now['w'].step} comes after {2**31 - 2}")
    if not np.all(np.isfinite(params["w"].astype(np.float64))):
        raise Violation(f"w: {params['w']} after step 2^31 - 1")
    return Finding(5 * len(run.grads))


@CASES.case("S-8/adam", features=["load"])
def _(backend: Watched, data: Data) -> Finding:
    """Adam's second moment is a square: taken for an infinity norm it trains, and wrongly."""
    params = {"w": data.normal((5,))}
    square = data.array(np.full(5, 0.25))
    adam = {"step": 3, "exp_avg": data.normal((5,)), "exp_avg_sq": square}
    try:
        backend.load(params, PLAIN, {"w": adam})
    except BackendError as error:
        if isinstance(error.cause, LostError):
            raise
        # The message of a KeyError of a dict is the bare key.
        bare = isinstance(error.cause, KeyError) and " " not in str(error.cause)
        if bare or not str(error.cause):
            raise Violation(f"Adam's state was refused without saying why: {error}") from error
        return Finding(5)
    raise Violation("state with exp_avg_sq, which is Adam's, was loaded without an error")


@CASES.case("S-8/no-norm", dtypes=["float32"], features=["load"])
def _(backend: Watched, data: Data) -> Finding:
    """Nor is the state of an optimizer that has no norm at all, such as Lion or SGD."""
    params = {"w": data.normal((5,))}
    for slot in (
        {"step": 3, "exp_avg": data.normal((5,))},
        {"step": 3, "momentum_buffer": data.normal((5,))},
    ):
        try:
            backend.load(params, PLAIN, {"w": slot})
        except BackendError as error:
            if isinstance(error.cause, LostError):
                raise
        else:
            raise Violation(f"a state of {', '.join(slot)} was loaded without an error")
    return Finding(10)
