"""The published vectors are right, stay what they are, and can be read without this package."""

import json
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import adamax_core
from adamax_conformance.bounds.oracle import pairs, with_numbers
from adamax_conformance.cases import CASES
from adamax_conformance.cli import app
from adamax_conformance.exchange.schemas import require
from adamax_conformance.registry import find
from adamax_conformance.spec.formats import DTYPES
from adamax_conformance.subject.backend import FEATURES
from adamax_conformance.subject.watched import Watched
from adamax_conformance.variants import WRONG
from adamax_conformance.vectors import FILE, Vector, load
from adamax_conformance.vectors.compare import outside, runs
from adamax_conformance.vectors.generate import generated, require_kept
from adamax_conformance.vectors.sources import LEFT_OUT
from adamax_conformance.vectors.vector import dump
from adamax_core import State

NODE = shutil.which("node")
READER = Path(__file__).with_name("vectors_reader.mjs")
BASE = find("numpy")

VECTORS = load()
MOST_NUMBERS = 100
"""Largest size of a vector, parameters times steps: a longer one is not readable."""

OTHERWISE = {
    "derivatives": "a derivative is not a run of steps",
    "correction-off-by-five-units": "an interval counts the other roundings of a step as well",
    "H": "the form of a refusal depends on the language",
    "S-4": "changes to the inputs are visible in memory alone",
    "S-5": "a vector has numbers, not the dtype of a state",
    "state-dtype-is-float32": "no vector requests another dtype",
    "eps-in-the-dtype-of-the-state": "no vector requests another dtype",
    "gradient-in-the-dtype-of-the-state": "no vector requests another dtype",
    "lr-in-float16": "a vector of 28 steps is not readable",
    "infinity-forgotten-without-memory": "a case of several runs has no vector",
    "maximum-by-a-difference": "a case of several runs has no vector",
    "nan-kept-out-where-lr-is-zero": "a case of several runs has no vector",
    "coupled-decay-ends": "a case of several runs has no vector",
    "decoupled-decay-ends": "a case of several runs has no vector",
    "maximize-ends": "a case of several runs has no vector",
    "gradients-rounded-before-decay": "a case of several runs has no vector",
    "weight-decay-in-the-dtype-of-the-parameter": "a case of several runs has no vector",
    "decoupled-step-left-out-where-lr-is-zero": "a case of several runs has no vector",
    "exempt-by-a-part-of-the-name": "a case of several runs has no vector",
    "conjugate-slopes": "a derivative is not a run of steps",
    "S-7": "a count may saturate or continue past 2^31 - 1",
    "S-8": "the schema has no foreign states",
    "S-9": "a vector of a thousand elements is not readable",
    "parameters-kept-and-not-read-again": "a vector changes nothing between its steps",
    "S-10": "a vector has no integers, and does not compare a state after an error",
}
"""Variants that no vector kills, by id, family, clause or group of clauses, and why."""


# What is published


def test_the_file_is_as_it_is_generated() -> None:
    """All but `kills`, which take a minute: the test of the command `check` compares them."""
    new = generated(variants=())
    require_kept(new)
    old = {each.id: replace(each, kills=()).document() for each in VECTORS}
    now = {each.id: each.document() for each in new}
    assert [name for name in old | now if old.get(name) != now.get(name)] == []
    assert FILE.read_text() == dump(VECTORS)


def test_every_line_is_of_the_schema() -> None:
    for line in FILE.read_text().splitlines():
        require("vector", json.loads(line))
    with pytest.raises(ValueError, match="does not match"):
        require("vector", json.loads(line) | {"id": "sign 1"})


def test_a_vector_says_something_of_every_number_after_every_step() -> None:
    for vector in VECTORS:
        assert vector.dtype in {param.dtype.name for param in vector.trial.run.params.values()}
        assert {*vector.flags} <= {*FEATURES}
        if vector.steps is None:
            continue
        run = vector.trial.run
        for grads, step in zip(run.grads, vector.steps, strict=True):
            assert [*step] == [*run.params]
            for name, each in step.items():
                assert each.kept is (name not in grads)
                size = pairs(run.params[name]).size
                assert {len(elements.all) for elements in each.quantities.values()} == {size}


def test_exact_is_in_lowest_terms_and_inside_its_interval() -> None:
    seen = 0
    for vector in VECTORS:
        quantities = [
            q
            for step in vector.steps or ()
            for e in step.values()
            for q in [*e.quantities.values()]
        ]
        for element in (element for elements in quantities for element in elements.all):
            assert element.low <= element.high
            if element.exact is not None:
                exact = Fraction(element.exact)
                assert str(exact) == element.exact
                assert element.low <= exact <= element.high, vector.id
                seen += 1
    assert seen > 5000


def test_every_run_of_the_judge_is_a_vector_or_left_out_with_a_reason() -> None:
    wanted = {
        f"{case.id}[{dtype}]"
        for case in CASES
        if case.trial is not None and case.id not in LEFT_OUT
        for dtype in case.dtypes
    }
    assert wanted <= {vector.id for vector in VECTORS}
    assert {*LEFT_OUT} <= {case.id for case in CASES if case.trial is not None}
    for reason in LEFT_OUT.values():
        name = reason.split("; ")[1].split()[0]
        assert any(vector.id.startswith(f"{name}[") for vector in VECTORS), name


def test_a_vector_is_of_a_size_that_can_be_read() -> None:
    for vector in VECTORS:
        run = vector.trial.run
        numbers = sum(param.size for param in run.params.values()) * len(run.grads)
        assert numbers <= MOST_NUMBERS, vector.id
    assert FILE.stat().st_size < 3 * 2**20


@pytest.mark.parametrize("name", ["numpy", "torch", "torch?foreach=true"])
def test_the_backends_pass_every_vector(name: str) -> None:
    passes_every_vector(name)


@pytest.mark.slow
def test_jax_passes_every_vector() -> None:
    """One dtype only: each vector is a program to compile, and the judge covers all dtypes."""
    passes_every_vector("jax", ["float32"])


def passes_every_vector(name: str, dtypes: Collection[str] = DTYPES) -> None:
    backend = Watched(find(name))
    able = [vector for vector in VECTORS if vector.dtype in dtypes and runs(backend, vector)]
    assert {vector.dtype for vector in able} == {*dtypes}
    assert [(v.id, what) for v in able if (what := outside(backend, v))] == []


def test_exact_is_what_the_rule_gives_on_rationals() -> None:
    """Compare with the reference on object arrays, which is independent of the bounds."""
    seen = 0
    for vector in VECTORS:
        run = vector.trial.run
        numbers = [*run.params.values(), *(g for each in run.grads for g in each.values())]
        known = all(np.all(np.isfinite(each.astype(complex))) for each in numbers)
        if vector.steps is None or run.saved or run.undecayed or not known:
            continue
        params = {name: rationals(param) for name, param in run.params.items()}
        state = State(dict.fromkeys(params, 0), *({k: p * 0 for k, p in params.items()},) * 2)
        for index, (grads, step) in enumerate(zip(run.grads, vector.steps, strict=True)):
            hp = with_numbers(run.at(index), Fraction)
            if hp.eps == 0:
                break
            given = {name: rationals(grads[name]) if name in grads else None for name in params}
            params, state = adamax_core.step(params, given, state, hp)
            now = {"param": params, "exp_avg": state.exp_avg, "exp_inf": state.exp_inf}
            for name, each in step.items():
                for quantity, elements in each.quantities.items():
                    for element, value in zip(elements.all, now[quantity][name], strict=True):
                        assert element.exact in (None, str(value)), vector.id
                        seen += element.exact is not None
    assert seen > 5000


def rationals(array: Any) -> Any:
    """Return a flat array of rationals; an element of a 0-d object array is not an array."""
    reals = pairs(array).astype(np.float64).reshape(-1)
    return np.array([Fraction(x) for x in reals], dtype=object)


def test_kills_name_the_variants_of_every_line_of_the_rule() -> None:
    killed = {name for vector in VECTORS for name in vector.kills}
    assert killed <= {wrong.id for wrong in WRONG}
    for wrong in WRONG:
        known = {wrong.id, wrong.family, wrong.clause, wrong.clause[0]} & {*OTHERWISE}
        assert wrong.id in killed or known, f"{wrong.id} of {wrong.clause} outlives every vector"


# Without this package


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "vectors"
    result = CliRunner().invoke(app, ["vectors", "export", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


def test_an_export_holds_vectors_schemas_and_guide(exported: Path) -> None:
    names = {path.name for path in exported.iterdir()}
    assert names == {"GUIDE.md", "vectors.jsonl", "vector.schema.json", "run.schema.json"}
    assert len(load(exported / "vectors.jsonl")) == len(VECTORS)


def test_export_overwrites_only_with_force(exported: Path) -> None:
    again = CliRunner().invoke(app, ["vectors", "export", str(exported)])
    assert again.exit_code == 2
    assert "is not empty: choose another folder, or use --force" in again.output
    assert CliRunner().invoke(app, ["vectors", "export", str(exported), "--force"]).exit_code == 0


def read_by_node(folder: Path, *options: str) -> Any:
    assert NODE is not None
    ran = subprocess.run(
        [NODE, READER, folder, *options], check=True, capture_output=True, text=True
    )
    return json.loads(ran.stdout)


@pytest.mark.skipif(NODE is None, reason="needs node, which reads the vectors")
def test_a_reader_in_javascript_passes_them(exported: Path) -> None:
    report = read_by_node(exported)
    assert report["wrong"] == []
    assert report["ran"] > 100
    assert report["ran"] + report["skipped"] == len(VECTORS)


@pytest.mark.skipif(NODE is None, reason="needs node, which reads the vectors")
def test_a_reader_in_javascript_with_eps_outside_does_not(exported: Path) -> None:
    wrong = {name for name, _what in read_by_node(exported, "outside")["wrong"]}
    assert {f"A-5/eps-inside-the-maximum[{dtype}]" for dtype in ("float32", "float64")} <= wrong


# The commands


def invoke(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["vectors", *map(str, arguments)])


@pytest.mark.slow
def test_check_passes_kills_included() -> None:
    result = invoke("check")
    assert result.output == f"{len(VECTORS)} vectors are as generated\n"


@pytest.fixture
def generating(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Vector]:
    """Replace the vectors that `generate` makes and the file that it writes."""
    vectors = [*VECTORS]
    (tmp_path / "vectors.jsonl").write_text(dump(VECTORS))
    monkeypatch.setattr("adamax_conformance.vectors.FILE", tmp_path / "vectors.jsonl")
    monkeypatch.setattr("adamax_conformance.vectors.generate.generated", lambda **_: vectors)
    return vectors


def test_check_names_what_differs_and_generate_writes_it(
    tmp_path: Path, generating: list[Vector]
) -> None:
    assert invoke("check").exit_code == 0
    new = replace(generating[0], id="A-5/new[float32]")
    generating[0] = replace(generating[0], note="It exists for another reason.")
    generating.append(new)
    result = invoke("check")
    assert result.exit_code == 1
    assert f"not as generated: {generating[0].id}, {new.id}; run" in " ".join(result.output.split())
    assert invoke("generate").output.startswith(f"{len(VECTORS) + 1} vectors in ")
    assert dump(load(tmp_path / "vectors.jsonl")) == dump(generating)
    assert invoke("check").exit_code == 0


@pytest.mark.parametrize("command", ["generate", "check"])
def test_a_lost_id_is_refused(command: str, generating: list[Vector]) -> None:
    lost = generating.pop()
    result = invoke(command)
    assert result.exit_code == 1
    assert f"{lost.id} is published but no longer defined" in " ".join(result.output.split())
