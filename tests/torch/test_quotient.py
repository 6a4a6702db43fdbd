"""Derivatives of the quotient, and of steps, at every size of gradients.

A power of two that all gradients have in common changes no rounding, unless a number leaves the
range of its format: slopes are to the last bit those of gradients about one, which the judge
compares with exact ones, times a power of it.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, jacfwd, jacrev, jvp, vmap

from adamax_torch import functional as F  # noqa: N812 - as PyTorch's own is called
from adamax_torch.rule import quotient

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script:DeprecationWarning"
)  # torch's own
dtypes = pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str
)


def sizes(dtype: torch.dtype, inside: int = 0) -> Tensor:
    """Powers of two that are normal, as are their reciprocals, without some at each end."""
    least = torch.tensor(torch.finfo(dtype).tiny, dtype=torch.float64).log2().int().item()
    most = -least  # the largest number is just below 2 ** (2 - least)
    exponents = torch.arange(least + inside, most + 1 - inside, dtype=torch.float64)
    return torch.exp2(exponents).to(dtype)


def forwards(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *rest: jvp(lambda x: function(x, *rest), (x,), (torch.ones_like(x),))[1]


DERIVATIVES: dict[str, tuple[int, Callable[..., Any]]] = {
    "none": (0, lambda function: function),
    "backwards": (1, grad),
    "forwards": (1, forwards),
    "backwards twice": (2, lambda function: grad(grad(function))),
    "forwards twice": (2, lambda function: forwards(forwards(function))),
    "forwards over backwards": (2, lambda function: forwards(grad(function))),
    "backwards over forwards": (2, lambda function: grad(forwards(function))),
}


@dtypes
@pytest.mark.parametrize("mode", DERIVATIVES)
@pytest.mark.parametrize("inside", [False, True], ids=["vmap outside", "vmap inside"])
def test_the_quotient_is_differentiated_exactly_at_every_size(
    dtype: torch.dtype, mode: str, inside: bool
) -> None:
    """``m / (b u)`` by b, at b = 1, has derivatives that every format holds exactly."""
    order, derivative = DERIVATIVES[mode]

    def share(b: Tensor, m: Tensor, u: Tensor) -> Tensor:
        return quotient(m, b * u)

    def one_of_one(b: Tensor, m: Tensor, u: Tensor) -> Tensor:
        return vmap(share, (None, 0, 0))(b, m[None], u[None]).sum()

    slope = vmap(derivative(one_of_one if inside else share), (None, 0, 0))
    each = sizes(dtype)
    found = slope(torch.ones((), dtype=dtype), 1.5 * each, each)
    assert found.dtype == dtype
    assert set(found.tolist()) == {{0: 1.5, 1: -1.5, 2: 3.0}[order]}


@dtypes
def test_autograd_differentiates_twice_at_every_size(dtype: torch.dtype) -> None:
    each = sizes(dtype)
    b = torch.ones_like(each, requires_grad=True)
    (slope,) = torch.autograd.grad(quotient(1.5 * each, b * each).sum(), b, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), b)
    assert (set(slope.tolist()), set(second.tolist())) == ({-1.5}, {3.0})


@dtypes
@pytest.mark.parametrize("enabled", [False, True])
def test_the_quotient_has_the_bits_of_a_division(dtype: torch.dtype, enabled: bool) -> None:
    largest = torch.finfo(dtype).max
    values = [0.0, -0.0, 1.0, -3.0, torch.inf, -torch.inf, torch.nan, largest]
    m, u = torch.meshgrid(*[torch.tensor(values, dtype=dtype)] * 2, indexing="ij")
    with torch.set_grad_enabled(enabled):
        found, right = quotient(m, u), m / u
    assert torch.equal(found.isnan(), right.isnan())
    assert torch.equal(found.nan_to_num(), right.nan_to_num())
    assert torch.equal(found.signbit()[~found.isnan()], right.signbit()[~right.isnan()])


# The norm is the past's in the first two elements of each step, the gradient's in the others.
ARRAYS = [
    [1.0, -2.0, 3.0, -5.0], [0.5, 0.25, -3.5, 4.0], [0.5, -1.0, 2.0, 0.25], [8.0, 12.0, 1.0, 0.5],
]  # fmt: skip
LIKE_ONE, BY_SIZE = (0, 1, 2), (3, 4, 5, 6, 7)


def after_two_steps(lr: Any, b1: Any, b2: Any, eps: Any, *arrays: Tensor) -> Tensor:
    """A sum over the parameters, in which no two elements cancel."""
    first, second, exp_avg, exp_inf = arrays
    params = torch.zeros_like(exp_avg)
    state = F.init(params)._replace(exp_avg=exp_avg, exp_inf=exp_inf)
    for grads in (first, second):
        params, state = F.step(params, grads, state, F.Hyperparameters(lr, (b1, b2), eps))
    return (params * torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=params.dtype)).sum()


def arguments(dtype: torch.dtype, size: Tensor) -> tuple[Tensor, ...]:
    scalars = (torch.tensor(x, dtype=torch.float64) for x in (1.0, 0.5, 0.75))
    arrays = (torch.tensor(x, dtype=dtype) * size for x in ARRAYS)
    return (*scalars, size.double() / 4, *arrays)


@dtypes
def test_derivatives_scale_with_the_size_of_the_gradients(dtype: torch.dtype) -> None:
    """Eight powers of two within the range, so that derivatives are normal numbers too."""
    slopes = grad(after_two_steps, argnums=(*LIKE_ONE, *BY_SIZE))
    one = slopes(*arguments(dtype, torch.ones((), dtype=dtype)))
    assert all(each.isfinite().all() and each.any() for each in one)
    for size in sizes(dtype, 8):
        found = slopes(*arguments(dtype, size))
        for index in LIKE_ONE:
            assert found[index] == one[index], (index, size)
        for index in BY_SIZE:
            assert torch.equal(found[index] * size.to(found[index].dtype), one[index])


@pytest.mark.slow
@dtypes
@pytest.mark.parametrize(
    "second", [jacfwd, jacrev], ids=["forwards over backwards", "backwards twice"]
)
def test_second_derivatives_by_hyperparameters_do_not_depend_on_the_size(
    dtype: torch.dtype, second: Callable[..., Any]
) -> None:
    slopes = second(grad(after_two_steps, argnums=LIKE_ONE), argnums=LIKE_ONE)
    one = slopes(*arguments(dtype, torch.ones((), dtype=dtype)))
    assert all(each.isfinite() and each for row in one[1:] for each in row)
    for size in sizes(dtype, 8)[:: 1 if dtype == torch.float16 else 16]:
        assert slopes(*arguments(dtype, size)) == one, size


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_a_zero_gradient_has_a_finite_derivative_for_every_eps(dtype: torch.dtype) -> None:
    """p = -(1 - b1) / c * g / eps with 1 - b1 = c: its slope is -1 / eps by g, and zero by eps."""

    def stepped(gradient: Tensor, eps: Tensor) -> Tensor:
        hp = F.Hyperparameters(1.0, (0.5, 0.75), eps)
        params: Tensor = F.step(torch.zeros_like(gradient), gradient, F.init(gradient), hp)[0]
        return params

    eps = sizes(dtype).double()
    zero = torch.zeros(eps.shape, dtype=dtype)
    by_gradient, by_eps = vmap(grad(stepped, argnums=(0, 1)))(zero, eps)
    assert torch.equal(by_gradient * eps, -torch.ones_like(eps))
    assert not by_eps.any()
