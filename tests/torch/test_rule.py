"""The rule for one tensor against exact rationals, and its bias correction."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch

from adamax_core import Hyperparameters
from adamax_torch.rule import Hyper, adamax, bias_correction
from exact import Followed, assert_within, follow, ulps

SETTINGS = [
    Hyperparameters(),
    Hyperparameters(0.25, (0.5, 0.75), 0.125, 0.01),
    Hyperparameters(0.1, (0.3, 0.999), 1e-3, 0.01, maximize=True),
    Hyperparameters(0.1, (0.0, 0.0), 1e-3, 0.1, decoupled_weight_decay=True),
]


def hyper(hp: Hyperparameters, wrap: Callable[[float], Any] = float) -> Hyper:
    return Hyper(
        wrap(hp.lr),
        wrap(hp.betas[0]),
        wrap(hp.betas[1]),
        wrap(hp.eps),
        wrap(hp.weight_decay),
        hp.maximize,
        hp.decoupled_weight_decay,
    )


def as_double(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("hp", SETTINGS)
@pytest.mark.parametrize("wrap", [float, as_double], ids=["numbers", "tensors"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_step_is_within_the_counted_roundings_of_the_exact_one(
    hp: Hyperparameters, wrap: Callable[[float], Any], dtype: torch.dtype
) -> None:
    w = Fraction(torch.finfo(dtype).eps) / 2
    generator = torch.Generator().manual_seed(1)
    p, *grads = torch.randn((5, 8), dtype=dtype, generator=generator)
    m = u = torch.zeros_like(p)
    exact = [Followed(Fraction(x), Fraction(0), Fraction(0), 0) for x in p.tolist()]
    for step, grad in enumerate(grads, 1):
        before = [x.clone() for x in (p, grad, m, u)]
        new = adamax(p, grad, m, u, step, hyper(hp, wrap))
        assert all(torch.equal(old, x) for old, x in zip(before, (p, grad, m, u), strict=True))
        p, m, u = p + new[0], *new[1:]
        exact = [follow(at, g, hp, w) for at, g in zip(exact, grad.tolist(), strict=True)]
        for values, name in ((p, "param"), (m, "exp_avg"), (u, "exp_inf")):
            right = [getattr(at, name) for at in exact]
            assert_within(values.tolist(), right, [getattr(at, "d_" + name) for at in exact])


def test_the_second_step_of_the_table_of_dialects() -> None:
    """On dyadic hyperparameters the moments are exact: m = 5/16 and u = 35/32."""
    h = Hyper(0.125, 0.75, 0.875, 0.25, 0.0, maximize=False, decoupled=False)
    zero = torch.zeros(1, dtype=torch.float64)
    _, m, u = adamax(zero, zero + 1, zero, zero, 1, h)
    assert (m.item(), u.item()) == (0.25, 1.25)
    _, m, u = adamax(zero, zero + 0.5, m, u, 2, h)
    assert (m.item(), u.item()) == (0.3125, 1.09375)


@pytest.mark.parametrize(
    "beta1", [0.0, 0.1, 0.25, 0.49999999999999994, 0.5, 0.9, 0.999, 1 - 2**-40]
)
@pytest.mark.parametrize("step", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_bias_correction_is_accurate_to_a_few_ulp(beta1: float, step: int, as_tensor: bool) -> None:
    """Five units, as tests/core/test_rule.py derives, for a library good to one unit a function.

    torch's vectorised log, expm1 and pow claim one unit too.
    """
    given = as_double(beta1) if as_tensor else beta1
    assert ulps(bias_correction(given, step), 1 - Fraction(beta1) ** step, 53) <= 5


@pytest.mark.parametrize("beta1", [0.0, 0.25, 0.75])
@pytest.mark.parametrize("step", [1, 2, 5])
def test_the_derivative_of_the_bias_correction_is_finite_and_right(beta1: float, step: int) -> None:
    """``-t b^(t-1)``: a logarithm and its quotient, a product and an exponential: eight units."""
    beta = as_double(beta1).requires_grad_()
    correction = bias_correction(beta, step)
    assert isinstance(correction, torch.Tensor)
    (slope,) = torch.autograd.grad(correction, beta)
    assert ulps(slope.item(), -step * Fraction(beta1) ** (step - 1), 53) <= 8
