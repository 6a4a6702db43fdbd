"""The rule on every kind of array: half precision, complex numbers, rationals, the array API."""

import subprocess
import sys
from fractions import Fraction
from typing import Any

import array_api_strict as strict
import ml_dtypes
import numpy as np
import pytest

from adamax_core import Hyperparameters, State, init, step, update
from adamax_core.arrays import kind, narrow, widen, zeros
from exact import Followed, assert_within, follow

Q = Fraction  # the rationals
Array = np.ndarray[Any, Any]
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
HALVES = [np.dtype(np.float16), BFLOAT16]
HYPERPARAMETERS = [
    Hyperparameters(),
    Hyperparameters(0.25, (0.5, 0.75), 0.125),
    Hyperparameters(0.1, (0.3, 0.999), 1e-3, 0.01),
    Hyperparameters(0.1, (0.0, 0.0), 1e-3, 0.1, decoupled_weight_decay=True, maximize=True),
]


def sample(seed: int, count: int = 12) -> tuple[Array, list[Array]]:
    """Parameters, one of them zero, and the gradients of four steps."""
    rng = np.random.default_rng(seed)
    params = rng.normal(size=count)
    params[0] = 0
    return params, [np.asarray(rng.normal(size=count)) for _ in range(4)]


def bits(tree: tuple[Any, State]) -> list[Any]:
    params, state = tree
    return [params.tobytes(), state.step, state.exp_avg.tobytes(), state.exp_inf.tobytes()]


@pytest.mark.parametrize("hp", HYPERPARAMETERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_float_step_is_within_the_counted_roundings_of_the_exact_one(
    hp: Hyperparameters, dtype: str
) -> None:
    w = Q(1, 2 ** {"float32": 24, "float64": 53}[dtype])
    start, grads = sample(seed=1)
    params = start.astype(dtype)
    state = init(params)
    exact = [Followed(Q(float(p)), Q(0), Q(0), 0) for p in params]
    for grad in (g.astype(dtype) for g in grads):
        params, state = step(params, grad, state, hp)
        exact = [follow(at, float(g), hp, w) for at, g in zip(exact, grad, strict=True)]
        assert params.dtype == state.exp_avg.dtype == state.exp_inf.dtype == dtype
        for values, name in ((params, "param"), *zip(state[1:], State._fields[1:], strict=True)):
            right = [getattr(at, name) for at in exact]
            assert_within(values, right, [getattr(at, "d_" + name) for at in exact])


@pytest.mark.parametrize("hp", HYPERPARAMETERS)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_half_precision_is_the_float32_step_rounded_once(hp: Hyperparameters, dtype: Any) -> None:
    start, grads = sample(seed=2)
    params = start.astype(dtype)
    state = init(params)
    for grad in (g.astype(dtype) for g in grads):
        wide = State(state.step, *(moment.astype(np.float32) for moment in state[1:]))
        wide_params, wide = step(params.astype(np.float32), grad.astype(np.float32), wide, hp)
        params, state = step(params, grad, state, hp)
        rounded = State(wide.step, *(moment.astype(dtype) for moment in wide[1:]))
        assert params.dtype == state.exp_inf.dtype == dtype
        assert bits((params, state)) == bits((wide_params.astype(dtype), rounded))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_a_zero_first_gradient_in_half_precision_gives_zero(dtype: Any) -> None:
    param = np.array([1.0], dtype)
    after, state = step(param, np.zeros(1, dtype), init(param), Hyperparameters())
    assert after[0] == 1
    assert state.exp_avg[0] == 0


@pytest.mark.parametrize("hp", HYPERPARAMETERS)
@pytest.mark.parametrize(("dtype", "parts"), [("complex64", "float32"), ("complex128", "float64")])
def test_complex_numbers_are_pairs_of_reals(hp: Hyperparameters, dtype: str, parts: str) -> None:
    start, grads = sample(seed=3)
    real = start.astype(parts)
    whole = real.view(dtype)
    state, pairs = init(whole), init(real)
    for grad in (g.astype(parts) for g in grads):
        whole, state = step(whole, grad.view(dtype), state, hp)
        real, pairs = step(real, grad, pairs, hp)
        assert whole.dtype == state.exp_avg.dtype == state.exp_inf.dtype == dtype
        assert bits((whole, state)) == bits((real, pairs))


def test_an_infinite_part_of_a_complex_number_does_not_change_the_other() -> None:
    param = np.array([1 + 2j])
    hp = Hyperparameters(0.25, (0.5, 0.5), 0.0)
    after, state = step(param, np.array([complex(np.inf, 1)]), init(param), hp)
    assert after[0].imag == 1.75
    assert np.isnan(after[0].real)
    assert state.exp_inf[0] == complex(np.inf, 1)


def test_object_arrays_are_exact_and_of_any_shape() -> None:
    """The first step of the table of dialects, elementwise on a matrix and on a 0-d array."""
    hp = Hyperparameters(Q(1, 8), (Q(3, 4), Q(7, 8)), Q(1, 4))
    for shape in ((2, 1), ()):
        params = np.full(shape, Q(0), dtype=object)
        grads = np.full(shape, Q(1), dtype=object)
        after, state = step(params, grads, init(params), hp)
        assert after.shape == shape
        assert list(after.flat) == [Q(-1, 10)] * after.size
        assert list(state.exp_avg.flat) == [Q(1, 4)] * after.size
        assert list(state.exp_inf.flat) == [Q(5, 4)] * after.size


@pytest.mark.parametrize("hp", HYPERPARAMETERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_array_api_strict_gives_the_bits_of_numpy(hp: Hyperparameters, dtype: str) -> None:
    start, grads = sample(seed=4)
    params = start.astype(dtype)
    strict_params = strict.asarray(params)
    state, strict_state = init(params), init(strict_params)
    for grad in (g.astype(dtype) for g in grads):
        params, state = step(params, grad, state, hp)
        strict_params, strict_state = step(strict_params, strict.asarray(grad), strict_state, hp)
        arrays = [np.asarray(each) for each in (strict_params, *strict_state[1:])]
        assert isinstance(strict_params, type(strict.asarray(0.0)))
        assert bits((arrays[0], State(strict_state.step, *arrays[1:]))) == bits((params, state))


def test_complex_arrays_of_another_library_raise_with_a_remedy() -> None:
    params = strict.asarray([1 + 1j])
    remedy = "array_api_strict are not supported: .* the real and imaginary parts as two leaves"
    with pytest.raises(TypeError, match=remedy):
        step(params, params, init(params), Hyperparameters())


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (np.ones(1, np.float16), np.float32),
        (np.ones(1, np.complex64), np.complex128),
        (np.ones(1, np.complex128), np.complex128),
    ],
)
def test_state_dtype_is_that_of_the_parts(params: Array, expected: Any) -> None:
    dtype = np.float32 if params.dtype == np.float16 else np.float64
    state = init(params, dtype)
    after, state = step(params, params, state, Hyperparameters())
    assert state.exp_avg.dtype == state.exp_inf.dtype == expected
    assert after.dtype == params.dtype


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_the_name_of_a_state_dtype_is_resolved_in_the_library_of_the_array(name: str) -> None:
    state = init(strict.asarray([1.0]), name)
    assert state.exp_avg.dtype == state.exp_inf.dtype == getattr(strict, name)


def test_a_dtype_name_unknown_to_numpy_raises_with_the_remedy() -> None:
    source = """
import numpy as np, adamax_core
try:
    adamax_core.init(np.ones(1), "bfloat16")
except TypeError as error:
    print(error)
import ml_dtypes
print(adamax_core.init(np.ones(1), "bfloat16").exp_avg.dtype)
"""
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "state_dtype = bfloat16 is not known to NumPy: `import ml_dtypes` first",
        "bfloat16",
    ]


def test_a_float32_state_lets_the_norm_of_bfloat16_decay() -> None:
    """2^8 steps of 0.999 leave u = 0.999^256 = 0.774; in bfloat16 it rounds back to one."""
    params, zero = np.ones(1, BFLOAT16), np.zeros(1, BFLOAT16)
    norms = {}
    for dtype in (BFLOAT16, np.dtype(np.float32)):
        _, state = step(params, params, init(params, dtype), Hyperparameters())
        for _ in range(256):
            _, state = step(params, zero, state, Hyperparameters())
        norms[dtype] = float(state.exp_inf[0])
    assert norms[BFLOAT16] == 1
    assert 0.774 < norms[np.dtype(np.float32)] < 0.775


def test_the_moments_keep_their_dtype_whatever_that_of_the_gradient() -> None:
    params = np.ones(2, np.float32)
    updates, state = update(np.ones(2), init(params), params, Hyperparameters())
    assert updates.dtype == state.exp_avg.dtype == state.exp_inf.dtype == np.float32


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros(1, np.float16), "real"),
        (np.zeros(1, BFLOAT16), "real"),
        (np.zeros(1, ml_dtypes.float8_e4m3fn), "real"),
        (np.float64(1), "real"),
        (np.zeros(1, np.complex64), "complex"),
        (np.zeros(1, object), "rational"),
        (np.zeros(1, np.int64), "other"),
        (np.zeros(1, bool), "other"),
        (np.zeros(1, "U1"), "other"),
        (np.zeros(1, [("field", float)]), "other"),
        (strict.asarray([1.0]), "real"),
        (strict.asarray([1j]), "complex"),
        (strict.asarray([1]), "other"),
    ],
    ids=lambda value: str(getattr(value, "dtype", value)),
)
def test_kinds_of_arrays(array: Any, expected: str) -> None:
    assert kind(array) == expected


@pytest.mark.parametrize("shape", [(), (0,), (2,), (2, 0, 3), (2, 3)])
@pytest.mark.parametrize("dtype", ["float16", "float64", "complex64", "complex128", "O"])
def test_narrow_undoes_widen(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.full(shape, 3, dtype)
    if array.dtype.kind == "c":
        array = array * array.dtype.type(1 - 2j)
    back = narrow(widen(array)[0], array)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert np.array_equal(back, array)


def test_zeros_have_the_shape_and_the_dtype_asked_for() -> None:
    assert zeros(np.ones((2, 3), np.float32)).dtype == np.float32
    complex_zeros = zeros(np.ones((2, 3), np.complex64), np.float64)
    assert complex_zeros.dtype == np.complex128
    assert complex_zeros.shape == (2, 3)
    assert not complex_zeros.any()
