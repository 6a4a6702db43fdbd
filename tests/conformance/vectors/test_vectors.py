"""The published vectors are right, stay what they are, and can be read without this package."""

import json
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterable
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
from adamax_conformance.cases.case import PLAIN
from adamax_conformance.cli import app
from adamax_conformance.exchange.schemas import require
from adamax_conformance.fuzz.repro import Failure, Repro, save
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.registry import find
from adamax_conformance.spec.formats import DTYPES, FLOAT16, FLOAT32, FLOAT64
from adamax_conformance.subject.watched import Watched
from adamax_conformance.variants import WRONG
from adamax_conformance.vectors import FOLDER, Vector, load
from adamax_conformance.vectors import expected as followed
from adamax_conformance.vectors.compare import outside, runs
from adamax_conformance.vectors.expected import Element, Elements, expected
from adamax_conformance.vectors.export import GUIDE
from adamax_conformance.vectors.generate import MOST_NUMBERS, adopt, adopted, generated
from adamax_conformance.vectors.lint import problems
from adamax_conformance.vectors.lock import FILE, LockError, current, read_lock
from adamax_conformance.vectors.more import LEFT_OUT, Source, sources
from adamax_conformance.vectors.vector import canonical
from adamax_core import Hyperparameters, State

NODE = shutil.which("node")
READER = Path(__file__).with_name("vectors_reader.mjs")
BASE = find("numpy")

VECTORS = load()

OTHERWISE = {
    "D": "derivatives are no run of numbers",
    "norm-squared-in-slopes-by-arrays": "derivatives are no run of numbers",
    "correction-off-by-five-units": "an interval counts the other roundings of a step as well",
    "H": "in which way something is refused is the language's business",
    "S-4": "what becomes of the inputs is seen in memory alone",
    "S-5": "the dtype of a state is no number",
    "state-dtype-is-float32": "no vector asks for another",
    "S-7": "past 2^31 - 1 a count may stay or go on",
    "S-8": "a foreign state is not of the schema",
    "S-9": "a thousand elements are not for reading",
    "parameters-kept-and-not-read-again": "nobody changes anything in the middle of a vector",
    "S-10": "integers are no dtype of a vector, and a state after an error is not looked at",
}
"""Variants, and clauses some of whose variants, no vector kills, and why."""


def run_of(grads: Iterable[float], hp: Hyperparameters = PLAIN, dtype: str = "float32") -> Run:
    return Run({"w": np.zeros(2, dtype)}, [{"w": np.array([g, -2 * g], dtype)} for g in grads], hp)


def source(name: str = "A-5/short[float32]", grads: Iterable[float] = (1.0, 0.5)) -> Source:
    note = "It is here to be read by a test."
    return Source(name, note, "float32", (), Trial(run_of(grads)))


def published(folder: Path, definitions: Iterable[Source]) -> dict[str, str]:
    """The files of these definitions, written into a folder."""
    files = generated(folder, definitions=definitions, variants=())
    for name, text in files.items():
        (folder / name).write_text(text)
    return files


# What is published


def test_nothing_is_wrong_with_the_published_vectors() -> None:
    assert problems() == []


def test_every_run_of_the_judge_is_a_vector_or_left_out_with_a_reason() -> None:
    lock = read_lock()
    wanted = {
        current(f"{case.id}[{dtype}]", lock)
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
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 3 * 2**20


@pytest.mark.parametrize("name", ["numpy", "torch", "torch?foreach=true"])
def test_the_backends_pass_every_vector(name: str) -> None:
    passes_every_vector(name)


@pytest.mark.slow
def test_jax_passes_every_vector() -> None:
    """Of one dtype: each vector is a program to compile, and the judge has those of all."""
    passes_every_vector("jax", ["float32"])


def passes_every_vector(name: str, dtypes: Collection[str] = DTYPES) -> None:
    backend = Watched(find(name))
    able = [vector for vector in VECTORS if vector.dtype in dtypes and runs(backend, vector)]
    assert {vector.dtype for vector in able} == {*dtypes}
    assert [(v.id, what) for v in able if (what := outside(backend, v))] == []


def test_exact_is_what_the_rule_gives_on_rationals() -> None:
    """By the reference on object arrays, which knows nothing of bounds."""
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
    """Flat, since an element of a 0-d object array is none."""
    reals = pairs(array).astype(np.float64).reshape(-1)
    return np.array([Fraction(x) for x in reals], dtype=object)


def test_kills_name_the_variants_of_every_line_of_the_rule() -> None:
    killed = {name for vector in VECTORS for name in vector.kills}
    assert killed <= {wrong.id for wrong in WRONG}
    for wrong in WRONG:
        family = wrong.clause.partition("-")[0]
        known = {wrong.id, wrong.clause, family} & {*OTHERWISE}
        assert wrong.id in killed or known, f"{wrong.id} of {wrong.clause} outlives every vector"


@pytest.mark.slow
def test_the_files_are_as_they_are_generated_kills_included() -> None:
    for name, text in generated().items():
        assert (FOLDER / name).read_text() == text, f"{name}: run `vectors generate`"


# Without this package


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "vectors"
    result = CliRunner().invoke(app, ["vectors", "export", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


def test_an_export_holds_vectors_lock_schemas_and_guide(exported: Path) -> None:
    names = {path.name for path in exported.iterdir()}
    assert names >= {
        GUIDE, FILE, "A-5.json", "vectors.schema.json", "run.schema.json", "ids.schema.json",
    }  # fmt: skip
    assert problems(exported) == []
    assert len(load(exported)) == len(VECTORS)


def test_an_export_goes_over_nothing_unasked(exported: Path) -> None:
    again = CliRunner().invoke(app, ["vectors", "export", str(exported)])
    assert again.exit_code == 2
    assert "is not empty: give another folder, or --force" in again.output
    assert CliRunner().invoke(app, ["vectors", "export", str(exported), "--force"]).exit_code == 0


def read_by_node(folder: Path, *options: str) -> Any:
    assert NODE is not None
    ran = subprocess.run(
        [NODE, READER, folder, *options], check=True, capture_output=True, text=True
    )
    return json.loads(ran.stdout)


@pytest.mark.skipif(NODE is None, reason="there is no node, which reads the vectors here")
def test_a_reader_in_javascript_passes_them(exported: Path) -> None:
    report = read_by_node(exported)
    assert report["wrong"] == []
    assert report["ran"] > 100
    assert report["ran"] + report["skipped"] == len(VECTORS)


@pytest.mark.skipif(NODE is None, reason="there is no node, which reads the vectors here")
def test_a_reader_in_javascript_with_eps_outside_does_not(exported: Path) -> None:
    wrong = {name for name, _what in read_by_node(exported, "outside")["wrong"]}
    assert {f"A-5/eps-inside-the-maximum[{dtype}]" for dtype in ("float32", "float64")} <= wrong


# What may come out


@pytest.mark.parametrize("format_", [FLOAT16, FLOAT32, FLOAT64])
@pytest.mark.parametrize(
    "value", [Fraction(0), Fraction(1, 3), Fraction(-1, 3), Fraction(7), Fraction(1, 2**1080)]
)
def test_bounds_are_rounded_outward_by_less_than_a_place(value: Fraction, format_: Any) -> None:
    rounded = followed._rounded_up(value, format_)
    assert Fraction(rounded) >= value > Fraction(np.nextafter(rounded, -np.inf))


def test_bounds_beyond_the_format_are_infinite() -> None:
    beyond = FLOAT16.largest + 1
    assert followed._rounded_up(beyond, FLOAT16) == np.inf
    assert followed._rounded_up(beyond, FLOAT32) == 65505
    assert followed._rounded_up(-(FLOAT64.largest * 2), FLOAT64) == -np.finfo(float).max


@pytest.mark.parametrize(
    ("element", "right", "wrong"),
    [
        (Element(1.0, 2.0), (1.0, 2.0), (0.5, 2.5, np.nan, np.inf)),
        (Element(1.0, np.inf), (np.inf, 1.0), (-np.inf, np.nan)),
        (Element(special="nan"), (np.nan,), (0.0, np.inf)),
        (Element(special="inf"), (np.inf,), (-np.inf, np.nan, 1.0)),
        (Element(special="-inf"), (-np.inf,), (np.inf, np.nan, 1.0)),
        (Element(special="not finite"), (np.nan, np.inf, -np.inf), (1.0,)),
        (Element(free=True), (np.nan, 1.0, np.inf), ()),
    ],
)
def test_what_is_right_for_an_element(element: Element, right: Any, wrong: Any) -> None:
    assert Element.of(element.document()) == element
    assert Elements((element,) * len(right)).outside(np.array(right)) == []
    assert Elements((element,) * len(wrong)).outside(np.array(wrong)) == [*range(len(wrong))]


def test_a_parameter_without_a_gradient_stays_as_it_may_have_been() -> None:
    run = run_of([1.0, 0.5])
    params = {**run.params, "late": np.ones(1, np.float32)}
    run = replace(run, params=params, grads=[run.grads[0], {}])
    first, second = expected(Trial(run))
    assert (first["w"].kept, second["w"].kept, second["w"].step) == (False, True, 1)
    assert first["w"].quantities == second["w"].quantities
    assert second["late"].step == 0
    assert second["late"].quantities["param"].all == (Element(1.0, 1.0, "1"),)


def test_a_backend_that_moves_a_parameter_without_a_gradient_is_outside() -> None:
    run = replace(run_of([1.0, 0.5]), grads=[run_of([1.0]).grads[0], {}])
    vector = adopted(Trial(run), "S-2/kept", "Nothing moves what has no gradient.")

    def step(params: Any, grads: Any, state: Any, hp: Any) -> Any:
        stepped, state = BASE.step(params, grads, state, hp)
        return {k: v if grads else np.nextafter(v, v + 1) for k, v in stepped.items()}, state

    assert outside(Watched(BASE), vector) == ""
    idle: Any = replace(BASE, step=step)  # type: ignore[type-var]  # the reference is a dataclass
    assert "must stay" in outside(Watched(idle), vector)


def test_a_state_that_is_not_shown_is_judged_by_the_parameters() -> None:
    vector = adopted(Trial(run_of([1.0, 0.5])), "A-4/hidden", "The state cannot be seen.")
    wrong = next(each for each in WRONG if each.id == "moment-not-weighted")
    hidden = replace(wrong.backend, moments=lambda _state: None)
    assert outside(Watched(wrong.backend), vector).startswith("step 1, w, exp_avg")
    assert outside(Watched(hidden), vector).startswith("step 1, w, param")


def test_a_backend_that_steps_in_what_it_has_loaded_leaves_the_vector_as_it_is() -> None:
    vector = next(each for each in VECTORS if each.trial.run.saved)
    before = vector.document()

    def load_and_spoil(params: Any, hp: Any, saved: Any) -> Any:
        state = BASE.load(params, hp, saved)
        for slot in saved.values():
            slot["exp_inf"][...] = 0
        return state

    spoiling: Any = replace(BASE, load=load_and_spoil)  # type: ignore[type-var]  # as above
    assert outside(Watched(spoiling), vector)
    assert vector.document() == before


# Ids


def test_generating_again_changes_no_byte(tmp_path: Path) -> None:
    files = published(tmp_path, [source()])
    assert published(tmp_path, [source()]) == files
    assert problems(tmp_path) == []


def test_a_new_vector_comes_into_the_lock_and_the_others_stay(tmp_path: Path) -> None:
    before = published(tmp_path, [source()])
    published(tmp_path, [source(), source("A-6/short[float32]", [0.25])])
    assert set(read_lock(tmp_path)) == {"A-5/short[float32]", "A-6/short[float32]"}
    assert (tmp_path / "A-5.json").read_text() == before["A-5.json"]


def test_the_inputs_of_a_published_id_cannot_change(tmp_path: Path) -> None:
    published(tmp_path, [source()])
    with pytest.raises(LockError, match=r"A-5/short\[float32\] are not those .* or retire the id"):
        published(tmp_path, [source(grads=[1.0, 0.25])])


def test_a_retired_id_makes_room_for_the_next(tmp_path: Path) -> None:
    published(tmp_path, [source()])
    retire(tmp_path, "A-5/short[float32]")
    published(tmp_path, [source(grads=[1.0, 0.25])])
    assert [vector.id for vector in load(tmp_path)] == ["A-5/short[float32]#2"]
    assert set(read_lock(tmp_path)) == {"A-5/short[float32]", "A-5/short[float32]#2"}
    assert problems(tmp_path) == []


def retire(folder: Path, name: str) -> None:
    lock = json.loads((folder / FILE).read_text())
    lock["ids"][name]["retired"] = "its gradient was too large"
    (folder / FILE).write_text(canonical(lock))


def test_a_vector_outlives_its_definition(tmp_path: Path) -> None:
    files = published(tmp_path, [source()])
    assert published(tmp_path, []) == files


def test_the_definitions_have_ids_and_notes_of_their_own() -> None:
    every = list(sources())
    assert len({each.id for each in every}) == len(every)
    assert all(len(each.note) >= 10 for each in every)


# Adopting what the fuzzer found


def test_what_is_adopted_stays_through_generating(tmp_path: Path) -> None:
    published(tmp_path, [source()])
    hp = replace(PLAIN, maximize=True, weight_decay=0.5)
    vector = adopted(Trial(run_of([0.125], hp)), "A-5/found", "The fuzzer found it.")
    ignored = [each for each in WRONG if each.id == "maximize-ignored"]
    vector, files = adopt(vector, tmp_path, variants=ignored)
    assert set(files) == {"A-5.json", FILE}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    [found, _short] = load(tmp_path)
    assert (found.id, found.kills) == ("A-5/found[float32]", ("maximize-ignored",))
    assert found.flags == ("maximize", "weight_decay")
    assert problems(tmp_path) == []
    assert set(generated(tmp_path, definitions=[source()], variants=())) == set(files)


def test_what_is_there_is_not_adopted_again(tmp_path: Path) -> None:
    published(tmp_path, [source()])
    same = Trial(run_of([1.0, 0.5]))
    note = "The same run once more."
    with pytest.raises(LockError, match=r"A-5/short\[float32\] is taken: choose another name"):
        adopt(adopted(same, "A-5/short", note), tmp_path)
    with pytest.raises(LockError, match=r"A-5/short\[float32\] is the same run"):
        adopt(adopted(same, "A-5/twin", note), tmp_path)


@pytest.mark.parametrize("name", ["A-99/found", "A-5", "A-5/Found", "A-5/found[float32]"])
def test_an_adopted_id_is_a_clause_and_a_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"is not a clause of docs/spec\.md, a slash, and a name"):
        adopted(Trial(run_of([1.0])), name, "The fuzzer found it.")


def test_a_run_that_nobody_would_read_is_not_adopted() -> None:
    with pytest.raises(ValueError, match=r"has 200 numbers .* shrink it first"):
        adopted(Trial(run_of([1.0] * 100)), "A-5/found", "The fuzzer found it.")


# What lint finds


def number(document: Any) -> Any:
    """The first interval of a file."""
    return document["vectors"][0]["expected"]["steps"][0]["w"]["param"][0]


def change(*path: Any, to: Any) -> Callable[[Any], None]:
    """Puts a value where the keys lead from the first vector of a file."""

    def edit(document: Any) -> None:
        *way, last = path
        target = document["vectors"][0]
        for key in way:
            target = target[key]
        target[last] = to

    return edit


STEP = ("expected", "steps", 0, "w")
GRADS = ("trial", "run", "grads")
BROKEN: dict[str, tuple[Callable[[Any], None], str]] = {
    "extra key": (change("comment", to="?"), "Additional properties are not allowed"),
    "no note": (change("note", to=""), "'' "),
    "number of a dialect": (change(*STEP, "param", 0, "low", to="0.5"), "'0.5' does not match"),
    "interval without its end": (
        lambda document: number(document).pop("high"), "'high' is a dependency of 'low'",
    ),
    "number and special": (
        lambda document: number(document).update(special="nan"), "too many properties",
    ),
    "malformed bits": (
        change(*GRADS, 0, "w", "bits", to="3f80"), "has 4 hexadecimal digits, must have 16",
    ),
    "exact outside": (change(*STEP, "param", 0, "exact", to="7/2"), "exact 7/2 is outside"),
    "exact not in lowest terms": (
        change(*STEP, "param", 0, "exact", to="-2/16"), "-2/16 is not in lowest terms",
    ),
    "low above high": (
        change(*STEP, "param", 0, "low", to="7fe0000000000000"), "is above high",
    ),
    "kept": (change(*STEP, "kept", to=True), "kept: must be false, as the gradients are"),
    "too few numbers": (change(*STEP, "param", to=[None]), "param: 1 numbers for 2"),
    "too few steps": (change("expected", to={"steps": []}), "0 steps are expected, 2 are run"),
    "another parameter": (change("expected", "steps", 0, to={}), "is not of the parameters"),
    "unknown flag": (change("flags", to=["sparkling"]), "unknown flags sparkling: there are"),
    "another dtype": (change("dtype", to="float64"), "no parameter is of dtype float64"),
    "another clause": (change("id", to="A-6/short[float32]"), "is of another clause"),
    "new id": (change("id", to="A-5/new[float32]"), "A-5/new[float32] is not in ids.lock"),
    "lost id": (change("id", to="A-5/new[float32]"), "short[float32] is in ids.lock, and gone"),
    "other inputs": (
        change(*GRADS, 0, "w", "bits", to="3f800000bf800000"),
        "the inputs of A-5/short[float32] are not those it was published with",
    ),
    "twice": (lambda d: d["vectors"].append(d["vectors"][0]), "A-5/short[float32] is there twice"),
    "another title": (lambda d: d.update(title="step"), "title must be those of A-5"),
    "no such clause": (lambda d: d.update(clause="A-99"), "there is no clause A-99"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_lint_finds(name: str, tmp_path: Path) -> None:
    published(tmp_path, [source()])
    edit, complaint = BROKEN[name]
    document = json.loads((tmp_path / "A-5.json").read_text())
    edit(document)
    (tmp_path / "A-5.json").write_text(canonical(document))
    assert complaint in "\n".join(problems(tmp_path))


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("A-5.json", "{", "A-5.json is not JSON"),
        (FILE, "{", "ids.lock is not JSON"),
        (FILE, "{}", "is a required property"),
    ],
)
def test_lint_finds_a_file_that_is_none(
    name: str, text: str, complaint: str, tmp_path: Path
) -> None:
    published(tmp_path, [source()])
    (tmp_path / name).write_text(text)
    assert complaint in "\n".join(problems(tmp_path))


@pytest.mark.parametrize("name", ["A-5.json", FILE])
def test_lint_finds_another_formatting(name: str, tmp_path: Path) -> None:
    files = published(tmp_path, [source()])
    (tmp_path / name).write_text(files[name].replace("  ", "   ") + "\n")
    assert problems(tmp_path) == [
        f"{name} is not sorted and formatted as `vectors generate` does it"
    ]


def test_lint_finds_a_retired_vector_that_is_there(tmp_path: Path) -> None:
    published(tmp_path, [source()])
    retire(tmp_path, "A-5/short[float32]")
    assert problems(tmp_path) == [
        "A-5/short[float32] has retired (its gradient was too large), and is there"
    ]


# The commands


def invoke(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["vectors", *map(str, arguments)])


def test_lint_prints_what_it_finds(tmp_path: Path) -> None:
    published(tmp_path, [source()])
    assert invoke("lint", tmp_path).output == "1 vectors, nothing wrong\n"
    (tmp_path / FILE).unlink()
    result = invoke("lint", tmp_path)
    assert result.exit_code == 1
    assert result.output == "A-5/short[float32] is not in ids.lock: run `vectors generate`\n"


@pytest.fixture
def generating(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What `generate` makes instead of the real files, which take their time."""
    files = generated(Path("none"), definitions=[source()], variants=())
    monkeypatch.setattr("adamax_conformance.vectors.generate.generated", lambda **_: dict(files))
    return files


def test_generate_writes_and_checks(tmp_path: Path, generating: dict[str, str]) -> None:
    folder = tmp_path / "new"
    stale = folder / "A-6.json"
    assert invoke("generate", "--out", folder).exit_code == 0
    assert {path.name: path.read_text() for path in folder.iterdir()} == generating
    assert invoke("generate", "--out", folder, "--check").exit_code == 0
    stale.write_text("{}")
    result = invoke("generate", "--out", folder, "--check")
    assert result.exit_code == 1
    assert "not as they are generated: A-6.json" in result.output
    assert invoke("generate", "--out", folder).output.startswith("1 of 2 files changed")
    assert not stale.exists()


def test_adopt_reads_what_the_fuzzer_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published(tmp_path, [source()])
    monkeypatch.setattr("adamax_conformance.vectors.vector.FOLDER", tmp_path)
    monkeypatch.setattr("adamax_conformance.variants.WRONG", WRONG[:3])
    failed = tmp_path / "repro.json"
    save(Repro("mine", Trial(run_of([4.0])), Failure("wrong")), failed)
    options = ("--id", "A-5/found", "--note", "The fuzzer found it.")
    before = {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    short = invoke("adopt", failed, *[("x" if o == options[3] else o) for o in options])
    assert short.exit_code == 2
    assert "A-5.json would not be of the schema" in short.output
    assert {file: file.read_bytes() for file in before} == before
    result = invoke("adopt", failed, *options)
    assert result.output.startswith("A-5/found[float32] is in ")
    assert [each.id for each in load(tmp_path)] == ["A-5/found[float32]", "A-5/short[float32]"]
    assert problems(tmp_path) == []
    again = invoke("adopt", failed, *options)
    assert again.exit_code == 2
    assert "A-5/found[float32] is taken" in again.output


def test_a_folder_without_vectors_is_not_right(tmp_path: Path) -> None:
    assert problems(tmp_path) == [f"there are no vectors in {tmp_path}"]


def test_generate_says_which_id_would_change(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: Any) -> Any:
        raise LockError("the inputs of A-5/short[float32] are not those")

    monkeypatch.setattr("adamax_conformance.vectors.generate.generated", refused)
    result = invoke("generate")
    assert result.exit_code == 1
    assert "the inputs of A-5/short[float32]" in result.output


def test_the_schema_is_of_every_vector_alone() -> None:
    """What a vector writes, the schema takes; an id of another form it does not."""
    vector: Vector = VECTORS[0]
    document = {"version": 1, "clause": "A-1", "title": "sign", "vectors": [vector.document()]}
    require("vectors", document)
    with pytest.raises(ValueError, match="does not match"):
        require("vectors", document | {"vectors": [vector.document() | {"id": "sign 1"}]})
