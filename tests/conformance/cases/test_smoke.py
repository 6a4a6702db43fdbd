"""The smoke test: what cannot take one step is broken, or blocked in one dtype alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adamax_conformance import ConformanceError, Status, Verdict, check
from adamax_conformance.cases.case import PLAIN
from adamax_conformance.reports.text import after_outcome
from adamax_conformance.subjects.reference import backend as reference

BASE = reference()


def raising(*_args: Any, **_kwargs: Any) -> Any:
    raise RuntimeError("the kernel said no")


def exiting(*_args: Any, **_kwargs: Any) -> Any:
    raise SystemExit(3)


@pytest.mark.parametrize("fault", [raising, exiting])
@pytest.mark.parametrize("part", ["init", "step", "moments"])
def test_backend_that_cannot_take_a_step_is_broken(part: str, fault: Callable[..., Any]) -> None:
    report = check(replace(BASE, **{part: fault}), clauses=["A-4"])  # type: ignore[arg-type]  # mypy mixes up the fields of a ** argument
    assert report.verdict is Verdict.BROKEN
    assert f"the smoke test, one float64 step: {part} raised" in report.broken
    assert {r.status for r in report.results} <= {Status.BLOCKED, Status.UNSUPPORTED}
    with pytest.raises(ConformanceError, match="the smoke test"):
        report.raise_for_status()


def reversed_values(arrays: Any) -> Any:
    return dict(zip(arrays, reversed([*arrays.values()]), strict=True))


@pytest.mark.parametrize(
    ("part", "mix", "message"),
    [
        ("step", lambda p, g, s: (reversed_values(BASE.step(p, g, s, PLAIN)[0]), s), "w came back"),
        ("moments", lambda s: reversed_values(BASE.moments(s)), "w: exp_avg has shape (2, 2)"),
    ],
)
def test_parameters_that_are_mixed_up_are_said_at_once(
    part: str, mix: Callable[..., Any], message: str
) -> None:
    mixed: dict[str, Any] = {part: lambda *args: mix(*args[:3])}
    broken = check(replace(BASE, **mixed), clauses=["A-4"]).broken
    assert message in broken
    assert "the names of w, b are mixed up: each has the shape of another" in broken
    assert broken.endswith("; with one parameter it works")


def test_parameters_in_sorted_order_are_told_from_a_kernel_that_takes_no_step() -> None:
    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        return BASE.step(p, dict(zip(sorted(g), g.values(), strict=True)), s, hp)

    assert check(replace(BASE, step=step), clauses=["A-4"]).broken.endswith(
        "; with one parameter it works"
    )


def test_dtype_that_does_not_work_is_blocked_alone() -> None:
    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        if any(param.dtype == np.float16 for param in p.values()):
            raise TypeError("no kernel")
        return BASE.step(p, g, s, hp)

    cases = ["A-4/two-products", "S-9/mixed-dtypes"]
    report = check(replace(BASE, step=step), cases=cases)
    blocked = [result.id for result in report.results if result.status is Status.BLOCKED]
    # Parameters of float32 are judged beside some of float16.
    assert blocked == [
        "A-4/two-products[float16]",
        "S-9/mixed-dtypes[float16]",
        "S-9/mixed-dtypes[float32]",
    ]
    assert report.broken == ""
    assert report.verdict is Verdict.INCOMPLETE
    assert after_outcome(report).startswith(
        "; declares float16, but cannot take one step in it: step raised TypeError: no kernel"
    )
    assert {r.status for r in report.results if r.id not in blocked} == {Status.PASS}


def test_a_kernel_of_vectors_alone_is_told_what_it_takes() -> None:
    def init(params: Any, hp: Any) -> Any:
        if any(param.ndim != 1 for param in params.values()):
            raise NotImplementedError("only vectors")
        return BASE.init(params, hp)

    broken = check(replace(BASE, init=init), clauses=["A-4"]).broken
    assert broken.endswith("; with one parameter of shape (3,) it works")
