"""Backends by name."""

import sys
from pathlib import Path
from typing import Any

import pytest

from adamax_conformance import registry
from adamax_conformance.registry import BackendBrokenError, BackendNotFoundError, find

GLUE = """
from adamax_conformance.subjects.reference import backend as made
one = made()
def options(*, b=1): raise TypeError(f"nothing will do {['b']}")
class Half: pass
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "someones_glue.py").write_text(GLUE)
    (tmp_path / "broken_glue.py").write_text("1 / 0")
    (tmp_path / "unmet_glue.py").write_text("import no_such_thing")
    monkeypatch.delitem(sys.modules, "someones_glue", raising=False)
    return "someones_glue"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("numpy", "numpy"),
        ("torch?foreach=true", "torch?foreach=true"),
        ("torch.optim?differentiable=true", "torch.optim?differentiable=true"),
        ("jax?x64=false&jit=false", "jax?x64=false&jit=false"),
        ("optax?jit=false", "optax?jit=false"),
        ("py:someones_glue:one", "numpy"),
        ("py:someones_glue:made", "numpy"),
        ("py:someones_glue:made?name=mine", "mine"),
    ],
)
def test_name_finds_its_backend(name: str, expected: str, module: str) -> None:
    assert module
    assert find(name).name == expected


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nope", BackendNotFoundError, "unknown backend 'nope': choose from fused, jax, "),
        ("py:someones_glue", BackendNotFoundError, "not of the form py:module:attribute"),
        ("py:someones_glue:two", BackendNotFoundError, "someones_glue has no 'two'"),
        ("py:someones_glue:one?a=1", BackendNotFoundError, "takes no options"),
        ("py:not_there:one", BackendNotFoundError, "no module 'not_there' on the path"),
        ("py:broken_glue:one", BackendBrokenError, "ZeroDivisionError: division by zero"),
        ("py:unmet_glue:one", BackendBrokenError, "No module named 'no_such_thing'"),
        ("py:someones_glue:options?b=2", BackendBrokenError, r"TypeError: nothing will do \['b'\]"),
        ("py:someones_glue:Half", BackendBrokenError, "is not a backend: it lacks name, dtypes"),
        (
            "numpy?foreach=true",
            BackendNotFoundError,
            "no option 'foreach': its options are",
        ),
    ],
)
def test_name_that_finds_nothing_says_why(
    name: str, error: type[Exception], message: str, module: str
) -> None:
    assert module
    with pytest.raises(error, match=message):
        find(name)


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("False", False), ("none", None), ("3", 3), ("0.5", 0.5), ("sum", "sum")],
)
def test_options_are_values(text: str, value: Any) -> None:
    assert registry._value(text) == value


class Point:
    """An entry point whose import raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def load(self) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("installed", "error", "kind", "message"),
    [
        (False, ModuleNotFoundError("no", name="torch.optim"), BackendNotFoundError,
         r"needs torch, which is not installed; from a checkout: pip install -c .* '\.\[torch\]'"),
        (True, ModuleNotFoundError("no torch.x", name="torch.x"), BackendBrokenError, "no torch.x"),
        (False, ModuleNotFoundError("no mine", name="mine"), BackendBrokenError, "no mine"),
        (True, OSError("libtorch.so"), BackendBrokenError, "OSError: libtorch.so"),
    ],
)  # fmt: skip
def test_missing_framework_is_distinguished_from_a_broken_one(
    installed: bool, error: Exception, kind: type[Exception], message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(registry, "_installed", lambda _package: installed)
    monkeypatch.setattr(registry, "entry_points", lambda **_group: [Point(error)])
    with pytest.raises(kind, match=message):
        find("torch")


def test_installed_asks_the_environment() -> None:
    assert registry._installed("numpy")
    assert not registry._installed("no-such-distribution")
