"""S-9 and S-10: arrays of every shape and layout, and gradients that do not fit."""

from dataclasses import replace
from typing import Any

import numpy as np

from adamax_conformance.cases.alike import require_alike, require_kept
from adamax_conformance.cases.case import PLAIN, Cases, Data
from adamax_conformance.judging.finding import Finding, NotJudged, Violation
from adamax_conformance.judging.judge import follow
from adamax_conformance.judging.run import Run
from adamax_conformance.spec.formats import FLOATS, dtype_of
from adamax_conformance.subject.backend import Arrays, LostError, SparseGradient
from adamax_conformance.subject.memory import copies
from adamax_conformance.subject.watched import BackendError, MalformedError, Watched

CASES = Cases()
BESIDE = {"float16": "float32", "bfloat16": "float32", "float32": "float16", "float64": "float32"}


@CASES.run("S-9/any-order", dtypes=["float32"])
def _(data: Data) -> Run:
    """Gradients belong to parameters by name, in whatever order they come."""
    params = data.params({"w": (3,), "w.b": (3,), "a": (3,)})
    grads = [data.grads(params) for _ in range(2)]
    return Run(params, [dict(reversed(each.items())) for each in grads], PLAIN)


@CASES.run("S-9/shapes")
def _(data: Data) -> Run:
    """Scalars, empty arrays, one element, and lengths that no vector width divides."""
    shapes: dict[str, tuple[int, ...]] = {
        "scalar": (), "empty": (0,), "hollow": (3, 0, 2), "one": (1,), "odd": (13,),
        "box": (2, 3, 5), "deep": (1, 2, 1, 2),
    }  # fmt: skip
    params = {k: data.normal(s) for k, s in shapes.items()}
    return Run(params, [{k: data.normal(s) for k, s in shapes.items()} for _ in range(2)], PLAIN)


@CASES.run("S-9/not-contiguous")
def _(data: Data) -> Run:
    """Transposed and strided arrays are the numbers that they show, not the memory behind them."""
    params = {"t": data.normal((4, 3)).T, "s": data.normal((11,))[::2]}
    grads = [{"t": data.normal((4, 3)).T, "s": data.normal((11,))[::2]} for _ in range(2)]
    return Run(params, grads, PLAIN)


@CASES.run("S-9/layouts-differ", dtypes=["float32"])
def _(data: Data) -> Run:
    """A gradient lies as the backward pass left it, not as its parameter does."""
    shape = (3, 4, 5)
    params = {name: data.normal(shape) for name in ("turned", "plain", "gaps")}
    params["turned"] = data.normal((5, 3, 4)).transpose(1, 2, 0)

    def grads() -> dict[str, Any]:
        return {
            "turned": data.normal(shape),
            "plain": data.normal((4, 5, 3)).transpose(2, 0, 1),
            "gaps": data.normal((3, 4, 10))[..., ::2],
        }

    return Run(params, [grads() for _ in range(2)], PLAIN)


@CASES.run("S-9/mixed-dtypes", beside=BESIDE)
def _(data: Data) -> Run:
    """Parameters of several dtypes, as in mixed precision, each stepped in its own."""
    other = dtype_of(BESIDE[data.dtype])
    params = data.params() | {"norm": data.normal((5,)).astype(other)}
    grads = [data.grads(params) | {"norm": data.normal((5,)).astype(other)} for _ in range(2)]
    return Run(params, grads, PLAIN)


_SHAPES: dict[str, tuple[int, ...]] = {
    "a": (3,), "w": (4,), "m": (2, 3), "c": (4, 1), "s": (), "o": (1,), "r": (2, 3, 4), "e": (0, 3),
}  # fmt: skip
_MISFITS: dict[str, list[tuple[int, ...]]] = {
    "w": [(1,), (), (3,), (5,), (2, 2), (4, 1), (1, 4), (0,)],
    "m": [(3, 2), (6,), (2, 3, 1), (1, 2, 3), (2, 1), (1, 3), (3,), (1, 6)],
    "c": [(4,), (1, 4), (4, 2), (1, 1)],
    "s": [(1,), (1, 1)],
    "o": [(), (1, 1), (2,)],
    "r": [(2, 4, 3), (3, 2, 4)],
    "e": [(3,), (3, 0), (0,), (1, 3)],
}
"""Shapes that broadcast, have the same number of elements, or differ by axes of one, in one axis,
or in their order; and those without any element."""


def _refused(backend: Watched, data: Data, grad: Any, what: str, name: str = "w") -> Finding:
    """Check that a step is refused."""
    params, state = _begun(backend, data)
    _refuse(backend, params, {**data.grads(params), name: grad}, state, what)
    return Finding(sum(param.size for param in params.values()))


def _begun(backend: Watched, data: Data) -> tuple[Arrays, Any]:
    """Return parameters and state after one step."""
    params: Arrays = {key: data.normal(shape) for key, shape in _SHAPES.items()}
    return backend.step(params, data.grads(params), backend.init(params, PLAIN), PLAIN)


def _refuse(backend: Watched, params: Arrays, grads: Arrays, state: Any, what: str) -> None:
    try:
        backend.step(params, grads, state, PLAIN)
    except MalformedError as error:
        raise Violation(f"{what} was accepted, and then {error}") from error
    except BackendError as error:
        if isinstance(error.cause, LostError):
            raise
    else:
        raise Violation(f"{what} was accepted")


@CASES.case("S-10/shape")
def _(backend: Watched, data: Data) -> Finding:
    """A gradient that would broadcast, or be squeezed or turned, is a mistake of the caller's."""
    found = Finding()
    for name, misfits in _MISFITS.items():
        for shape in misfits:
            what = f"a gradient of shape {shape} for {_SHAPES[name]}"
            found += _refused(backend, data, data.normal(shape), what, name)
    return found


@CASES.case("S-10/kind", reals=True)
def _(backend: Watched, data: Data) -> Finding:
    """A complex gradient would lose its imaginary part; integers are another kind of number too."""
    found = Finding()
    for dtype in (np.complex64, np.int64, np.bool_):
        grad = np.array([1, 0, 3, 4]).astype(dtype)
        found += _refused(backend, data, grad, f"a gradient of {grad.dtype} for {data.dtype}")
    return found


@CASES.case("S-10/real-for-complex", dtypes=["complex64"])
def _(backend: Watched, data: Data) -> Finding:
    """Whether the imaginary part is zero or missing is for the caller to say."""
    return _refused(
        backend, data, np.ones(4, np.float32), "a real gradient for a complex parameter"
    )


@CASES.case("S-10/sparse", features=["sparse"], dtypes=["float32", "float64"])
def _(backend: Watched, data: Data) -> Finding:
    """Frameworks disagree on which rows a sparse gradient moves; the specification moves none."""
    grad = SparseGradient(np.array([0, 2]), data.array([1.0, -1.0]), (4,))
    return _refused(backend, data, grad, "a sparse gradient")


@CASES.case("S-10/atomic", dtypes=[*FLOATS, "complex64"], reals=True)
def _(backend: Watched, data: Data) -> Finding:
    """Refused after the parameters before it have taken their step, it is too late."""
    found = Finding()
    other = np.float32 if data.dtype == "complex64" else np.complex64
    for grad in (data.normal((3,)), np.array([1, 0, 3, 4], other)):
        what = f"a gradient of {grad.dtype} {grad.shape} for {data.dtype} (4,)"
        found += _unchanged_by_refusal(backend, data, grad, what)
    return found


def _unchanged_by_refusal(backend: Watched, data: Data, grad: Any, what: str) -> Finding:
    """Check that after a refusal state and next step are those of a run without it."""
    run = Run({"a": data.normal((3,)), "w": data.normal((4,))}, [], PLAIN)
    run = replace(run, grads=[data.grads(run.params) for _ in range(2)])
    undisturbed = [shown.params for shown in follow(backend, run)]
    first, second = run.grads
    params, state = backend.step(run.params, copies(first), run.start(backend), PLAIN)
    before = backend.moments(params, state)
    try:
        _refuse(backend, params, {**copies(second), "w": grad}, state, what)
    except Violation as accepted:
        raise NotJudged(str(accepted)) from accepted
    require_kept(before, backend.moments(params, state), f"when {what} was refused")
    stepped, _ = backend.step(params, copies(second), state, PLAIN)
    what = f"after {what} was refused, not as without that"
    return require_alike(backend, run, undisturbed, [run.params, params, stepped], what)
