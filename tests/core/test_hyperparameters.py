"""Every field has a domain; a value outside it raises and shows value and domain."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import array_api_strict as strict
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from adamax_core import Hyperparameters

BETAS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "beta1": lambda x: (x, 0.999),
    "beta2": lambda x: (0.9, x),
}
FIELDS = ("lr", "eps", "weight_decay", *BETAS)


def arguments(field: str, value: Any) -> dict[str, Any]:
    return {"betas": BETAS[field](value)} if field in BETAS else {field: value}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [-1.0, -5e-324, math.inf, -math.inf, math.nan])
def test_a_value_outside_its_domain_raises_and_shows_the_domain(field: str, value: float) -> None:
    end = "1" if field in BETAS else "inf"
    message = rf"^{field} = {value} is outside its domain 0 <= {field} < {end}$"
    with pytest.raises(ValueError, match=message):
        Hyperparameters(**arguments(field, value))


@pytest.mark.parametrize("field", BETAS)
@pytest.mark.parametrize("one", [1, 1.0, Fraction(1), 1 + 2**-52])
def test_a_beta_is_less_than_one(field: str, one: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{field} = .* is outside its domain 0 <= {field} < 1$"):
        Hyperparameters(**arguments(field, one))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [0, 0.0, -0.0, Fraction(1, 2), 5e-324, 1 - 2**-53])
def test_closed_ends_of_a_domain_pass(field: str, value: Any) -> None:
    Hyperparameters(**arguments(field, value))


@pytest.mark.parametrize("field", ["lr", "eps", "weight_decay"])
def test_the_largest_float_is_allowed_but_for_the_betas(field: str) -> None:
    Hyperparameters(**arguments(field, 1.7976931348623157e308))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", ["0.1", None, 1j, [0.1]])
def test_a_value_that_is_not_a_number_is_a_type_error(field: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{field} = .* is not a number$"):
        Hyperparameters(**arguments(field, value))


LIBRARIES: dict[str, Callable[[Any], Any]] = {
    "numpy": np.array,
    "numpy scalar": np.float32,
    "array api": lambda value: strict.asarray(value, dtype=strict.float64),
    "jax": jnp.asarray,
    "torch": torch.tensor,
    "torch, requires grad": lambda value: torch.tensor(value, requires_grad=True),
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("field", FIELDS)
def test_a_zero_dimensional_array_has_the_domain_of_a_number(field: str, library: str) -> None:
    array = LIBRARIES[library]
    for value in (0.0, 0.5):
        hp = Hyperparameters(**arguments(field, array(value)))
        assert hp.numbers() == Hyperparameters(**arguments(field, value))
    end = "1" if field in BETAS else "inf"
    for value in (-1.0, math.inf, math.nan):
        message = rf"^{field} = {value} is outside its domain 0 <= {field} < {end}$"
        with pytest.raises(ValueError, match=message):
            Hyperparameters(**arguments(field, array(value)))


@pytest.mark.parametrize("library", ["numpy", "array api", "jax", "torch"])
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [[0.5], [0.5, 0.25], []])
def test_an_array_with_dimensions_raises_and_shows_its_shape(
    field: str, library: str, value: list[float]
) -> None:
    message = rf"^{field} has shape \({len(value)},\); pass a number or a zero-dimensional array$"
    with pytest.raises(ValueError, match=message):
        Hyperparameters(**arguments(field, LIBRARIES[library](value)))


@pytest.mark.parametrize("value", [np.array("0.1"), np.array(1j), torch.tensor(1j)], ids=str)
def test_an_array_that_is_not_of_real_numbers_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^lr = .* is not a number$"):
        Hyperparameters(lr=value)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    ("trace", "given"),
    [
        (jax.jit, np.float32(-1.0)),
        (jax.vmap, np.array([-1.0, 2.0], np.float32)),
        (torch.vmap, torch.tensor([-1.0, 2.0])),
    ],
    ids=["jit", "vmap", "torch.vmap"],
)
def test_an_unreadable_value_passes_unchecked(
    field: str, trace: Callable[[Any], Callable[[Any], Any]], given: Any
) -> None:
    seen = []

    def validated(value: Any) -> Any:
        seen.append(Hyperparameters(**arguments(field, value)))
        return value

    trace(validated)(given)
    assert len(seen) == 1


@pytest.mark.parametrize("field", FIELDS)
def test_a_tensor_without_memory_passes_unchecked(field: str) -> None:
    value = torch.tensor(-1.0, device="meta")
    hp = Hyperparameters(**arguments(field, value))
    with pytest.raises(RuntimeError, match="meta"):
        hp.numbers()


@pytest.mark.parametrize("betas", [0.9, None, (0.9,), (0.9, 0.99, 0.999), {0.9, 0.999}, "ab"])
def test_betas_that_are_not_a_pair_raise(betas: Any) -> None:
    with pytest.raises(ValueError, match=r"^betas = .* is not a pair \(beta1, beta2\)$"):
        Hyperparameters(betas=betas)


def test_the_defaults_are_those_of_the_paper_and_of_torch() -> None:
    hp = Hyperparameters()
    assert (hp.lr, hp.betas, hp.eps, hp.weight_decay) == (2e-3, (0.9, 0.999), 1e-8, 0)
    assert not hp.maximize
    assert not hp.decoupled_weight_decay


def test_hyperparameters_are_immutable() -> None:
    with pytest.raises(AttributeError, match="cannot assign to field 'lr'"):
        Hyperparameters().lr = 1.0  # type: ignore[misc]  # the point


def test_flags_are_keyword_only() -> None:
    with pytest.raises(TypeError, match="positional"):
        Hyperparameters(1e-3, (0.9, 0.999), 1e-8, 0.0, True)  # type: ignore[call-arg]  # the point
