"""Numbers that carry their error: the bound holds whatever a format does, and is not vacuous."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gmpy2 import mpq
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adamax_conformance import check, diagnose
from adamax_conformance.bounds.carried import (
    UNBOUNDED_FROM,
    Carried,
    K,
    exact,
    loosest,
    power,
    span,
)
from adamax_conformance.spec.formats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, Format

FORMATS = [FLOAT16, BFLOAT16, FLOAT32, FLOAT64]
ORDINARY = st.floats(min_value=-64, max_value=64, width=16).filter(
    lambda x: x == 0 or abs(x) > 2.0**-8
)
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
}


def rounded(value: float, format_: Format) -> float:
    """Round once; float64 holds an operation on narrower formats precisely enough for that."""
    with np.errstate(over="ignore"):
        return float(np.float64(value).astype(format_.dtype))


@pytest.mark.parametrize("format_", FORMATS, ids=lambda f: f.name)
@pytest.mark.parametrize("sign", OPERATIONS)
@settings(derandomize=True, deadline=None, max_examples=60)
@given(x=ORDINARY, y=ORDINARY, z=ORDINARY)
def test_what_a_format_computes_is_inside_the_bound(
    format_: Format, sign: str, x: float, y: float, z: float
) -> None:
    operation = OPERATIONS[sign]
    x, y, z = (rounded(each, format_) for each in (x, y, z))
    assume(bool(y and z) or sign != "/")
    computed = rounded(operation(rounded(operation(x, y), format_), z), format_)
    assume(abs(computed) <= format_.largest)
    carried = operation(
        operation(Carried.of([x], format_), Carried.of([y], format_)), Carried.of([z], format_)
    )
    assert abs(Fraction(computed) - carried.value[0]) <= carried.error[0]


@pytest.mark.parametrize("format_", FORMATS, ids=lambda f: f.name)
def test_bound_counts_roundings(format_: Format) -> None:
    one, three = Carried.of([1.0], format_), Carried.of([3.0], format_)
    unit = format_.unit
    assert (one + three).error[0] == 4 * unit
    assert (one * three).error[0] == K * 3 * unit
    assert (-three).error[0] == abs(three).error[0] == 0
    # A scalar in a sum is converted first.
    assert unit * Fraction(17, 16) <= (one + Fraction(1, 16)).error[0] <= unit * Fraction(5, 4)


def test_bound_of_a_quotient_by_what_may_be_zero_says_nothing() -> None:
    near_zero = Carried(exact([2.0**-30]), exact([2.0**-29]), FLOAT32)
    assert (Carried.of([1.0], FLOAT32) / near_zero).error[0] >= UNBOUNDED_FROM


def test_underflow_is_allowed_only_where_something_is_too_small() -> None:
    tiny = Carried.of([2.0**-126], FLOAT32)
    assert (tiny * Fraction(1, 2)).error[0] >= FLOAT32.underflow
    assert (Carried.of([1.0], FLOAT32) * Fraction(1, 2)).error[0] == K * FLOAT32.unit / 2


@pytest.mark.parametrize("exponent", [0, 1, 2, 64, 65, 1000, 12345])
@pytest.mark.parametrize("base", [0.0, 0.5, 0.9, 0.999])
def test_power_is_right_to_its_digits(base: float, exponent: int) -> None:
    true = Fraction(base) ** exponent
    cut = power(Fraction(base), exponent)
    assert abs(cut - true) <= true * Fraction(1, 2**180) + Fraction(1, 2**18_900)


def test_power_of_a_long_run_is_quick_and_vanishes() -> None:
    assert power(Fraction(3, 4), 2**31) == 0


def test_maximum_keeps_the_error_of_whichever_may_be_taken() -> None:
    def number(value: float, error: Fraction) -> Carried:
        return Carried(exact([value]), np.array([error]), FLOAT32)

    near, far = Fraction(1, 4), Fraction(1, 1024)
    assert Carried.maximum(number(1, near), number(1.125, far)).error[0] == near
    assert Carried.maximum(number(1, near), number(8, far)).error[0] == far


def test_loosest_takes_the_larger_error_and_refuses_another_function() -> None:
    tight, loose = Carried.of([1.0], FLOAT32), Carried.of([1.0], FLOAT32).rounded(K)
    assert loosest(tight, loose).error[0] == K * FLOAT32.unit
    with pytest.raises(AssertionError, match="different values"):
        loosest(tight, Carried.of([2.0], FLOAT32))


def test_span_holds_both_ends() -> None:
    between = span(Carried.of([-1.0], FLOAT32), Carried.of([3.0], FLOAT32))
    assert (between.value[0], between.error[0]) == (1, 2)


def test_around_moves_to_what_is_reported_where_it_is_finite() -> None:
    carried = Carried.of([1.0, 1.0], FLOAT32).rounded()
    moved: Any = carried.around(np.array([1.5, np.nan]))
    assert [*moved.value] == [Fraction(3, 2), 1]
    assert [*moved.error] == [*carried.error]


@pytest.mark.slow
def test_everything_in_a_judgement_is_a_rational(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rational combined with a float silently becomes a rounded number."""
    seen: set[type] = set()
    made = Carried.__post_init__

    def watched(number: Carried) -> None:
        made(number)
        seen.update(map(type, [*number.value.flat, *number.error.flat]))

    monkeypatch.setattr(Carried, "__post_init__", watched)
    # Another seed than that of other tests, whose bounds may be remembered.
    assert check("numpy", dtypes=["bfloat16", "float64"], seed=17).failed_clauses == ()
    assert diagnose("torch.optim").canonical
    assert seen <= {type(mpq(1)), int}


STATM = Path("/proc/self/statm")


@pytest.mark.skipif(not STATM.exists(), reason="this system does not tell its memory there")
def test_rounding_frees_what_it_has_computed() -> None:
    """The errors here have 2.5 kB; kept, those of 20,000 roundings would take 12,000 pages."""
    wide = Carried(exact(np.ones(200)), np.full(200, UNBOUNDED_FROM**2 + mpq(1, 3)), FLOAT32)

    def pages() -> int:
        wide.rounded()
        return int(STATM.read_text().split()[1])

    before = pages()
    for _ in range(100):
        wide.rounded()
    assert pages() - before < 3000
