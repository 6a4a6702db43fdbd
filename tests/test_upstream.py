"""The findings for other projects: each program prints what docs/upstream.md says."""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "upstream.md").read_text()


class Finding(NamedTuple):
    """A section of the page."""

    title: str
    packages: dict[str, str]
    program: str
    printed: str


SECTION = re.compile(
    r"## (?P<title>.+)\n\nPackages: (?P<packages>.+)\.\n\n"
    r"```python\n(?P<program>.+?)```\n\n```text\n(?P<printed>.+?)```\n\n.+?\n\n"
    r"Fix: .+\n\nCases: .+\n",
    re.DOTALL,
)


def findings() -> list[Finding]:
    found = []
    for part in re.split(r"^(?=## )", PAGE, flags=re.MULTILINE)[1:]:
        match = SECTION.fullmatch(part.rstrip("\n") + "\n")
        assert match, part
        pairs = (each.split(" ") for each in match["packages"].split(", "))
        found.append(
            Finding(match["title"], dict(pairs), match["program"], match["printed"].rstrip("\n"))
        )
    return found


def test_each_program_is_short() -> None:
    lines = {
        each.title: len(each.program.replace("\n\n", "\n").splitlines()) for each in findings()
    }
    assert lines
    assert {title: count for title, count in lines.items() if count > 12} == {}


@pytest.mark.slow
@pytest.mark.parametrize("finding", findings(), ids=lambda finding: finding.title)
def test_program_prints_what_the_page_says(finding: Finding) -> None:
    for package, stated in finding.packages.items():
        try:
            installed = version(package)
        except PackageNotFoundError:
            pytest.skip(f"{package} is not installed: see `make light`")
        # The build of PyTorch is of no importance.
        assert installed.partition("+")[0] == stated
    command = [sys.executable, "-W", "ignore", "-c", finding.program]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    error = ran.stderr.rstrip().rpartition("\n")[2] if ran.returncode else ""
    assert "\n".join(filter(None, (ran.stdout.rstrip("\n"), error))) == finding.printed
