"""Derivatives of the quotient, and of steps, at every size of gradients.

A power of two that all gradients have in common changes no rounding, unless a number leaves the
range of its format: slopes are to the last bit those of gradients about one, which the judge
compares with exact ones, times a power of it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adamax_jax import adamax_transform
from adamax_jax.quotient import quotient

DTYPES = [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64]
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
jits = pytest.mark.parametrize("jit", [False, True], ids=["not compiled", "compiled"])


def sizes(dtype: Any, inside: int = 0) -> Any:
    """The powers of two that are normal, as their reciprocals are, but so many at each end."""
    info = jnp.finfo(dtype)  # type: ignore[no-untyped-call]  # not typed
    exponents = np.arange(info.minexp + inside, info.maxexp - 1 - inside, dtype=np.float64)
    return jnp.asarray(2.0**exponents, dtype)


def forwards(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *rest: jax.jvp(lambda x: function(x, *rest), (x,), (jnp.ones_like(x),))[1]


DERIVATIVES: dict[str, tuple[int, Callable[..., Any]]] = {
    "none": (0, lambda function: function),
    "backwards": (1, jax.grad),
    "forwards": (1, forwards),
    "backwards twice": (2, lambda function: jax.grad(jax.grad(function))),
    "forwards twice": (2, lambda function: forwards(forwards(function))),
    "forwards over backwards": (2, lambda function: forwards(jax.grad(function))),
    "backwards over forwards": (2, lambda function: jax.grad(forwards(function))),
}


@dtypes
@jits
@pytest.mark.parametrize("mode", DERIVATIVES)
def test_the_quotient_is_differentiated_exactly_at_every_size(
    dtype: Any, jit: bool, mode: str
) -> None:
    """``m / (b u)`` by b, at b = 1, has derivatives that every format holds exactly."""
    order, derivative = DERIVATIVES[mode]
    slope = jax.vmap(derivative(lambda b, m, u: quotient(m, b * u)), (None, 0, 0))
    slope = jax.jit(slope) if jit else slope
    right = {0: 1.5, 1: -1.5, 2: 3.0}[order]
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        each = sizes(dtype)
        found = slope(dtype(1), dtype(1.5) * each, each)
        assert found.dtype == dtype
        assert set(found.tolist()) == {right}


@dtypes
def test_the_quotient_has_the_bits_of_a_division(dtype: Any) -> None:
    with jax.enable_x64(True):
        largest = float(jnp.finfo(dtype).max)  # type: ignore[no-untyped-call]  # not typed
        values = [0.0, -0.0, 1.0, -3.0, jnp.inf, -jnp.inf, jnp.nan, largest]
        m, u = (jnp.array(each, dtype) for each in np.meshgrid(values, values))
        assert np.asarray(quotient(m, u)).tobytes() == np.asarray(m / u).tobytes()


# The norm is the past's in the first two elements of each step, the gradient's in the others.
FIRST, SECOND = [1.0, -2.0, 3.0, -5.0], [0.5, 0.25, -3.5, 4.0]
MU, NU = [0.5, -1.0, 2.0, 0.25], [8.0, 12.0, 1.0, 0.5]
ARRAYS = (FIRST, SECOND, MU, NU)
LIKE_ONE, BY_SIZE = (0, 1, 2), (3, 4, 5, 6, 7)


def after_two_steps(lr: Any, b1: Any, b2: Any, eps: Any, *arrays: Any) -> jax.Array:
    """A sum over the parameters, in which no two elements cancel."""
    first, second, mu, nu = arrays
    params = jnp.zeros_like(mu)
    transform = adamax_transform(lr, b1, b2, eps)
    state = transform.init(params)._replace(mu=mu, nu=nu)
    for grads in (first, second):
        updates, state = transform.update(grads, state, params)
        params = params + updates
    return jnp.vdot(params, jnp.array([1.0, 2.0, 4.0, 8.0], params.dtype))


def arguments(dtype: Any, size: Any) -> tuple[Any, ...]:
    real = np.promote_types(dtype, np.float32)
    scalars = (jnp.array(x, real) for x in (1.0, 0.5, 0.75))
    return (
        *scalars,
        size.astype(real) / 4,
        *(jnp.array(x, dtype) * size for x in ARRAYS),
    )


@dtypes
def test_derivatives_scale_with_the_size_of_the_gradients(dtype: Any) -> None:
    """Eight powers of two inside the range, so that slopes by gradients are normal numbers too."""
    slopes = jax.grad(after_two_steps, argnums=range(8))
    with jax.enable_x64(True):
        each = sizes(dtype, 8)
        found = jax.jit(jax.vmap(lambda size: slopes(*arguments(dtype, size))))(each)
        for index, slope in enumerate(found):
            rows = np.asarray(slope, np.float64).reshape(len(each), -1)
            rows = rows * np.asarray(each, np.float64)[:, None] if index in BY_SIZE else rows
            (one,) = rows[np.asarray(each == 1)]
            assert np.all(np.isfinite(one))
            assert np.any(one)
            assert np.array_equal(rows, np.broadcast_to(one, rows.shape))


@pytest.mark.slow
@dtypes
@pytest.mark.parametrize(
    "second", [jax.jacfwd, jax.jacrev], ids=["forwards over backwards", "backwards twice"]
)
def test_second_derivatives_by_hyperparameters_do_not_depend_on_the_size(
    dtype: Any, second: Callable[..., Any]
) -> None:
    slopes = second(jax.grad(after_two_steps, argnums=LIKE_ONE), argnums=LIKE_ONE)
    with jax.enable_x64(True):
        each = sizes(dtype, 8)
        found = jax.jit(jax.vmap(lambda size: slopes(*arguments(dtype, size))))(each)
        for column in jax.tree.leaves(found)[1:]:  # lr is linear
            assert np.all(np.isfinite(column))
            assert np.all(column)
            assert len(set(column.tolist())) == 1


@pytest.mark.parametrize("dtype", DTYPES[1:], ids=lambda dtype: dtype.__name__)
def test_a_zero_gradient_has_a_finite_derivative_for_every_eps(dtype: Any) -> None:
    """p = -(1 - b1) / c * g / eps with 1 - b1 = c: its slope is -1 / eps by g, and zero by eps."""

    def stepped(grad: jax.Array, eps: jax.Array) -> jax.Array:
        transform = adamax_transform(1.0, 0.5, 0.75, eps)
        updates: Any = transform.update(grad, transform.init(grad), grad)[0]
        return jnp.asarray(updates)

    with jax.enable_x64(True):
        eps = sizes(dtype)
        slopes = jax.vmap(jax.grad(stepped, argnums=(0, 1)))(jnp.zeros_like(eps), eps)
        assert np.array_equal(slopes[0] * eps, -np.ones(eps.shape))
        assert not np.any(slopes[1])
