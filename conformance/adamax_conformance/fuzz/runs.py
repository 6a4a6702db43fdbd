"""Hypothesis strategies for runs: parameters, steps with missing gradients, any hyperparameters.

They draw everything that docs/spec.md allows, except features that the backend does not offer.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from adamax_conformance.bounds.oracle import pairs
from adamax_conformance.cases.mixed_precision import GRADIENTS
from adamax_conformance.fuzz.arrays import FEW, LARGEST, arrays, shapes
from adamax_conformance.judging.run import Run
from adamax_conformance.spec.formats import COMPLEX
from adamax_conformance.subject.backend import Moments
from adamax_core import Hyperparameters

BETWEEN_0_AND_1 = (0.9, 0.5, 0.75, 0.0, 0.99, 0.999)
COUNTS = (1, 0, 10, 1000, 2**24 - 1, 2**31 - 10)
"""Step counts of loaded states; the runs end before 2^31 - 1 (S-7)."""

_LONG = 512

_STATES = {
    "float16": ("float32", "bfloat16"),
    "bfloat16": ("float32", "float16"),
    "float32": ("bfloat16", "float16"),
    "float64": ("float32",),
}


@dataclass(frozen=True)
class Offers:
    """Limits on the examples of one series.

    Attributes:
        dtype: dtype of the parameters.
        features: features that the backend offers.
        largest: largest number of elements of an array.
        limits: limits that the backend declares.
    """

    dtype: str
    features: Collection[str] = ()
    largest: int = LARGEST
    limits: Collection[str] = ()


def _betas() -> st.SearchStrategy[float]:
    return st.one_of(
        st.sampled_from(BETWEEN_0_AND_1),
        st.integers(1, 53).map(lambda k: 1 - 2.0**-k),
        st.floats(0, 1, exclude_max=True),
    )


def _sizes(*common: float) -> st.SearchStrategy[float]:
    """Strategy for a number from zero: one of the common ones, or any."""
    return st.one_of(
        st.sampled_from(common), st.sampled_from(common), st.floats(0, allow_infinity=False)
    )


def _positive(sizes: st.SearchStrategy[float], needed: bool) -> st.SearchStrategy[float]:
    return sizes.filter(lambda size: size > 0) if needed else sizes


@st.composite
def hyperparameters(draw: st.DrawFn, offers: Offers) -> Hyperparameters:
    """Draw any hyperparameters in their domains, in the modes that the backend offers."""
    features, limits = offers.features, offers.limits
    decay, decoupled = "weight_decay" in features, "decoupled_weight_decay" in features
    weight_decay = 0.0
    if decay or decoupled:
        weight_decay = draw(st.one_of(st.just(0.0), _sizes(0.5, 0.01, 1.0)))
    apart = decoupled and (draw(st.booleans()) or not decay)
    return Hyperparameters(
        lr=draw(_positive(_sizes(1.0, 0.125, 2e-3, 0.0), "positive_lr" in limits)),
        betas=(draw(_betas()), draw(_betas())),
        eps=draw(_positive(_sizes(1.0, 2.0**-10, 1e-8, 0.0), "positive_eps" in limits)),
        weight_decay=weight_decay,
        maximize="maximize" in features and draw(st.booleans()),
        decoupled_weight_decay=apart,
    )


@st.composite
def parameters(draw: st.DrawFn, offers: Offers) -> dict[str, Any]:
    """Draw one to three parameters, at most one of them long."""
    params: dict[str, Any] = {}
    largest = offers.largest
    for name in ("a", "b", "c")[: draw(st.integers(1, 3))]:
        shape = draw(shapes(largest))
        params[name] = draw(arrays(offers.dtype, shape))
        if params[name].size > FEW:
            largest = FEW
    return params


def _seldom(draw: st.DrawFn, one_in: int) -> bool:
    """Draw True once in so many times; shrink to False."""
    return draw(st.integers(0, one_in - 1)) == one_in - 1


@st.composite
def gradients(draw: st.DrawFn, params: dict[str, Any], offers: Offers) -> dict[str, Any]:
    """Draw a gradient for most parameters, all of one dtype: usually that of the parameters."""
    dtype, every = offers.dtype, "no_missing_gradients" in offers.limits
    if dtype not in COMPLEX and _seldom(draw, 8):
        dtype = draw(st.sampled_from(GRADIENTS[dtype]))
    return {
        name: draw(arrays(dtype, param.shape))
        for name, param in params.items()
        if every or not _seldom(draw, 6)
    }


@st.composite
def moments(draw: st.DrawFn, dtype: str, shape: tuple[int, ...]) -> Moments:
    """Draw a valid saved state: the norm is never negative, and all is zero before a step."""
    step = draw(st.sampled_from(COUNTS))
    exp_avg, drawn = draw(arrays(dtype, shape)), draw(arrays(dtype, shape))
    if not step:
        return Moments(step, np.zeros_like(exp_avg), np.zeros_like(exp_avg))
    exp_inf = abs(pairs(drawn))
    return Moments(
        step, exp_avg, exp_inf.view(drawn.dtype)[..., 0] if dtype in COMPLEX else exp_inf
    )


@st.composite
def runs(draw: st.DrawFn, offers: Offers) -> Run:
    """Draw a run of one to five steps; of at most two for long parameters."""
    dtype, features = offers.dtype, offers.features
    params = draw(parameters(offers))
    long = sum(param.size for param in params.values()) > _LONG
    steps = draw(st.integers(1, 2 if long else 5))
    grads = [draw(gradients(params, offers)) for _ in range(steps)]
    hps = [draw(hyperparameters(offers))] * steps
    if "fixed_hyperparameters" not in offers.limits and _seldom(draw, 4):
        hps[1:] = [draw(hyperparameters(offers)) for _ in hps[1:]]
    more: dict[str, Any] = {}
    if "load" in features and _seldom(draw, 4):
        more["saved"] = {name: draw(moments(dtype, p.shape)) for name, p in params.items()}
    else:
        if "undecayed" in features and _seldom(draw, 4):
            more["undecayed"] = tuple(sorted(draw(st.sets(st.sampled_from(sorted(params))))))
        if "state_dtype" in features and dtype in _STATES and _seldom(draw, 4):
            more["state_dtype"] = draw(st.sampled_from(_STATES[dtype]))
    return Run(params, grads, hps, **more)
