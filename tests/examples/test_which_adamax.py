"""The example shows where the dialects part: beside small gradients, and without the correction."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from adamax_conformance.dialects import KNOWN_AS, Dialect
from adamax_conformance.registry import find
from example_scripts import example

STEPS = 30


@pytest.fixture(scope="module")
def which() -> ModuleType:
    return example("which_adamax")


def apart(which: ModuleType, rule: Dialect, eps: float, scale: float) -> float:
    """Return the largest distance of the curve from that of the specification."""
    ours = which.train(Dialect(), 1e-8, scale, STEPS)
    theirs = which.train(rule, eps, scale, STEPS)
    distances: list[float] = [abs(one - other) for one, other in zip(ours, theirs, strict=True)]
    return max(distances)


def test_eps_parts_the_curves_of_small_gradients_and_the_correction_all(which: ModuleType) -> None:
    for who, (rule, eps) in which.WHICH.items():
        large, small = (apart(which, rule, eps, scale) for scale in which.SCALES)
        if who == "torch.optim":
            assert large == small == 0
            continue
        # A million times smaller gradients make eps matter a million times more.
        assert (large < small / 1000) == (rule.correction == "yes"), who


@pytest.mark.parametrize(
    ("who", "name"),
    [("torch.optim", "torch.optim"), ("TorchOpt", "torchopt"), ("Keras", "keras.jax")],
)
def test_each_has_its_own_default_eps(which: ModuleType, who: str, name: str) -> None:
    served: Any = find(f"cmd:{sys.executable} -m adamax_conformance serve {name}", timeout=120)
    assert which.WHICH[who][1] == served.default_eps


def test_every_known_dialect_is_there(which: ModuleType) -> None:
    assert {(rule.eps, rule.correction) for rule, _ in which.WHICH.values()} == set(KNOWN_AS)


def test_without_eps_the_scale_does_not_matter(which: ModuleType) -> None:
    """By a power of two, which rounds nothing."""
    rule = Dialect("none")
    assert which.train(rule, 0.0, 1.0, STEPS) == which.train(rule, 0.0, 2.0**-20, STEPS)


def test_example_draws_and_prints_a_line_for_each(which: ModuleType, tmp_path: Path) -> None:
    plot = tmp_path / "which.png"
    ran = CliRunner().invoke(which.app, ["--plot", str(plot), "--steps", "3"])
    assert ran.exit_code == 0, ran.output
    assert len(ran.output.splitlines()) == len(which.WHICH) * len(which.SCALES)
    assert "Keras, eps 1e-07" in ran.output
    assert plot.read_bytes().startswith(b"\x89PNG")
