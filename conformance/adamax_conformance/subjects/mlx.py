"""`mlx.optimizers.Adamax` as a subject, on the processor."""

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import mlx.core as mx
import numpy as np
from mlx.optimizers import Adamax

from adamax_conformance.subject.backend import Arrays, FunctionalBackend, Moments
from adamax_conformance.subjects.glue.defaults import default_eps
from adamax_conformance.subjects.glue.saved import name_of_norm, one_count
from adamax_conformance.subjects.glue.versions import versions
from adamax_core import Hyperparameters

_DEVIATIONS = {
    **dict.fromkeys(
        (
            "A-6/defaults[float64]",
            "A-7/step[float64]",
            "N-2/beyond-the-range[float64]",
            "N-2/storage-rounds[float64]",
            "N-8/long-step[float64]",
            "N-8/tiny-lr[float64]",
            "H-6/all-digits",
        ),
        "the learning rate is kept in float32, also for float64",
    ),
    "S-3": "there is one count for all",
    **dict.fromkeys(
        (
            "S-5/float32-gradients",
            "S-5/not-rounded-first",
            "S-5/float64-gradients",
            "S-5/other-gradients[float16]",
            "S-5/other-gradients[bfloat16]",
            "S-5/small-eps[bfloat16]",
            "S-5/beyond-the-range",
            "S-5/bfloat16-beyond-the-range",
        ),
        "the parameters are promoted to the dtype of the gradients",
    ),
    "S-8/adam": "Adam's state has the same names, m and v, and steps without an error",
    "S-10": "a gradient of another shape broadcasts, one of another kind promotes",
    **dict.fromkeys(
        ("S-5/small-eps[float32]", "S-5/small-eps[float64]"),
        "the moments are computed in the dtype of the gradient",
    ),
    **dict.fromkeys(
        ("N-1/zero-first-gradient[float16]", "N-7/small[float16]"),
        "eps rounds to zero in float16: 0 / 0",
    ),
    "N-1/small-gradients": "the step is computed in float16",
    "N-8/long-step[float16]": "a millionth has four digits in float16",
    "N-8/tiny-lr[float16]": "1e-8 is zero in float16",
    "H-1": "there is no validation of the learning rate",
    "H-2/infinite": "eps = inf passes its check",
    **dict.fromkeys(
        ("H-2/between-steps", "H-3/between-steps"),
        "hyperparameters are checked in the constructor alone",
    ),
}


def _to_mlx(array: Any) -> Any:
    array = np.array(array, order="C")  # MLX takes no strides below zero
    if array.dtype == ml_dtypes.bfloat16:
        return mx.array(array.view(np.uint16)).view(mx.bfloat16)
    return mx.array(array, dtype=getattr(mx, array.dtype.name))


def _to_numpy(array: Any) -> Any:
    if array.dtype == mx.bfloat16:
        return np.array(array.view(mx.uint16)).view(ml_dtypes.bfloat16)
    return np.array(array)


def _init(params: Arrays, hp: Hyperparameters) -> Adamax:
    optimizer = Adamax(hp.lr, list(hp.betas), hp.eps)
    optimizer.init({name: _to_mlx(param) for name, param in params.items()})
    return optimizer


def _step(
    params: Arrays, grads: Arrays, optimizer: Adamax, hp: Hyperparameters
) -> tuple[Arrays, Any]:
    optimizer.learning_rate, optimizer.betas, optimizer.eps = hp.lr, list(hp.betas), hp.eps
    given = {name: _to_mlx(param) for name, param in params.items()}
    stepped = optimizer.apply_gradients({k: _to_mlx(g) for k, g in grads.items()}, given)
    return {name: _to_numpy(param) for name, param in (given | stepped).items()}, optimizer


def _moments(optimizer: Adamax) -> dict[str, Moments]:
    return {
        name: Moments(optimizer.step.item(), _to_numpy(slot["m"]), _to_numpy(slot["v"]))
        for name, slot in optimizer.state.items()
        if isinstance(slot, dict)
    }


def _load(params: Arrays, hp: Hyperparameters, saved: Mapping[str, Arrays]) -> Adamax:
    """Return an optimizer that was given this state; the square of Adam takes the norm's place."""
    optimizer = _init(params, hp)
    norm = name_of_norm(saved)
    optimizer.state = {
        "step": mx.array(one_count(saved), mx.uint64),
        "learning_rate": optimizer.learning_rate,
        **{
            name: {"m": _to_mlx(slot["exp_avg"]), "v": _to_mlx(slot[norm])}
            for name, slot in saved.items()
        },
    }
    return optimizer


def backend() -> FunctionalBackend:
    """Return the backend of the stock optimizer."""
    return FunctionalBackend(
        "mlx",
        init=_init,
        step=_step,
        moments=_moments,
        load=_load,
        features=["load"],
        dtypes=["float16", "bfloat16", "float32", "float64"],
        language="Python",
        packages=versions("mlx"),
        default_eps=default_eps(Adamax),
        deviations=_DEVIATIONS,
    )
