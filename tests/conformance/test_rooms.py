"""The packages of the judge form rows: a file imports only from its own package or rows above."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import adamax_conformance

HOUSE = Path(adamax_conformance.__file__).parent
ROWS = (
    {"spec"},
    {"subject"},
    {"bounds"},
    {"judging"},
    {"cases", "exchange"},
    {"reports", "protocol"},
    {"registry"},
    {"dialects", "fuzz"},
    {"subjects"},
    {"variants"},
    {"investigation", "scoreboard"},
    {"check"},
    {"parametrize", "score"},
    {"vectors"},
    {"cli"},
)
ROW = {room: number for number, rooms in enumerate(ROWS) for room in rooms}
FILES = {
    ".".join(("adamax_conformance", *path.relative_to(HOUSE).with_suffix("").parts)): path
    for path in HOUSE.rglob("*.py")
    if path != HOUSE / "__init__.py" and "__main__" not in path.name
}


def imports(path: Path) -> set[str]:
    """Return the modules of the judge that a file imports anywhere."""
    nodes = [
        node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
    ]
    names = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}
    modules = {module.removesuffix(".__init__"): module for module in FILES}
    found = {name if name in modules else name.rpartition(".")[0] for name in names}
    return {modules[name] for name in found if name in modules}


@pytest.mark.parametrize("module", sorted(FILES))
def test_a_file_imports_only_its_room_and_rows_above(module: str) -> None:
    room = module.split(".")[1]
    for other in imports(FILES[module]):
        theirs = other.split(".")[1]
        assert theirs == room or ROW[theirs] < ROW[room], f"{module} imports {other}"


def test_no_import_runs_in_a_circle() -> None:
    # Raises a CycleError that names the circle.
    TopologicalSorter({module: imports(path) for module, path in FILES.items()}).prepare()


def test_no_file_is_loose_or_long() -> None:
    assert {path.stem for path in HOUSE.glob("*.py")} - {"__init__", "__main__"} <= set(ROW)
    assert [m for m, path in FILES.items() if path.read_text().count("\n") > 350] == []
