"""Wrong kernels as a stranger writes them: float32, array by array, with one fault each.

They share no line with the reference or with the wrong variants, and round in their own way. So
they show that the judge names a fault, and does not only recognise its own code.
"""

from typing import Any

import numpy as np

from adamax_conformance import FunctionalBackend

F = np.float32


class Kernel:
    """Adamax in float32.

    Attributes:
        faults: names of its faults; it is right if there are none.
        product, count: the power of beta1, and the count of steps that it is for; one of each for
            all arrays, as in a static variable of C.
    """

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        self.product, self.count = F(1), 0

    def init(self, params: Any, hp: Any) -> Any:
        hp.validate()
        self.count = 0
        return {k: (0, np.zeros_like(p), np.zeros_like(p)) for k, p in params.items()}

    def step(self, params: Any, grads: Any, state: Any, hp: Any) -> Any:
        hp.validate()
        for k, g in grads.items():
            if g.shape != params[k].shape or g.dtype.kind != "f":
                raise ValueError(f"the gradient of {k} does not fit")
        params, state = dict(params), dict(state)
        for k, g in grads.items():
            t, *moments = state[k]
            arrays = (params[k], g.astype(F), *moments)
            p, g32, m, u = (np.ravel(array).copy() for array in arrays)
            n = p.size
            if "tail not stored" in self.faults and n > 4:
                n = n // 4 * 4
            p[:n], m[:n], u[:n] = self.kernel(p[:n], g32[:n], m[:n], u[:n], t + 1, hp)
            params[k], *moments = (array.reshape(g.shape) for array in (p, m, u))
            state[k] = (t + 1, *moments)
        return params, state

    def kernel(self, p: Any, g: Any, m: Any, u: Any, t: int, hp: Any) -> Any:
        lr, b1, b2, eps = (F(x) for x in (hp.lr, *hp.betas, hp.eps))
        rest = F(1 - hp.betas[0])
        m = m + rest * (g - m)
        signed = "no magnitude" in self.faults or (
            "no magnitude at first" in self.faults and t == 1
        )
        u = np.maximum((g if signed else np.abs(g)) + eps, u * b2)
        c = F(-np.expm1(t * np.log(hp.betas[0]))) if hp.betas[0] else F(1)
        if "other beta" in self.faults:
            c = F(1 - hp.betas[1] ** t)
        if "shared product" in self.faults:
            if t != self.count:
                self.product = b1 * (self.product if t > 1 else F(1))
                self.count = t
            c = F(1) - self.product
        ahead = b1 * m + rest * g if "nesterov" in self.faults else m
        below = u + F(1e-3) if "second eps" in self.faults else u
        moved = p - lr * ahead / (c * below)
        if "tail forgotten" in self.faults and p.size > 32:
            moved[p.size // 8 * 8 :] = p[p.size // 8 * 8 :]
        return moved, m, u


def kernel(*faults: str, hidden: bool = False) -> FunctionalBackend:
    """Return the kernel with these faults as a backend, its state hidden or shown."""
    made = Kernel(*faults)
    return FunctionalBackend(
        ", ".join(faults) or "right",
        init=made.init,
        step=made.step,
        moments=(lambda _state: None) if hidden else (lambda state: state),
        # It takes no gradients of other dtypes.
        deviations={"S-5": "gradients are converted to float32"},
    )
