"""Every command and every snippet of the README runs, and it stays short."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from adamax_conformance.variants import CONTROLS, RIGHT, WRONG

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.partition(" #")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 50


@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs(command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "make":
        # `make test` is what runs this; that make knows how to is what can be shown here.
        ran = subprocess.run(["make", "-n", *arguments], cwd=ROOT, check=True, capture_output=True)  # noqa: S607 - make, as in the README
        assert ran.stdout
        return
    assert program == "adamax-conformance"
    subprocess.run([Path(sys.executable).with_name(program), *arguments], check=True)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=["adapters", "kernel"])
def test_snippet_runs(snippet: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(snippet, "README.md", "exec"), {})  # noqa: S102 - the README's own code
    printed = capsys.readouterr().out.strip()
    assert printed == ("" if "print" not in snippet else "not conformant A-5")
    assert f"prints `{printed}`" in README or not printed


def test_score_of_the_suite_is_of_all_variants() -> None:
    """That each comes out as it should is shown in `test_variants`."""
    words = " ".join(README.split())
    counts = [(len(WRONG), "wrong variants killed"), (len(RIGHT), "right ones accepted")]
    for count, what in [*counts, (len(CONTROLS), "controls dead")]:
        assert f"{count} of {count} {what}" in words


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target
