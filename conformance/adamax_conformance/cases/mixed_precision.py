"""S-5, S-6 and S-9 where several dtypes meet: gradients, state and parameters."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from adamax_conformance.cases.arrays import BESIDE
from adamax_conformance.cases.case import DEFAULT, EXTREME, PLAIN, Cases, Data
from adamax_conformance.cases.special import unmoved
from adamax_conformance.cases.state import HALF, modes
from adamax_conformance.judging.finding import Finding, Violation
from adamax_conformance.judging.judge import judge
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.spec.formats import dtype_of, format_of
from adamax_conformance.subject.backend import Arrays, Moments
from adamax_conformance.subject.watched import Watched

CASES = Cases()

GRADIENTS = {
    "float16": ("float32", "bfloat16"),
    "bfloat16": ("float32", "float16"),
    "float32": ("float16", "bfloat16"),
    "float64": ("float32", "float16"),
}
"""Other dtypes of gradients. For parameters below float64 at most float32: a framework may have no
float64, like JAX by default."""


@CASES.case("S-5/other-gradients", reals=True)
def _(backend: Watched, data: Data) -> Finding:
    """Sign and decay are those of every gradient, the two halves crossed as well."""
    found = Finding()
    for dtype in GRADIENTS[data.dtype]:
        for mode in modes(backend):
            run = data.run(replace(PLAIN, **mode), steps=2)
            # Only one of the two parameters: the dtype of a gradient is not that of all.
            grads = [{**each, "b": each["b"].astype(dtype_of(dtype))} for each in run.grads]
            found += judge(backend, Trial(replace(run, grads=grads)))
    return found


@CASES.case("S-5/each-its-own-dtype", beside=BESIDE)
def _(backend: Watched, data: Data) -> Finding:
    """The state of a parameter has the dtype that it has alone, not that of the first."""
    found = Finding()
    other = {"v": data.normal((3,)).astype(dtype_of(BESIDE[data.dtype]))}
    own = {"w": data.normal((3,))}

    def begun(params: Arrays) -> Mapping[str, Moments]:
        return backend.moments(params, backend.init(params, PLAIN)) or {}

    alone = {**begun(own), **begun(other)}
    for name, slot in (each for both in (other | own, own | other) for each in begun(both).items()):
        for what in ("exp_avg", "exp_inf"):
            got, wanted = (getattr(each, what).dtype for each in (slot, alone[name]))
            if got != wanted:
                raise Violation(f"before step 1, {name}, {what}: dtype {got}, alone {wanted}")
        found += Finding(2 * slot.exp_avg.size)
    return found


@CASES.run("S-5/small-eps", dtypes=["bfloat16", "float32", "float64"], reals=True)
def _(data: Data) -> Run:
    """The default eps is nothing in float16, and is not added in the dtype of the gradient."""
    grads = [{"w": np.array(each, np.float16)} for each in ((0.0, 1e-6, 0.0), (0.0, 0.0, 6e-8))]
    return Run({"w": data.array([1.0, 0.0, 0.0])}, grads, DEFAULT)


@CASES.run("S-5/beyond-the-range", dtypes=HALF)
def _(data: Data) -> Run:
    """A wider gradient may exceed the range: its moments are infinite, and the step is about lr."""
    size = {"float16": 2.0**18, "bfloat16": 3.4e38}[data.dtype]
    grad = {"w": np.array([size, -size, 1.0], np.float32)}
    params = {"w": data.array(np.zeros(3))}
    return Run(params, [grad], replace(PLAIN, betas=(0.0, 0.0)))


@CASES.case("S-5/bfloat16-beyond-the-range", dtypes=["float16"], reals=True)
def _(backend: Watched, data: Data) -> Finding:
    """A bfloat16 gradient has the range of float32, and is not converted to float16 first."""
    grad = {"w": np.array([2.0**18, -(2.0**18), 1.0]).astype(dtype_of("bfloat16"))}
    params = {"w": data.array(np.zeros(3))}
    return judge(backend, Trial(Run(params, [grad], replace(PLAIN, betas=(0.0, 0.0)))))


@CASES.case(
    "S-6/decay-in-all-digits",
    dtypes=HALF,
    features=["state_dtype", "weight_decay"],
    reals=True,
)
def _(backend: Watched, data: Data) -> Finding:
    """A state with more digits than the parameter shows those of gradient, decay and product."""
    params, found = {"w": data.normal((20,))}, Finding()
    for dtype in (data.dtype, *GRADIENTS[data.dtype]):
        grad = {"w": np.array(data.uniform(-2, 2, 20)).astype(dtype_of(dtype))}
        run = Run(params, [grad] * 2, replace(PLAIN, weight_decay=0.3), state_dtype="float32")
        found += judge(backend, Trial(run))
    return found


@CASES.case("S-6/narrower", dtypes=["float32", "float64"], features=["state_dtype"])
def _(backend: Watched, data: Data) -> Finding:
    """Moments narrower than their parameter are rounded when stored, and not before."""
    found = Finding()
    zero = {"w": data.array([0.0, 0.0]), "b": data.array([1.0])}
    for asked in (*HALF, *(["float32"] if data.dtype == "float64" else [])):
        still = Run(zero, [{k: p * 0 for k, p in zero.items()}] * 2, DEFAULT, state_dtype=asked)
        found += judge(backend, Trial(data.run(EXTREME, steps=3, state_dtype=asked)))
        found += judge(backend, Trial(still), also=unmoved)
    return found


@CASES.case("S-6/gradient-as-it-is", dtypes=["float32", "float64"], features=["state_dtype"])
def _(backend: Watched, data: Data) -> Finding:
    """A gradient keeps its digits and its range, whatever the state is rounded to."""
    found = Finding()
    for asked in (*HALF, *(["float32"] if data.dtype == "float64" else [])):
        size = 4 * float(format_of(asked).largest)
        large = data.array([size, -size, 1.0] if np.isfinite(data.array(size)) else [1.0])
        # Just below one a rounding is half of what it is just above, where eps takes the norm.
        near = data.array(data.uniform(0.97, 0.999, 32))
        hp = replace(EXTREME, betas=(0.0, 0.0), eps=2.0**-5)
        for grad in (near, large):
            run = Run({"w": grad * 0}, [{"w": grad}], hp, state_dtype=asked)
            found += judge(backend, Trial(run))
    return found


@CASES.run("S-9/narrowest-dtype-first", beside=BESIDE)
def _(data: Data) -> Run:
    """The dtype of the first parameter is its own, and not that of all that follow."""
    both = (dtype_of(data.dtype), dtype_of(BESIDE[data.dtype]))
    narrow, wide = sorted(both, key=lambda dtype: int(dtype.itemsize))

    def arrays() -> dict[str, Any]:
        return {
            name: np.array(data.uniform(-2, 2, 12)).astype(dtype)
            for name, dtype in (("first", narrow), ("second", wide))
        }

    return Run(arrays(), [arrays(), arrays()], PLAIN)


@CASES.run("N-2/beyond-the-range")
def _(data: Data) -> Run:
    """What exceeds the range of the storage format is infinite, not the largest finite number."""
    large = data.largest
    params = {"w": data.array(large * np.array([0.75, -0.75, 0.5])), "b": data.array([0.0])}
    w = data.array([-1.0, 1.0, -0.5])
    grads = [{"w": w, "b": data.array([0.0])}, {"w": w, "b": data.array([0.75 * large])}]
    hp = replace(PLAIN, betas=(0.0, 0.0))
    # A large lr for the parameter, then a large eps for the norm alone.
    hps = [replace(hp, lr=0.5 * large), replace(hp, lr=0.0, eps=0.75 * large)]
    return Run(params, grads, hps)
