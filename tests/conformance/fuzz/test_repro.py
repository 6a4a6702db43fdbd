"""Files of failing runs: they survive a round trip, and `replay` judges them again."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from adamax_conformance.cli import app
from adamax_conformance.exchange.wire import encode_trial
from adamax_conformance.fuzz.repro import (
    Failure,
    Repro,
    ReproError,
    explained,
    failure_of,
    load,
    save,
    versions,
)
from adamax_conformance.judging.finding import Divergence
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.subject.backend import Moments
from adamax_conformance.subject.watched import Watched
from adamax_conformance.subjects.reference import backend as reference
from adamax_core import CANONICAL, Hyperparameters

RUNNER = CliRunner()
BASE = reference()
OUTSIDE = reference(
    CANONICAL._replace(infinity_norm=lambda u, g, b2, _eps: np.maximum(b2 * u, abs(g))), "outside"
)
HP = Hyperparameters(lr=0.5, betas=(0.75, 0.5), eps=1.0)
GLUE = """
from dataclasses import replace
from adamax_conformance.subjects.reference import backend
base = backend()
idle = replace(base, name="idle", step=lambda p, g, s, hp: (dict(p), s))
def no_step(*_args): raise RuntimeError("no device\\x1b[31m")
raises = replace(base, name="raises", step=no_step)
"""


def a_trial() -> Trial:
    params = {"w": np.array([1.0, np.nan], np.float32), "b": np.zeros((2, 3)).T}
    saved = {k: Moments(7, np.ones_like(p), np.ones_like(p)) for k, p in params.items()}
    grads: list[dict[str, Any]] = [
        {"w": np.array([0.5, np.inf], np.float32)},
        {"w": params["w"], "b": np.ones((3, 2))},
    ]
    hp = [HP, replace(HP, maximize=True)]
    return Trial(Run(params, grads, hp, saved=saved), accurate_correction=True)


def a_repro(distance: float = 2.5) -> Repro:
    divergence = Divergence(2, "w", (1,), "param", "0.5", "[1, 2]", "1.5", distance, "float32 3f0")
    failure = Failure(str(divergence), divergence)
    return Repro("py:glue:idle", a_trial(), failure, "adamax-conformance fuzz x", versions())


@pytest.mark.parametrize("distance", [2.5, math.inf])
def test_repro_comes_back(tmp_path: Path, distance: float) -> None:
    path, repro = tmp_path / "repro.json", a_repro(distance)
    save(repro, path)
    again = load(path)
    assert encode_trial(again.trial) == encode_trial(repro.trial)
    assert replace(again, trial=repro.trial) == repro
    assert "Infinity" not in path.read_text(encoding="utf-8")


def test_error_without_a_divergence_comes_back(tmp_path: Path) -> None:
    repro = replace(a_repro(), failure=Failure("step raised RuntimeError: no device"))
    save(repro, tmp_path / "repro.json")
    assert load(tmp_path / "repro.json").failure == repro.failure


def test_versions_are_of_what_takes_part() -> None:
    found = versions()
    assert found["numpy"] == np.__version__
    assert {"python", "adamax-spec", "hypothesis"} <= set(found)


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = changed(copy[path[0]] if value is not None else None, path[1:], value)
    return copy


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((), [], r"repro.json: \$: \[\] is not of type 'object'"),
        (("version",), 2, r"\$.version: 1 was expected"),
        (("backend",), 3, r"\$.backend: 3 is not of type 'string'"),
        (("backend",), "", r"\$.backend: '' should be non-empty"),
        (("trial",), {}, r"\$.trial: 'run' is a required property"),
        (("trial", "run", "grads", 0, "w", "bits"), "3f", r"bits: '3f' does not match"),
        (("trial", "run", "grads", 0, "w", "bits"), "3f80", "has 4 hexadecimal digits, must have"),
        (("found", "divergence", "quantity"), "loss", r"divergence"),
        (("more",), 1, "Additional properties are not allowed"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, path: tuple[Any, ...], value: Any, message: str
) -> None:
    file = tmp_path / "repro.json"
    save(a_repro(), file)
    document = json.loads(file.read_text(encoding="utf-8")) | (
        {"more": 0} if "more" in path else {}
    )
    file.write_text(json.dumps(changed(document, path, value)), encoding="utf-8")
    with pytest.raises(ReproError, match=message):
        load(file)
    result = RUNNER.invoke(app, ["replay", str(file)])
    assert result.exit_code == 2
    assert "cannot read this run: " in result.output


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1, 2"])
def test_files_that_are_not_json_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "repro.json").write_bytes(content)
    with pytest.raises(ReproError, match=r"repro\.json: "):
        load(tmp_path / "repro.json")


def test_failure_of_a_run() -> None:
    trial = Trial(Run({"w": np.zeros(1)}, [{"w": np.ones(1)}], HP))
    assert failure_of(Watched(BASE), trial) is None
    failure = failure_of(Watched(OUTSIDE), trial)
    assert failure is not None
    assert failure.divergence is not None
    assert failure.divergence.where == "step 1, w[0], exp_inf"


def test_steps_that_change_what_was_loaded_are_a_failure() -> None:
    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        result = BASE.step(p, g, s, hp)
        for moment in s.exp_inf.values():
            np.add(moment, 1, out=moment)
        return result

    saved = {"w": Moments(3, np.ones(1), np.ones(1))}
    trial = Trial(Run({"w": np.zeros(1)}, [{"w": np.ones(1)}], HP, saved=saved))
    failure = failure_of(Watched(replace(BASE, step=step)), trial)
    assert failure is not None
    assert "changed the loaded arrays" in failure.message


def test_every_number_is_printed_exactly() -> None:
    repro = a_repro()
    lines = [*explained(repro.trial, repro.failure)]
    assert lines[:6] == [
        "step 2, w[1], param",
        "  got       0.5 (float32 3f0)",
        "  allowed   [1, 2]",
        "  exactly   1.5",
        "  distance  2.5 times the bound",
        "params",
    ]
    text = "\n".join(lines)
    assert "  w: float32 (2,)\n    1.0 = 0x1.0000000000000p+0\n    nan\n" in text
    assert "  b: float64 (3, 2), F\n" in text
    assert "loaded state of w, step 7\n  exp_avg: float32 (2,)\n" in text
    assert "step 1, grads\n  w: float32 (2,)\n    0.5 = 0x1.0000000000000p-1\n    inf\n" in text
    assert "  none for b\n" in text
    assert "hyperparameters\n  lr           0.5 = 0x1.0000000000000p-1\n" in text
    assert "hyperparameters, maximize\n" in text
    assert text.count("beta1        0.75 = 0x1.8000000000000p-1") == 2


def test_long_arrays_and_infinite_distances_are_abbreviated() -> None:
    run = Run({"w": np.zeros(20)}, [{"w": np.zeros(20)}] * 2, HP, undecayed=("w",))
    failure = a_repro(math.inf).failure
    text = "\n".join(explained(Trial(replace(run, state_dtype="float32")), failure))
    assert "    and 12 more\n" in text
    assert "  distance  not a rounding error\n" in text
    assert "state in float32\nwithout decay: w\n" in text
    assert text.count("hyperparameters") == 1


@pytest.fixture
def repro_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "repro_glue.py").write_text(GLUE)
    trial = Trial(Run({"w": np.zeros(1)}, [{"w": np.ones(1)}], HP))
    path = tmp_path / "repro.json"
    save(replace(a_repro(), backend="py:repro_glue:idle", trial=trial), path)
    return path


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ([], 1, "idle: wrong\nstep 1, w"),
        (["numpy"], 0, "numpy: right; it was: step 2, w[1], param"),
        (["py:repro_glue:raises"], 1, "wrong\nstep raised RuntimeError: no device\\x1b[31m"),
        (["nope"], 2, "unknown backend 'nope'"),
        (["py:repro_glue:gone"], 2, "has no 'gone'"),
    ],
)
def test_replay(repro_file: Path, name: list[str], code: int, text: str) -> None:
    result = RUNNER.invoke(app, ["replay", str(repro_file), *name])
    assert result.exit_code == code, result.output
    assert text in result.output


def test_replay_of_a_missing_file(tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["replay", str(tmp_path / "gone.json")])
    assert result.exit_code == 2
    assert "cannot read this run" in result.output
