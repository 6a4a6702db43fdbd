"""S-9 and S-10: arrays of every shape and layout, and gradients that do not fit."""

from typing import Any

import numpy as np

from adamax_conformance.cases.case import PLAIN, Cases, Data, require_kept
from adamax_conformance.judging.finding import Finding, Violation
from adamax_conformance.judging.run import Run
from adamax_conformance.spec.formats import FLOATS, dtype_of
from adamax_conformance.subject.backend import LostError, SparseGradient
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


@CASES.run("S-9/long")
def _(data: Data) -> Run:
    """Beyond any vector register, unrolled loop or small buffer; the tail is judged as the rest."""
    params = {"w": data.array(np.zeros(1037))}
    return Run(params, [{"w": data.normal((1037,))} for _ in range(2)], PLAIN)


@CASES.run("S-9/longer", dtypes=["float32"])
def _(data: Data) -> Run:
    """Beyond a chunk of 2^16 elements, which is also what 16 bits can index."""
    size = 2**16 + 5
    # Repeat a few numbers, with a period that is not a power of two, so that few need bounds.
    param, grad = (np.resize(data.normal((61,), 1), size) for _ in range(2))
    return Run({"w": param}, [{"w": grad}], PLAIN)


@CASES.run("S-9/many")
def _(data: Data) -> Run:
    """More tensors than anything is unrolled for."""
    params = {f"w{i}": data.normal((3,)) for i in range(20)}
    return Run(params, [data.grads(params) for _ in range(2)], PLAIN)


@CASES.run("S-9/more", dtypes=["float32"])
def _(data: Data) -> Run:
    """More tensors than the table has that a kernel for many of them is launched with: 110."""
    params = {f"w{i}": data.normal((1 + i % 3,)) for i in range(130)}
    return Run(params, [data.grads(params)], PLAIN)


@CASES.run("S-9/mixed-dtypes", beside=BESIDE)
def _(data: Data) -> Run:
    """Parameters of several dtypes, as in mixed precision, each stepped in its own."""
    other = dtype_of(BESIDE[data.dtype])
    params = data.params() | {"norm": data.normal((5,)).astype(other)}
    grads = [data.grads(params) | {"norm": data.normal((5,)).astype(other)} for _ in range(2)]
    return Run(params, grads, PLAIN)


def _refused(backend: Watched, data: Data, grad: Any, what: str) -> Finding:
    """Check that a step is refused, and that the state after the error is that before it."""
    params = {"a": data.normal((3,)), "w": data.normal((4,))}
    state = backend.init(params, PLAIN)
    params, state = backend.step(params, data.grads(params), state, PLAIN)
    before = backend.moments(params, state)
    grads = {"a": data.normal((3,)), "w": grad}
    try:
        backend.step(params, grads, state, PLAIN)
    except MalformedError as error:
        raise Violation(f"{what} was accepted, and then {error}") from error
    except BackendError as error:
        if isinstance(error.cause, LostError):
            raise
    else:
        raise Violation(f"{what} was accepted")
    require_kept(before, backend.moments(params, state), what)
    return Finding(7)


@CASES.case("S-10/shape")
def _(backend: Watched, data: Data) -> Finding:
    """A gradient that would broadcast is a mistake of the caller's."""
    found = Finding()
    for shape in ((1,), (), (3,), (2, 2), (4, 1)):
        found += _refused(
            backend, data, data.normal(shape), f"a gradient of shape {shape} for (4,)"
        )
    return found


@CASES.case("S-10/kind", dtypes=FLOATS)
def _(backend: Watched, data: Data) -> Finding:
    """A complex gradient for a real parameter would lose its imaginary part; integers are none."""
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
