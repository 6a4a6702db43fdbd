"""`docs/torch.md` names tests that there are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "torch.md").read_text()
ROWS = [row for row in TABLE.splitlines() if row.startswith("| ") and "`test" in row]
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", TABLE)))


def test_each_row_names_a_test() -> None:
    rows = [row for row in TABLE.splitlines() if row.startswith("| ") and "| test |" not in row]
    assert rows == ROWS


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_what_it_names_is_there(file: str, name: str) -> None:
    path = ROOT / file if "/" in file and file.startswith("tests/") else ROOT / "tests/torch" / file
    functions = {
        node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)
    }
    assert name in functions
