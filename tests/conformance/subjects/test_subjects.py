"""The built-in subjects: ours are conformant, others deviate exactly as documented."""

from pathlib import Path

import pytest

from adamax_conformance import Report, Status, Verdict, check
from adamax_conformance.registry import find
from adamax_conformance.reports.markdown import summary_row
from adamax_conformance.reports.result import BAD

WAYS = ("fused=true", "fused=false", "foreach=true", "differentiable=true", "capturable=true")
OURS = ["numpy", "fused", "jax", "torch", *(f"torch?{way}" for way in WAYS), "torch.functional"]
OTHERS = ["optax", "torch.optim", "torch.optim?foreach=true", "torch.optim?differentiable=true"]


RESULTS = (Path(__file__).parents[3] / "docs" / "results.md").read_text().splitlines()


def row(report: Report) -> str:
    """Return the line of this backend in docs/results.md."""
    headings = next(line for line in RESULTS if line.startswith("| backend |"))
    return summary_row(report, [status for status in Status if f"| {status} |" in headings])


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_ours_are_conformant(name: str) -> None:
    report = check(name)
    report.raise_for_status()
    assert not report.missing
    assert row(report) in RESULTS


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_others_deviate_exactly_as_documented(name: str) -> None:
    """Strict: a listed deviation that passes, or a failure that is not listed, fails."""
    report = check(name)
    assert [r.id for r in report.results if r.status in BAD] == []
    assert report.verdict is Verdict.DEVIATES
    assert not report.missing
    assert row(report) in RESULTS


@pytest.mark.parametrize(
    ("name", "clauses", "failed"),
    [
        ("torch?differentiable=true", ["A-10", "S-6", "S-10", "D-1", "D-2", "D-3", "D-4"], ()),
        ("fused", ["A-8", "S-6", "S-7", "S-8", "S-9", "S-10", "H-6"], ()),
        ("torch.functional", ["A-8", "S-6", "S-8", "S-10", "D-1", "D-2", "D-3", "D-4"], ()),
        ("torch.optim?differentiable=true", ["A-10", "D-1"], ("D-1",)),
        ("jax", ["A-10", "S-6", "S-7", "S-8", "D-1"], ()),
        ("optax", ["A-8", "A-10", "S-7", "H-2", "D-3"], ("H-2", "D-3")),
    ],
)
def test_every_operation_of_the_glue_is_used(
    name: str, clauses: list[str], failed: tuple[str, ...]
) -> None:
    """One dtype and few clauses, to be fast."""
    report = check(name, clauses=clauses, dtypes=["bfloat16", "float32"])
    assert report.failed_clauses == failed
    assert not any(report.counts[status] for status in BAD)


@pytest.mark.slow
def test_64_bits_can_be_left_off_and_compilation_too() -> None:
    report = check("jax?x64=false&jit=false", clauses=["A-7", "A-9", "D-1"])
    assert not report.failed_clauses
    assert {r.dtype for r in report.results if r.status == Status.UNSUPPORTED} == {
        "float64", "complex128",
    }  # fmt: skip


def test_variants_offer_derivatives_only_where_they_have_them() -> None:
    assert "vjp" in find("torch?differentiable=true").features
    assert "vjp" not in find("torch").features
