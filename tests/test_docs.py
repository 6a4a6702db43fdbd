"""`docs/torch.md`, `docs/jax.md` and `docs/fused.md` name tests that there are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLES = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("torch", "jax", "fused")}
NAMED = sorted(
    {
        (file if file.startswith("tests/") else f"tests/{name}/{file}", test)
        for name, table in TABLES.items()
        for file, test in re.findall(r"`([\w/]+\.py)::(\w+)`", table)
    }
)


@pytest.mark.parametrize("name", TABLES)
def test_each_row_names_a_test(name: str) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", TABLES[name], re.MULTILINE)
    rows = [
        row
        for table in tables
        if (lines := table.splitlines())[0].endswith("| test |")
        for row in lines[2:]
    ]
    assert rows
    assert [row for row in rows if "::test" not in row] == []


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_what_it_names_is_there(file: str, name: str) -> None:
    functions = {
        node.name
        for node in ast.parse((ROOT / file).read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    assert name in functions


@pytest.mark.parametrize(
    "snippet",
    [
        each
        for text in TABLES.values()
        for each in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ],
)
def test_a_snippet_runs(snippet: str) -> None:
    exec(compile(snippet, "docs", "exec"), {})  # noqa: S102 - the document's own code
