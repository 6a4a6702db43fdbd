"""MindSpore's two Adamaxes as subjects: `ops.ApplyAdaMax`, and `experimental.optim.Adamax`.

The operation has neither count nor state: its caller keeps the moments, and passes beta1**t. The
optimizer is not compiled, which would take seconds for each new state.
"""

import os
from typing import Any, NamedTuple

import numpy as np

os.environ["MS_JIT"] = "0"
import mindspore
from mindspore import Parameter, Tensor, ops
from mindspore.experimental import optim

from adamax_conformance.subject.backend import Arrays, FunctionalBackend, Moments
from adamax_conformance.subjects.glue.defaults import default_eps
from adamax_conformance.subjects.glue.other_dtypes import OTHER_DTYPES
from adamax_conformance.subjects.glue.versions import versions
from adamax_core import Hyperparameters

_OPERATION_DEVIATIONS = {
    **dict.fromkeys(
        (
            "S-5/float32-gradients",
            "S-5/not-rounded-first",
            "S-5/float64-gradients",
            "S-5/other-gradients[float16]",
            "S-5/beyond-the-range",
            "S-5/bfloat16-beyond-the-range",
        ),
        "a gradient of a wider dtype than its parameter is refused",
    ),
    **dict.fromkeys(
        ("S-9/shapes", "S-9/alike", "S-10/shape", "S-10/kind"),
        "an array without elements raises a RuntimeError",
    ),
    "S-10/atomic": "a gradient that does not fit is refused when others have been stepped",
    **dict.fromkeys(
        ("N-3/last-places", "N-3/any-beta1[float32]"), "1 - beta1_power cancels in float32"
    ),
    "N-5": "the maximum drops NaN",
    **dict.fromkeys(("H-1", "H-2", "H-3"), "there is no validation"),
}
_OPTIMIZER_DEVIATIONS = {
    **dict.fromkeys(
        ("S-9/shapes", "S-10/shape", "S-10/kind"),
        "an array without elements is refused",
    ),
    **dict.fromkeys(
        (
            *OTHER_DTYPES,
            "S-9/alike[float16]",
        ),
        "a gradient of another dtype than its parameter is refused",
    ),
    "S-10/atomic": "a gradient that does not fit is refused when others have been stepped",
    **dict.fromkeys(
        ("N-1/zero-first-gradient[float16]", "N-7/small[float16]"),
        "eps rounds to zero in float16: 0 / 0",
    ),
    "N-1/small-gradients": "eps is added to |g| in float16",
    **dict.fromkeys(("N-3/last-places", "N-3/any-beta1"), "1 - beta1**t cancels in float32"),
    **dict.fromkeys(("N-4/ends-of-the-domains", "H-5/lr-zero"), "an lr of zero is refused"),
    "N-5": "the maximum drops NaN",
    **dict.fromkeys(
        ("H-1/between-steps", "H-2/between-steps", "H-3/between-steps", "H-4/between-steps"),
        "hyperparameters are checked in the constructor alone",
    ),
    **dict.fromkeys(
        ("H-2/infinite", "H-2/nan", "H-3/beta1-nan", "H-3/beta2-nan"),
        "infinity and NaN pass the checks",
    ),
}

mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


def _parameter(array: Any, name: str) -> Parameter:
    return Parameter(Tensor(np.array(array, order="C")), name=name)


class _Slot(NamedTuple):
    var: Parameter
    m: Parameter
    v: Parameter
    step: int


def operation() -> FunctionalBackend:
    """Return the backend of the stock operation."""
    apply = ops.ApplyAdaMax()

    def init(params: Arrays, _hp: Hyperparameters) -> dict[str, _Slot]:
        zero = {name: np.zeros_like(param) for name, param in params.items()}
        return {
            name: _Slot(
                _parameter(param, f"{name}.var"),
                _parameter(zero[name], f"{name}.m"),
                _parameter(zero[name], f"{name}.v"),
                0,
            )
            for name, param in params.items()
        }

    def step(
        params: Arrays, grads: Arrays, state: dict[str, _Slot], hp: Hyperparameters
    ) -> tuple[Arrays, dict[str, _Slot]]:
        state = dict(state)
        for name, slot in state.items():
            slot.var.set_data(Tensor(np.array(params[name], order="C")))
            if name in grads:
                count = slot.step + 1
                numbers = (hp.betas[0] ** count, hp.lr, *hp.betas, hp.eps)
                given = (Tensor(number, mindspore.float32) for number in numbers)
                grad = Tensor(np.array(grads[name], order="C"))
                apply(slot.var, slot.m, slot.v, *given, grad)
                state[name] = slot._replace(step=count)
        return {name: slot.var.asnumpy().copy() for name, slot in state.items()}, state

    def moments(state: dict[str, _Slot]) -> dict[str, Moments]:
        return {
            name: Moments(slot.step, slot.m.asnumpy().copy(), slot.v.asnumpy().copy())
            for name, slot in state.items()
        }

    return FunctionalBackend(
        "mindspore.ops",
        init=init,
        step=step,
        moments=moments,
        dtypes=["float16", "float32"],
        hyperparameter_dtype="float32",
        language="C++",
        packages=versions("mindspore"),
        deviations=_OPERATION_DEVIATIONS,
    )


class _State(NamedTuple):
    optimizer: Any
    params: dict[str, Parameter]


def optimizer() -> FunctionalBackend:
    """Return the backend of the stock optimizer."""

    def init(params: Arrays, hp: Hyperparameters) -> _State:
        made = {name: _parameter(param, name) for name, param in params.items()}
        options = {"weight_decay": hp.weight_decay, "maximize": hp.maximize}
        return _State(optim.Adamax([*made.values()], hp.lr, hp.betas, hp.eps, **options), made)

    def step(
        params: Arrays, grads: Arrays, state: _State, hp: Hyperparameters
    ) -> tuple[Arrays, _State]:
        for group in state.optimizer.param_groups:
            group.update(
                lr=hp.lr,
                betas=hp.betas,
                eps=hp.eps,
                weight_decay=hp.weight_decay,
                maximize=hp.maximize,
            )
        for name, param in state.params.items():
            param.set_data(Tensor(np.array(params[name], order="C")))
        state.optimizer(tuple(Tensor(np.array(grads[name], order="C")) for name in state.params))
        return {name: param.asnumpy().copy() for name, param in state.params.items()}, state

    def moments(state: _State) -> dict[str, Moments]:
        made = state.optimizer
        count = int(made.step_t.asnumpy())
        return {
            name: Moments(count, m.asnumpy().copy(), u.asnumpy().copy())
            for name, m, u in zip(state.params, made.exp_avg, made.exp_inf, strict=True)
        }

    return FunctionalBackend(
        "mindspore.experimental",
        init=init,
        step=step,
        moments=moments,
        features=["maximize", "weight_decay"],
        dtypes=["float16", "float32"],
        limits=["no_missing_gradients", "positive_eps"],
        language="Python",
        default_eps=default_eps(optim.Adamax),
        packages=versions("mindspore"),
        deviations=_OPTIMIZER_DEVIATIONS,
    )
