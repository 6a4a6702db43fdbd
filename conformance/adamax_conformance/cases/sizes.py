"""S-9: arrays of every size, number, rank, stride and name."""

from typing import Any

import numpy as np

from adamax_conformance.cases.case import PLAIN, Cases, Data
from adamax_conformance.judging.finding import Finding
from adamax_conformance.judging.judge import follow, judge, stepwise
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.subject.backend import Moments
from adamax_conformance.subject.watched import Watched

CASES = Cases()


def _repeated(data: Data, size: int, period: int) -> Any:
    """Draw a few numbers and repeat them; with no period of a power of two, and few bounds."""
    return np.resize(data.normal((period,), 1), size)


@CASES.run("S-9/blocks")
def _(data: Data) -> Run:
    """Multiples of every block from 4 to 1024, one less and one more: the ends of a vector loop."""
    sizes = [size + more for size in (2**k for k in range(2, 11)) for more in (-1, 0, 1)]
    params = {f"w{size}": _repeated(data, size, 13) for size in dict.fromkeys(sizes)}
    grads = [{name: _repeated(data, p.size, 13) for name, p in params.items()} for _ in range(2)]
    return Run(params, grads, PLAIN)


@CASES.run("S-9/long")
def _(data: Data) -> Run:
    """Beyond any vector register, unrolled loop or small buffer; the tail is judged as the rest.

    A quarter of the gradients is zero: the moments decay there all the same.
    """
    params = {"w": data.array(np.zeros(1037))}
    return Run(params, [data.grads(params) for _ in range(2)], PLAIN)


@CASES.run("S-9/longer")
def _(data: Data) -> Run:
    """Beyond chunks of 2^16 and 2^17, and what 16 bits can index; and whole blocks alone."""
    param, grad = (_repeated(data, 2**17 + 5, 61) for _ in range(2))
    whole = slice(2**13)
    return Run({"w": param, "v": param[whole]}, [{"w": grad, "v": grad[whole]}], PLAIN)


@CASES.run("S-9/many")
def _(data: Data) -> Run:
    """More tensors than anything is unrolled for."""
    params = {f"w{i}": data.normal((3,)) for i in range(20)}
    return Run(params, [data.grads(params) for _ in range(2)], PLAIN)


@CASES.run("S-9/more")
def _(data: Data) -> Run:
    """More tensors than a table of 110, which a kernel is launched with, or a byte can count."""
    param, grad = (data.normal((15,), 1) for _ in range(2))
    each = {f"w{i}": slice(i % 13, i % 13 + 1 + i % 13 % 3) for i in range(300)}
    params = {name: param[part] for name, part in each.items()}
    return Run(params, [{name: grad[part] for name, part in each.items()}], PLAIN)


@CASES.run("S-9/alike")
def _(data: Data) -> Run:
    """Parameters of one shape, of no axis, of many axes, and with names that begin or end alike."""
    shapes: dict[str, tuple[int, ...]] = {
        "scale": (), "scale2": (), "1.scale": (),
        "weight": (2, 3), "1.weight": (2, 3), "11.weight": (2, 3), "1.weight.1": (2, 3),
        "deep": (2, 1, 3, 1, 2), "deeper": (2, 1, 1, 2, 1, 2, 2),
    }  # fmt: skip
    params = data.params(shapes)
    return Run(params, [data.grads(params) for _ in range(2)], PLAIN)


@CASES.run("S-9/repeated")
def _(data: Data) -> Run:
    """A gradient that was expanded, as that of a sum is: its strides are zero."""
    params = {"w": data.normal((3, 4)), "rows": data.normal((3, 4)), "b": data.normal((5,))}

    def grads() -> dict[str, Any]:
        column, row, one = data.normal((3, 1)), data.normal((4,)), data.normal(())
        return {
            name: np.broadcast_to(array, params[name].shape)
            for name, array in (("w", column), ("rows", row), ("b", one))
        }

    return Run(params, [grads(), grads()], PLAIN)


@CASES.run("S-9/backwards")
def _(data: Data) -> Run:
    """Strides below zero; where a framework has no such arrays, its glue passes a copy."""

    def turned() -> dict[str, Any]:
        return {"b": data.normal((7,))[::-1], "w": data.normal((3, 4))[::-1, ::-1]}

    def plain() -> dict[str, Any]:
        return {"b": data.normal((7,)), "w": data.normal((3, 4))}

    return Run(turned(), [plain(), turned(), turned()], PLAIN)


@CASES.case("S-9/order-changes")
def _(backend: Watched, data: Data) -> Finding:
    """Parameters are known by their names, whatever their order was at the start."""
    shapes: dict[str, tuple[int, ...]] = {"w": (3,), "a": (3,), "b": (3,), "w.b": (3,)}
    params = data.params(shapes)
    run = Run(params, [data.grads(params)], PLAIN)
    *_, shown = follow(backend, run)
    if backend.takes_runs:
        # The backend gets the whole run at once, with one order of its parameters.
        return Finding(sum(param.size for param in shown.params.values()))
    if shown.moments is None:
        return Finding()
    turned = {name: shown.params[name] for name in reversed([*shown.params])}
    further = Run(turned, [data.grads(params) for _ in range(2)], PLAIN, saved=shown.moments)
    showing = stepwise(backend, further, shown.state)
    return judge(backend, Trial(further), showing=showing)


@CASES.run("S-9/loaded-in-any-order", features=["load"])
def _(data: Data) -> Run:
    """A saved state lists the parameters in another order than the program that loads it."""
    params = data.params({"w": (3,), "a": (3,), "b": (3,)})
    saved = {
        name: Moments(2, data.normal((3,)), abs(data.normal((3,))) + data.array(8.0))
        for name in reversed(params)
    }
    return Run(params, [data.grads(params) for _ in range(2)], PLAIN, saved=saved)
