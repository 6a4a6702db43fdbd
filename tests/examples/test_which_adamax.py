"""The example shows where the dialects part: beside small gradients, and without the correction."""

from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from adamax_conformance.dialects import KNOWN_AS, Dialect
from example_scripts import example

STEPS = 30


@pytest.fixture(scope="module")
def which() -> ModuleType:
    return example("which_adamax")


def apart(which: ModuleType, rule: Dialect, scale: float) -> float:
    """Return the largest distance of the curve from that of the specification."""
    ours, theirs = (which.train(each, scale, STEPS) for each in (Dialect(), rule))
    distances: list[float] = [abs(one - other) for one, other in zip(ours, theirs, strict=True)]
    return max(distances)


@pytest.mark.parametrize("rule", [rule for rule in KNOWN_AS if rule != ("inside", "yes")])
def test_eps_parts_the_curves_of_small_gradients_and_the_correction_all(
    which: ModuleType, rule: tuple[str, str]
) -> None:
    large, small = (apart(which, Dialect(*rule), scale) for scale in which.SCALES)
    corrected = rule[1] == "yes"
    # A million times smaller gradients make eps matter a million times more.
    assert (large < small / 1000) == corrected


def test_without_eps_the_scale_does_not_matter(which: ModuleType) -> None:
    """By a power of two, which rounds nothing."""
    rule = Dialect("none")
    assert which.train(rule, 1.0, STEPS) == which.train(rule, 2.0**-20, STEPS)


def test_example_draws_and_prints_a_line_for_each(which: ModuleType, tmp_path: Path) -> None:
    plot = tmp_path / "which.png"
    ran = CliRunner().invoke(which.app, ["--plot", str(plot), "--steps", "3"])
    assert ran.exit_code == 0, ran.output
    assert len(ran.output.splitlines()) == len(KNOWN_AS) * len(which.SCALES)
    assert plot.read_bytes().startswith(b"\x89PNG")
