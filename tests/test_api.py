"""The functions of the core, of the fused kernel and of PyTorch take and refuse the same."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import permutations
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import adamax_core
import adamax_fused
from adamax_conformance.subject.backend import unvalidated
from adamax_core import Cotangents, Hyperparameters, State
from adamax_torch import functional


@dataclass(frozen=True)
class Package:
    """What the packages call the same, and how they make an array."""

    init: Callable[..., State]
    step: Callable[..., Any]
    array: Callable[..., Any]
    dtype: Callable[[str], Any]


def tensor(values: Any, dtype: str = "float64") -> torch.Tensor:
    return torch.tensor(values, dtype=getattr(torch, dtype))


def numpy_dtype(name: str) -> Any:
    return np.dtype(getattr(ml_dtypes, name, name))


CORE = Package(adamax_core.init, adamax_core.step, np.array, numpy_dtype)
FUSED = Package(adamax_fused.init, adamax_fused.step_, np.array, numpy_dtype)
TORCH = Package(functional.init, functional.step, tensor, lambda name: getattr(torch, name))
PACKAGES = pytest.mark.parametrize("package", [CORE, FUSED, TORCH], ids=["core", "fused", "torch"])

CALLS: list[tuple[Package, Callable[..., Any], str, tuple[str, ...]]] = [
    (CORE, adamax_core.step, "step", ("params", "grads", "state")),
    (CORE, adamax_core.update, "update", ("grads", "state", "params")),
    (
        CORE,
        partial(adamax_core.step_vjp, cotangents=Cotangents(np.ones(2))),
        "step_vjp",
        ("params", "grads", "state"),
    ),
    (FUSED, adamax_fused.step_, "step_", ("params", "grads", "state")),
    (TORCH, functional.step, "step", ("params", "grads", "state")),
    (TORCH, functional.update, "update", ("grads", "state", "params")),
]


@pytest.mark.parametrize(("package", "call", "name", "order"), CALLS)
@pytest.mark.parametrize("places", list(permutations(range(4))), ids=str)
def test_arguments_in_another_order_are_refused_with_the_right_one(
    package: Package,
    call: Callable[..., Any],
    name: str,
    order: tuple[str, ...],
    places: tuple[int, ...],
) -> None:
    """All 24 orders, but for the exchange of two trees, which look alike."""
    params, grads = package.array([1.0, 2.0]), package.array([3.0, 4.0])
    given = {"params": params, "grads": grads, "state": package.init(params)}
    right = [*(given[argument] for argument in order), Hyperparameters()]
    given_instead = [right[place] for place in places]
    if all(type(one) is type(other) for one, other in zip(right, given_instead, strict=True)):
        call(*given_instead)
        return
    message = (
        r"^(params|grads|state|hyperparameters) is (State|Hyperparameters|ndarray|Tensor), not .*: "
        rf"call {name}\({', '.join(order)}, hyperparameters(, cotangents)?\)$"
    )
    with pytest.raises(TypeError, match=message):
        call(*given_instead)


@PACKAGES
@pytest.mark.parametrize("what", ["grads", "exp_avg", "exp_inf"])
@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (([1.0, 2.0, 3.0],), ValueError),
        (([[1.0, 2.0]],), ValueError),
        (([1.0],), ValueError),
        ((1.0,), ValueError),
        (([1, 2], "int64"), TypeError),
        (([True, False], "bool"), TypeError),
        (([1.0, 2.0], "complex128"), TypeError),
    ],
    ids=["longer", "rank", "would broadcast", "0-d", "integer", "boolean", "complex"],
)
def test_a_shape_is_a_value_error_and_a_dtype_a_type_error(
    package: Package, what: str, wrong: tuple[Any, ...], error: type[Exception]
) -> None:
    params = {"w": package.array([1.0, 2.0])}
    trees = {"grads": params, **package.init(params)._asdict(), what: {"w": package.array(*wrong)}}
    grads = trees.pop("grads")
    with pytest.raises(error, match=r"\['w'\]"):
        package.step(params, grads, State(**trees), Hyperparameters())


@PACKAGES
def test_a_parameter_that_is_not_floating_point_is_a_type_error(package: Package) -> None:
    with pytest.raises(TypeError, match=r"^params\['w'\].*int64"):
        package.init({"w": package.array([1, 2], "int64")})


@PACKAGES
@pytest.mark.parametrize("what", ["grads", "exp_avg", "exp_inf", "step"])
def test_what_is_not_an_array_is_a_type_error(package: Package, what: str) -> None:
    params = {"w": package.array([1.0, 2.0])}
    trees = {"grads": params, **package.init(params)._asdict(), what: {"w": object()}}
    grads = trees.pop("grads")
    with pytest.raises(TypeError, match=r"\['w'\]"):
        package.step(params, grads, State(**trees), Hyperparameters())


@PACKAGES
@pytest.mark.parametrize("name", ["float64", "float32", "float16", "bfloat16"])
def test_state_dtype_is_a_dtype_or_its_name(package: Package, name: str) -> None:
    params = {"w": package.array([1.0, 2.0])}
    for given in (name, package.dtype(name)):
        state = package.init(params, given)
        assert state.exp_avg["w"].dtype == state.exp_inf["w"].dtype == package.dtype(name)


@PACKAGES
@pytest.mark.parametrize("name", ["int64", "bool", "complex64"])
def test_another_state_dtype_is_a_type_error(package: Package, name: str) -> None:
    message = rf"^state_dtype = (torch\.)?{name} is not a real floating-point .*the name of one$"
    for given in (name, package.dtype(name)):
        with pytest.raises(TypeError, match=message):
            package.init({"w": package.array([1.0])}, given)


@PACKAGES
@pytest.mark.parametrize("name", ["float33", "floating", "nn", ""])
def test_the_name_of_no_dtype_is_a_type_error(package: Package, name: str) -> None:
    with pytest.raises(TypeError, match=rf"^state_dtype = {name} is not a real floating-point"):
        package.init({"w": package.array([1.0])}, name)


ALMOST_ONE = 1 - Fraction(1, 10**30)

NUMBERS: list[Callable[[float], Any]] = [
    np.array,
    np.float64,
    lambda x: torch.tensor(x, dtype=torch.float64),
    lambda x: torch.tensor(x, dtype=torch.float64, requires_grad=True),
]


@PACKAGES
@pytest.mark.parametrize("number", NUMBERS, ids=["array", "scalar", "tensor", "requires grad"])
def test_hyperparameters_may_be_arrays_of_no_dimension(
    package: Package, number: Callable[[float], Any]
) -> None:
    """The bits are those of floats, in the core and the kernel; a tensor of PyTorch is traced."""
    hp = Hyperparameters(0.1, (0.9, 0.75), 1e-3, 0.25)
    arrays = Hyperparameters(number(0.1), (number(0.9), number(0.75)), number(1e-3), number(0.25))
    found = []
    for each in (hp, arrays):
        params = package.array([1.0, 2.0])
        state = package.init(params)
        after = package.step(params, package.array([3.0, 4.0]), state, each)
        stepped, state = (params, after) if package is FUSED else after
        found.append(
            [
                bytes(x.detach().numpy() if package is TORCH else x)
                for x in (stepped, state.exp_avg, state.exp_inf)
            ]
        )
    assert found[0] == found[1]


@pytest.mark.parametrize("package", [FUSED, TORCH], ids=["fused", "torch"])
@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("lr", 10**400, "lr = inf is outside its domain 0 <= lr < inf"),
        ("eps", Fraction(10**400), "eps = inf is outside its domain 0 <= eps < inf"),
        ("betas", (ALMOST_ONE, 0.5), "beta1 = 1.0 is outside its domain 0 <= beta1 < 1"),
        ("betas", (0.5, ALMOST_ONE), "beta2 = 1.0 is outside its domain 0 <= beta2 < 1"),
    ],
)
def test_a_number_that_a_float_takes_out_of_its_domain_is_refused(
    package: Package, name: str, given: Any, message: str
) -> None:
    """The core computes with the rational itself."""
    params = package.array([1.0, 2.0])
    hp = Hyperparameters(**{name: given})
    with pytest.raises(ValueError, match=f"^{message}$"):
        package.step(params, package.array([1.0, 2.0]), package.init(params), hp)


def test_there_is_one_class_of_hyperparameters_and_one_of_states() -> None:
    assert functional.Hyperparameters is adamax_core.Hyperparameters
    assert functional.State is adamax_core.State


@PACKAGES
@pytest.mark.parametrize("value", [-1.0, np.array(-1.0), torch.tensor(-1.0)])
def test_a_number_out_of_its_domain_is_refused_before_a_step(package: Package, value: Any) -> None:
    """Also where the object was made without being validated, as by unpickling."""
    hp = unvalidated(Hyperparameters(), eps=value)
    params = package.array([1.0, 2.0])
    with pytest.raises(ValueError, match=r"^eps = -1\.0 is outside its domain 0 <= eps < inf$"):
        package.step(params, params, package.init(params), hp)
