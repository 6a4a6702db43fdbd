"""The tables of the documents name tests that exist, and their snippets run."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adamax_checkpoint.cli import app as checkpoint_app
from adamax_conformance.subject.backend import FEATURES

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


CHECKPOINT = (ROOT / "docs" / "checkpoint.md").read_text()


def test_the_page_on_checkpoints_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {}
    blocks = re.findall(r"^```(python|sh)\n(.*?)^```", CHECKPOINT, re.MULTILINE | re.DOTALL)
    assert {language for language, _ in blocks} == {"python", "sh"}
    for language, block in blocks:
        if language == "python":
            exec(compile(block, "docs/checkpoint.md", "exec"), known)  # noqa: S102 - the document's own code
            continue
        for command in block.splitlines():
            program, *arguments = shlex.split(command, comments=True)
            assert program == "adamax-checkpoint"
            ran = CliRunner().invoke(checkpoint_app, arguments)
            assert ran.exit_code == 0, ran.output


BACKENDS = (ROOT / "docs" / "backends.md").read_text()


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: cc is missing")
def test_glue_of_each_kind_is_judged() -> None:
    """The snippets of the page follow each other, and each ends in what the judge finds."""
    known: dict[str, Any] = {}
    for snippet in re.findall(r"^```python\n(.*?)^```", BACKENDS, re.MULTILINE | re.DOTALL):
        assert "assert " in snippet
        exec(compile(snippet, "docs/backends.md", "exec"), known)  # noqa: S102 - the document's own code
    assert {"pure", "bound", "stock", "transformation", "compiled"} <= set(known)


def test_commands_of_the_page_on_backends_run(tmp_path: Path) -> None:
    (commands,) = re.findall(r"^```sh\n(.*?)^```", BACKENDS, re.MULTILINE | re.DOTALL)
    for command in commands.splitlines():
        program, *arguments = shlex.split(command)
        subprocess.run(
            [Path(sys.executable).with_name(program), *arguments], cwd=tmp_path, check=True
        )


def test_features_of_the_page_on_backends_are_all() -> None:
    assert set(re.findall(r"features=\[\"(\w+)\"\]`.*\|", BACKENDS)) == set(FEATURES)
