"""Right kernels of every admitted formulation, to show that the judge refuses none.

A kernel computes as a compiled one would: in one format, from scalars that are converted first,
with each operation rounded, or fused, or flushed, and each result stored once.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from adamax_conformance.subject.backend import FunctionalBackend
from adamax_conformance.subjects.reference import backend as reference
from adamax_core import Hyperparameters, State

BASE = reference()


@dataclass(frozen=True)
class Arithmetic:
    """Operations of one format.

    Attributes:
        dtype: the format that results are rounded to.
        flushes: results below the smallest normal number are zero.
        fuses: a product that is added is not rounded by itself.
    """

    dtype: np.dtype[Any]
    flushes: bool
    fuses: bool

    def rounded(self, x: Any) -> Any:
        x = np.asarray(x).astype(self.dtype)
        tiny = self.flushes & (abs(x) < np.finfo(self.dtype).smallest_normal)
        return np.where(tiny, np.copysign(self.dtype.type(0), x), x)

    def add(self, x: Any, y: Any) -> Any:
        return self.rounded(x + y)

    def mul(self, x: Any, y: Any) -> Any:
        return self.rounded(x * y)

    def div(self, x: Any, y: Any) -> Any:
        return self.rounded(np.asarray(x) / np.asarray(y))

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """Return x y + z, rounded once if the kernel fuses."""
        if not self.fuses:
            return self.add(self.mul(x, y), z)
        wide = np.float64 if self.dtype == np.float32 else np.longdouble
        x, y, z = (np.asarray(each).astype(wide) for each in (x, y, z))
        return self.rounded(x * y + z)


Line = Callable[..., Any]

# a: arithmetic; w = 1 - beta1, converted from the exact difference.
MOMENTS: dict[str, Line] = {
    "products": lambda a, m, g, b, w: a.fma(b, m, a.mul(w, g)),
    "products-swapped": lambda a, m, g, b, w: a.fma(w, g, a.mul(b, m)),
    "lerp": lambda a, m, g, _b, w: a.fma(w, a.add(g, -m), m),
    "nearer-lerp": lambda a, m, g, b, w: (
        a.fma(w, a.add(g, -m), m) if b > w else a.fma(-b, a.add(g, -m), g)
    ),
    "factored": lambda a, m, g, b, w: a.mul(b, a.add(m, g)) if b == w else a.fma(b, m, a.mul(w, g)),
}

# Return the factors x, y of the product that is taken from the parameter.
STEPS: dict[str, Line] = {
    "lr/c*m/u": lambda a, m, u, lr, c: (a.div(a.mul(a.div(lr, c), m), u), 1),
    "lr/c*(m/u)": lambda a, m, u, lr, c: (a.div(lr, c), a.div(m, u)),
    "lr*m/(c*u)": lambda a, m, u, lr, c: (a.div(a.mul(lr, m), a.mul(c, u)), 1),
    "lr*(m/u)/c": lambda a, m, u, lr, c: (a.div(a.mul(lr, a.div(m, u)), c), 1),
    "lr/(c*u)*m": lambda a, m, u, lr, c: (a.div(lr, a.mul(c, u)), m),
    "lr/u*m/c": lambda a, m, u, lr, c: (a.div(a.mul(a.div(lr, u), m), c), 1),
    "lr*(m/c/u)": lambda a, m, u, lr, c: (lr, a.div(a.div(m, c), u)),
    "m*(1/u)*(lr/c)": lambda a, m, u, lr, c: (a.mul(m, a.div(1, u)), a.div(lr, c)),
}


def _subtracted(a: Arithmetic, p: Any, step: Any, lr: Any, decay: Any) -> Any:
    return a.add(a.fma(-a.mul(lr, decay), p, p), -a.mul(*step))


def _together(a: Arithmetic, p: Any, step: Any, lr: Any, decay: Any) -> Any:
    x, y = step
    return a.add(p, -a.fma(x, y, a.mul(lr, a.mul(decay, p))))


def _shrunk_first(a: Arithmetic, p: Any, step: Any, lr: Any, decay: Any) -> Any:
    x, y = step
    return a.fma(-x, y, a.mul(a.fma(-lr, decay, 1), p))


def _factor_last(a: Arithmetic, p: Any, step: Any, lr: Any, decay: Any) -> Any:
    return a.fma(a.fma(-lr, decay, 1), p, -a.mul(*step))


DECAYS: dict[str, Line] = {
    "subtracted": _subtracted,
    "together": _together,
    "shrunk-first": _shrunk_first,
    "factor-last": _factor_last,
}


@dataclass(frozen=True)
class Kernel:
    """A formulation of each line, and an arithmetic.

    Attributes:
        moment: one of `MOMENTS`.
        step: one of `STEPS`.
        decay: one of `DECAYS`; the decoupled one.
        compute: the narrowest format that it computes in.
        flushes, fuses: see `Arithmetic`.
        always: decays by zero too.
    """

    moment: str
    step: str
    decay: str
    compute: str = "float32"
    flushes: bool = False
    fuses: bool = False
    always: bool = False

    @property
    def name(self) -> str:
        flags = [flag for flag in ("flushes", "fuses", "always") if getattr(self, flag)]
        return " ".join([self.moment, self.step, self.decay, self.compute, *flags])

    def backend(self) -> FunctionalBackend:
        return replace(
            BASE,
            name=self.name,
            step=self._step_all,
            features=set(BASE.features) - {"vjp"},
        )

    def hidden(self) -> FunctionalBackend:
        return replace(self.backend(), moments=lambda _state: None)

    def _step_all(self, params: Any, grads: Any, state: State, hp: Hyperparameters) -> Any:
        BASE.step(params, grads, state, hp)  # refuses what does not fit
        new, after = dict(params), State(*map(dict, state))
        for name, grad in grads.items():
            slot = [part[name] for part in state]
            new[name], *slot = self._step(params[name], grad, slot, hp)
            for part, value in zip(after, slot, strict=True):
                part[name] = value
        return new, after

    def _step(self, p: Any, g: Any, slot: Any, hp: Hyperparameters) -> Any:
        t, m, u = slot
        stored = p.dtype, m.dtype, u.dtype
        shape = p.shape
        if p.dtype.kind == "c":
            p, g, m, u = (np.stack([x.real, x.imag], -1) for x in (p, g, m, u))
        format_ = np.result_type(np.dtype(self.compute), *(_real(x.dtype) for x in (p, g, m, u)))
        a = Arithmetic(np.dtype(format_), self.flushes, self.fuses)
        with np.errstate(all="ignore"):
            p, g, m, u = (a.rounded(x) for x in (p, g, m, u))
            results = self._lines(a, p, g, m, u, t + 1, hp)
        p, m, u = (_joined(x, dtype, shape) for x, dtype in zip(results, stored, strict=True))
        return p, t + 1, m, u

    def _lines(
        self, a: Arithmetic, p: Any, g: Any, m: Any, u: Any, t: int, hp: Hyperparameters
    ) -> Any:
        (b1, b2), coupled = hp.betas, not hp.decoupled_weight_decay
        lr, beta1, beta2, weight, eps, decay = (
            a.rounded(x) for x in (hp.lr, b1, b2, 1 - b1, hp.eps, hp.weight_decay)
        )
        c = a.rounded(-math.expm1(t * math.log(b1)) if b1 else 1.0)
        g = -g if hp.maximize else g
        if coupled and decay:
            g = a.fma(decay, p, g)
        u = np.maximum(a.mul(beta2, u), a.add(abs(g), eps))
        m = MOMENTS[self.moment](a, m, g, beta1, weight)
        x, y = STEPS[self.step](a, m, u, lr, c)
        if coupled or not (self.always or decay):
            return a.fma(-x, y, p), m, u
        return DECAYS[self.decay](a, p, (x, y), lr, decay), m, u


def _real(dtype: np.dtype[Any]) -> np.dtype[Any]:
    narrow = dtype.itemsize == 2  # half precision computes in at least float32
    return np.dtype(np.float32) if narrow else dtype


def _joined(x: Any, dtype: np.dtype[Any], shape: Any) -> Any:
    """Return the numbers in the dtype that they are stored in, pairs as complex numbers."""
    with np.errstate(all="ignore"):
        if dtype.kind == "c":
            part = np.empty(0, dtype).real.dtype
            return np.ascontiguousarray(x.astype(part)).view(dtype).reshape(shape)
        return x.astype(dtype)


def kernels() -> list[Kernel]:
    """Every formulation of every line at least once with each arithmetic, in few kernels."""
    arithmetics = list(itertools.product(("float32", "float64"), (False, True), (False, True)))
    found = []
    moments, steps, decays = (itertools.cycle(each) for each in (MOMENTS, STEPS, DECAYS))
    for index, (arithmetic, _) in enumerate(itertools.product(arithmetics, range(5))):
        step = next(steps) if index % 9 else (next(steps), next(steps))[1]
        found.append(Kernel(next(moments), step, next(decays), *arithmetic, always=index % 3 == 0))
    return found
