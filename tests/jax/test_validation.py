"""Invalid arguments raise errors with value, domain and remedy, before anything is computed."""

import re
from collections.abc import Callable
from fractions import Fraction
from itertools import permutations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adamax_jax import adamax_transform


def step(optimizer: Any, params: Any, grads: Any) -> None:
    optimizer.update(grads, optimizer.init(params), params)


@pytest.mark.parametrize("decoupled", [False, True])
def test_decay_without_parameters_is_a_value_error(decoupled: bool) -> None:
    optimizer = adamax_transform(weight_decay=0.1, decoupled_weight_decay=decoupled)
    with pytest.raises(
        ValueError, match=r"needs the parameters: call update\(grads, state, params\)"
    ):
        optimizer.update(jnp.ones(1), optimizer.init(jnp.ones(1)))


BAD: list[tuple[str, float, str]] = [
    (name, value, end)
    for name, end in (
        ("learning_rate", "inf"), ("eps", "inf"), ("weight_decay", "inf"), ("b1", "1"), ("b2", "1"),
    )
    for value in (-1.0, float("inf"), float("nan"), *([1.0] if end == "1" else []))
]  # fmt: skip


@pytest.mark.parametrize("wrap", [float, jnp.float32, np.float32, np.array])
@pytest.mark.parametrize(("name", "value", "end"), BAD)
def test_a_hyperparameter_outside_its_domain_is_a_value_error(
    name: str, value: float, end: str, wrap: Callable[[float], Any]
) -> None:
    message = re.escape(f"{name} = {value} is outside its domain 0 <= {name} < {end}")
    if name == "learning_rate" and value < 0:
        message += "; to ascend, pass maximize=True"
    with pytest.raises(ValueError, match=f"^{message}$"):
        adamax_transform(**{name: wrap(value)})


@pytest.mark.parametrize("name", ["learning_rate", "b1", "b2", "eps", "weight_decay"])
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (None, TypeError, "{} = None is not a number"),
        ("0.5", TypeError, "{} = '0.5' is not a number"),
        (jnp.ones(2), ValueError, r"{} has shape \(2,\); pass a number or a 0-d array"),
    ],
)
def test_a_value_that_is_not_a_number_raises(
    name: str, value: Any, error: type[Exception], message: str
) -> None:
    if name == "weight_decay" and value is None:
        adamax_transform(weight_decay=None)  # its default, no decay
        return
    with pytest.raises(error, match=f"^{message.format(name)}$"):
        adamax_transform(**{name: value})


@pytest.mark.parametrize("leaf", [jnp.tanh, "name", object()], ids=["function", "text", "object"])
def test_a_leaf_that_is_not_an_array_raises_and_is_named(leaf: Any) -> None:
    params = {"a": [jnp.ones(1), leaf]}
    message = r"^params\['a'\]\[1\] is .*, which is not an array; .*eqx.is_inexact_array\)$"
    with pytest.raises(TypeError, match=message):
        adamax_transform().init(params)


@pytest.mark.parametrize(
    ("leaf", "error", "message"),
    [
        (jnp.ones(3), ValueError, r"has shape \(3,\), but params\['a'\]\[1\] has shape \(2,\)$"),
        (jnp.ones((2, 1)), ValueError, r"has shape \(2, 1\), but .* has shape \(2,\)$"),
        (jnp.ones(2, complex), TypeError, r"dtype complex64, but params.* has dtype float32$"),
        (jnp.ones(2, int), TypeError, r"dtype int32, but params.* has dtype float32$"),
    ],
    ids=["shape", "rank", "complex", "integer"],
)
@pytest.mark.parametrize("with_params", [False, True])
def test_a_mismatched_gradient_raises_and_is_named(
    leaf: Any, error: type[Exception], message: str, with_params: bool
) -> None:
    params = {"a": [jnp.ones(1), jnp.ones(2)]}
    optimizer = adamax_transform()
    given = params if with_params else None
    with pytest.raises(error, match=rf"(?m)^grads\['a'\]\[1\] has {message.removeprefix('has ')}"):
        optimizer.update({"a": [jnp.ones(1), leaf]}, optimizer.init(params), given)


@pytest.mark.parametrize("what", ["grads", "params"])
@pytest.mark.parametrize("wrong", [{"b": [1.0, 1.0]}, {"a": [1.0]}, {"a": (1.0, 1.0)}, {}, 1.0])
def test_a_different_structure_raises_and_shows_the_correct_one(what: str, wrong: Any) -> None:
    trees = {"params": {"a": [jnp.ones(1), jnp.ones(2)]}}
    trees["grads"] = trees["params"]
    optimizer = adamax_transform()
    state = optimizer.init(trees["params"])
    trees[what] = wrong
    with pytest.raises(ValueError, match=rf"^{what} does not have the structure") as info:
        optimizer.update(trees["grads"], state, trees["params"])
    assert "PyTreeDef({'a': [*, *]})" in str(info.value)


@pytest.mark.parametrize("other", [optax.scale_by_adam(), optax.adam(0.1), optax.sgd(0.1, 0.9)])
def test_the_state_of_another_transformation_raises(other: Any) -> None:
    params = jnp.ones(1)
    state = other.init(params)
    with pytest.raises(TypeError, match=f"^state is {type(state).__name__}, not AdamaxState"):
        adamax_transform().update(params, state, params)


@pytest.mark.parametrize("places", [p for p in permutations(range(3)) if p[1] != 1], ids=str)
def test_swapped_arguments_raise_and_show_the_order(places: Any) -> None:
    """Swapped gradients and parameters cannot be detected: they have the same structure."""
    params = {"w": jnp.ones(2)}
    optimizer = adamax_transform()
    right = (params, optimizer.init(params), params)
    message = r"^state is dict, not AdamaxState: call update\(grads, state, params\) with"
    with pytest.raises(TypeError, match=message):
        optimizer.update(*(right[place] for place in places))


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_state_dtype_is_a_dtype_or_its_name(name: str) -> None:
    for given in (name, getattr(jnp, name), jnp.dtype(name)):
        state = adamax_transform(state_dtype=given).init(jnp.ones(1))
        assert state.mu.dtype == state.nu.dtype == name


@pytest.mark.parametrize("name", ["b1", "b2"])
def test_a_rational_that_rounds_out_of_its_domain_raises(name: str) -> None:
    almost: Any = 1 - Fraction(1, 10**30)
    with pytest.raises(ValueError, match=rf"^{name} = 1\.0 is outside its domain 0 <= {name} < 1$"):
        adamax_transform(**{name: almost})


def test_a_mask_of_another_structure_raises() -> None:
    optimizer = adamax_transform(weight_decay=0.1, mask={"x": True})
    params = {"w": jnp.ones(1), "b": jnp.ones(1)}
    with pytest.raises(ValueError, match="structure"):
        optimizer.update(params, optimizer.init(params), params)


@pytest.mark.parametrize("dtype", [int, bool, jnp.complex64])
def test_a_state_dtype_that_is_not_real_floating_point_raises(dtype: Any) -> None:
    name = jnp.dtype(dtype).name
    message = f"^state_dtype = {name} is not a real floating-point dtype, or the name of one$"
    for given in (dtype, name):
        with pytest.raises(TypeError, match=message):
            adamax_transform(state_dtype=given)


def test_a_state_of_another_shape_raises() -> None:
    optimizer = adamax_transform()
    with pytest.raises(ValueError, match=r"\(1,\)"):
        optimizer.update(jnp.ones(3), optimizer.init(jnp.ones(1)), jnp.ones(3))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("w", "mask has 'w' for a leaf"),
        ({"w": "no"}, "mask has 'no' for a leaf"),
        ({"v": True}, "mask is not a prefix of the parameters"),
    ],
)
def test_an_invalid_mask_raises(mask: Any, message: str) -> None:
    params = {"w": jnp.ones(2)}
    with pytest.raises(ValueError, match=message):
        step(adamax_transform(weight_decay=0.1, mask=mask), params, params)


@pytest.mark.parametrize("jit", [False, True])
def test_a_schedule_may_round_below_zero(jit: bool) -> None:
    """The value of a schedule is not validated, compiled or not."""
    schedule = jax.jit(optax.linear_schedule(1e-3, 0.0, 1000))
    assert schedule(1000) < 0
    params = jnp.ones(2)
    optimizer = adamax_transform(schedule, b1=0.0, eps=0.0)
    state = optimizer.init(params)._replace(count=jnp.int32(1000))
    update = jax.jit(optimizer.update) if jit else optimizer.update
    updates, _ = update(params, state, params)
    assert updates.tolist() == [-float(schedule(1000))] * 2


@pytest.mark.parametrize("value", [None, "0.1"])
@pytest.mark.parametrize("name", ["learning_rate", "weight_decay"])
def test_a_schedule_that_gives_no_number_raises_and_is_named(name: str, value: Any) -> None:
    """As a function does that lacks its return."""
    params = jnp.ones(2)
    schedule: Any = lambda _: value  # noqa: E731 - one expression
    optimizer = adamax_transform(**{name: schedule})
    with pytest.raises(TypeError, match=f"^{name} is a schedule that gives {value!r}"):
        optimizer.update(params, optimizer.init(params), params)


def test_a_schedule_gives_a_scalar() -> None:
    params = jnp.ones(2)
    with pytest.raises(ValueError, match=r"learning_rate has shape \(1,\); pass a number"):
        step(adamax_transform(lambda _count: jnp.ones(1)), params, params)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (
            jnp.ones((1, 3)),
            ValueError,
            r"params\[0\] has shape \(1, 3\), but state.mu\[0\] has shape",
        ),
        (
            jnp.ones((2, 3), int),
            TypeError,
            r"params\[0\] has dtype int32, but state.mu\[0\] has dtype",
        ),
        (
            jnp.ones((2, 3), complex),
            TypeError,
            r"params\[0\] has dtype complex64, but state.mu\[0\]",
        ),
        (None, ValueError, "params has None where the state has a parameter"),
    ],
)
def test_parameters_that_do_not_match_the_state_raise(
    params: Any, error: type[Exception], message: str
) -> None:
    optimizer = adamax_transform()
    state = optimizer.init([jnp.ones((2, 3))])
    grads = [jnp.ones((2, 3), complex) if jnp.iscomplexobj(params) else jnp.ones((2, 3))]
    if params is not None and params.shape != (2, 3):
        grads = [params]
    with pytest.raises(error, match=message):
        optimizer.update(grads, state, [params])


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"nu": {}}, ValueError, "state.nu does not have the structure of the parameters"),
        ({"nu": {"w": None}}, ValueError, "state.nu has None where the state has a parameter"),
        ({"nu": {"w": jnp.ones(2, int)}}, TypeError, r"state.nu\['w'\] has dtype int32"),
        ({"nu": {"w": jnp.ones(3)}}, ValueError, r"state.nu\['w'\] has shape \(3,\)"),
        ({"count": jnp.zeros(2, int)}, ValueError, r"state.count has shape \(2,\), but must"),
        ({"steps": ()}, ValueError, "state.steps has 0 counts, but there are 1 parameters"),
    ],
)
def test_an_inconsistent_state_raises(
    changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    params = {"w": jnp.ones(2)}
    optimizer = adamax_transform()
    state = optimizer.init(params)._replace(**changed)
    with pytest.raises(error, match=message):
        optimizer.update(params, state, params)


@pytest.mark.parametrize("name", ["learning_rate", "b1", "b2", "eps", "weight_decay"])
def test_a_traced_vector_raises(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} has shape \(2,\); pass a number or a 0-d array"):
        jax.jit(lambda value: adamax_transform(**{name: value}).init(jnp.ones(2)))(jnp.ones(2) / 2)
