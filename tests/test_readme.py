"""Every command and every snippet of the README runs, and it stays short."""

import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

from adamax_conformance.dialects import KNOWN_AS, Dialect
from adamax_conformance.variants import CONTROLS, RIGHT, WRONG
from adamax_core import Hyperparameters, init, step

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.partition(" #")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 110
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 50


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs(command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "make":
        # `make test` is what runs this; that make knows how to is what can be shown here.
        ran = subprocess.run(["make", "-n", *arguments], cwd=ROOT, check=True, capture_output=True)  # noqa: S607 - make, as in the README
        assert ran.stdout
        return
    (script,) = entry_points(group="console_scripts", name=program)
    # In a process of its own: the command forks.
    call = f"from {script.module} import {script.attr}; {script.attr}()"
    subprocess.run([sys.executable, "-c", call, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=["jax", "torch", "kernel"])
def test_snippet_runs(snippet: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(snippet, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102 - the README's own code
    printed = capsys.readouterr().out
    assert f"```text\n{printed}```" in README or not printed


def test_numbers_of_the_dialects_are_theirs() -> None:
    hp = Hyperparameters(lr=1 / 8, betas=(3 / 4, 7 / 8), eps=1 / 4)
    lines = re.findall(r"^\|.*-0\.\d+ \|$", README, re.MULTILINE)
    for line, (eps, correction) in zip(lines, KNOWN_AS, strict=True):
        dialect = Dialect(eps, correction)
        w = np.zeros(1)
        state = init(w)
        for grad in (1.0, 0.5):
            w, state = step(w, np.full(1, grad), state, hp, rule=dialect)
        assert line.endswith(f"| {w[0]:.4f} |")
        assert KNOWN_AS[eps, correction][0].partition(".")[0] in line


def test_extras_to_install_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = re.findall(r"pip install -c constraints.txt '\.\[([a-z,]+)\]'", README)
    assert asked == ["jax", "torch,fused", "conformance"]
    assert {"jax", "torch", "fused", "conformance"} <= set(project["optional-dependencies"])


def test_score_of_the_suite_is_of_all_variants() -> None:
    """That each comes out as it should is shown in `test_variants`."""
    words = " ".join(README.split())
    counts = [(len(WRONG), "wrong variants killed"), (len(RIGHT), "right ones accepted")]
    for count, what in [*counts, (len(CONTROLS), "controls dead")]:
        assert f"{count} of {count} {what}" in words


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(((?!https:)[^)]+)\)", README):
        assert (ROOT / target).exists(), target
