"""No right kernel is refused: every admitted formulation, in every dtype, also beyond numbers."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adamax_conformance.check import check
from adamax_conformance.fuzz import fuzz
from adamax_conformance.judging.finding import Violation
from adamax_conformance.judging.judge import judge
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.reports.report import Verdict
from adamax_conformance.spec.formats import WITH_COMPLEX, dtype_of
from adamax_conformance.subject.backend import Moments
from adamax_conformance.subject.watched import Watched
from adamax_core import Hyperparameters
from marks import first_fast
from right_kernels import Kernel, kernels

KERNELS = kernels()
FEW = KERNELS[::11]
HP = Hyperparameters(lr=0.125, betas=(0.75, 0.875), eps=0.25)
DECOUPLED = replace(HP, weight_decay=0.5, decoupled_weight_decay=True)
FLUSHED = replace(HP, eps=3.4028235677973366e38, weight_decay=1e-232)
"""In float32 eps is infinite and the weight decay zero."""

OTHERS = (
    replace(HP, weight_decay=0.5, maximize=True),
    replace(HP, lr=0.0, betas=(0.5, 0.0), eps=0.0),
    replace(HP, betas=(0.0, 0.5), weight_decay=1e-310),
    replace(DECOUPLED, lr=0.0, betas=(0.25, 0.5)),
    replace(DECOUPLED, weight_decay=0.0),
    replace(DECOUPLED, lr=0.1, weight_decay=10.0, eps=0.0),
    replace(DECOUPLED, lr=4.0, maximize=True, betas=(0.999, 0.999)),
    replace(DECOUPLED, lr=1e-30, weight_decay=1e30),
)


def grid(dtype: str, hp: Hyperparameters) -> Run:
    """Return two steps from every combination of special values, one element each."""
    values = [
        (1.0, 0.0, np.inf, -np.inf, np.nan),
        (0.5, 0.0, np.inf, -np.inf),
        (2.0, 0.0, np.inf),
        (1.0, 0.0, np.inf, -np.inf),
    ]
    columns = np.array(list(itertools.product(*values))).T
    if dtype == "complex64":
        columns = columns + 0j
        columns.imag[...] = np.roll(columns.real, 5, axis=1)
    param, moment, norm, grad = columns.astype(dtype_of(dtype))
    grads = [{"w": grad}, {"w": np.ones_like(grad)}]
    return Run({"w": param}, grads, hp, saved={"w": Moments(3, moment, norm)})


@pytest.mark.parametrize("dtype", WITH_COMPLEX)
@pytest.mark.parametrize(
    "hp",
    first_fast([HP, DECOUPLED, FLUSHED, *OTHERS]),
    ids=str,
)
def test_special_values_of_right_kernels_are_right(dtype: str, hp: Hyperparameters) -> None:
    for kernel in FEW:
        for backend in (kernel.backend(), kernel.hidden()):
            with np.errstate(all="ignore"):
                found = judge(Watched(backend), Trial(grid(dtype, hp)))
            assert found.elements


def test_grid_catches_a_kernel_that_makes_a_number_of_infinity() -> None:
    kernel = KERNELS[0].backend()

    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        stepped, new = kernel.step(params, grads, state, hp)
        return {k: np.where(np.isinf(v), 0, v).astype(v.dtype) for k, v in stepped.items()}, new

    with pytest.raises(Violation, match=r"param: got 0\.0, allowed -?inf"):
        judge(Watched(replace(kernel, step=step)), Trial(grid("float64", HP)))


@pytest.mark.slow
@pytest.mark.parametrize("kernel", FEW, ids=lambda kernel: kernel.name)
def test_right_kernel_is_conformant_and_survives_the_fuzzer(kernel: Kernel) -> None:
    report = check(kernel.backend(), investigate=False)
    assert report.verdict is Verdict.CONFORMANT
    for found in fuzz(kernel.backend(), examples=50):
        assert found.failure is None, found
