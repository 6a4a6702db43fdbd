"""The command converts each kind of file into each, with proof, and refuses what it must."""

import io
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from flax import serialization
from rich.console import Console
from safetensors.numpy import save_file
from typer.testing import CliRunner

from adamax_checkpoint import Checkpoint, cli, load, save
from adamax_checkpoint.cli import app
from adamax_checkpoint.dialects import to_dialect
from adamax_core import Hyperparameters
from adamax_torch import Adamax
from checkpoints import assert_same, drawn

HP = Hyperparameters(0.1, (0.8, 0.9), 1e-6, 0.25)
SHAPES = {"layer.w": ((2, 3), "float32"), "layer.b": ((3,), "bfloat16")}
STATE = drawn(SHAPES, 0, HP, params=True, step=5)


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "300"})
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save(tmp_path / "state.safetensors", STATE)
    return tmp_path / "state.safetensors"


def told(path: Path) -> str:
    return load(path).verified


def without_proof(checkpoint: Checkpoint) -> Checkpoint:
    return replace(checkpoint, verified="")


def test_from_each_kind_to_each_with_proof(saved: Path, tmp_path: Path) -> None:
    kinds = {"canonical": saved}
    for kind in ("torch", "optax"):
        kinds[kind] = tmp_path / kind
        printed = run("convert", saved, kinds[kind], "--to", kind)
        backend = {"torch": "torch", "optax": "jax"}[kind]
        assert f"verified: same bits; numpy and {backend} took 3 steps" in printed
    for kind, path in kinds.items():
        back = tmp_path / f"{kind}.back"
        run("convert", path, back, "--to", "canonical", "--steps", 1)
        assert_same(without_proof(load(back)), STATE)
        assert "took 1 steps with gradients drawn from the seed 0" in told(back)
        assert f"{kind} file, dialect canonical" in run("inspect", path)
    assert "same bits" in run("verify", kinds["torch"], kinds["optax"])
    assert {path.name for path in tmp_path.iterdir()} == {
        "state.safetensors", "torch", "optax",
        "canonical.back", "torch.back", "optax.back",
    }  # fmt: skip


def test_the_files_are_those_of_the_frameworks(saved: Path, tmp_path: Path) -> None:
    run("convert", saved, tmp_path / "torch", "--to", "torch", "--no-verify")
    content = torch.load(tmp_path / "torch", weights_only=True)
    params = {name: torch.nn.Parameter(each) for name, each in content["model"].items()}
    optimizer = Adamax(params.items())
    optimizer.load_state_dict(content["optimizer"])
    moment = optimizer.state[params["layer.w"]]["exp_avg"].numpy()
    np.testing.assert_array_equal(moment, STATE.state.exp_avg["layer.w"])
    assert '"verified":""' in content["adamax"]

    run("convert", saved, tmp_path / "optax", "--to", "optax", "--no-verify")
    restored = serialization.msgpack_restore((tmp_path / "optax").read_bytes())
    tree = jax.tree.map(jnp.asarray, restored["params"])
    fresh = optax.adamax(0.1).init(tree)
    state = serialization.from_state_dict(fresh, restored["optimizer"])
    np.testing.assert_array_equal(state[0].nu["layer"]["w"], STATE.state.exp_inf["layer.w"])
    assert int(state[0].count) == 5


def test_a_training_of_optax_and_one_of_torch_without_names(tmp_path: Path) -> None:
    params = {"w": jnp.ones(3)}
    transform = optax.chain(optax.clip(1.0), optax.adamax(0.5))
    _, state = transform.update(params, transform.init(params), params)
    (tmp_path / "optax").write_bytes(serialization.to_bytes(state))
    out = tmp_path / "out"
    message = run("convert", tmp_path / "optax", out, "--to", "torch", code=2)
    assert "the state of optax has no hyperparameters: give those of the optimizer" in message
    rates = ("--hyperparameters", "0.5,0.9,0.999,1e-8,0")
    run("convert", tmp_path / "optax", out, "--to", "canonical", *rates)
    assert load(out).state.step == {"w": 1}
    assert load(out).groups[0].hyperparameters == Hyperparameters(0.5)
    adamaxw = run("inspect", tmp_path / "optax", "--hyperparameters", "1,0,0,0,0.5", "--decoupled")
    assert "weight_decay=0.5, maximize=False, decoupled_weight_decay=True" in adamaxw
    assert "beta1 = 2.0 is outside" in run(
        "inspect", tmp_path / "optax", "--hyperparameters", "1,2,0,0,0", code=2
    )

    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adamax(model.parameters())
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "torch")
    assert "numbers in place of names" in run("inspect", tmp_path / "torch", code=2)
    printed = run("inspect", tmp_path / "torch", "--names", "weight,bias", "--limit", 1)
    assert "parameters: 2, without their values; 40 bytes" in printed
    assert "weight (1, 2) float32 float32 1 and 1 more: --limit 2" in printed


class Anything:
    """What needs this test to be unpickled."""


def test_a_file_that_needs_code_is_refused_with_an_explanation(tmp_path: Path) -> None:
    torch.save({"optimizer": Anything()}, tmp_path / "run.pt")
    message = run("convert", tmp_path / "run.pt", tmp_path / "out", "--to", "optax", code=2)
    assert "unpickling it would run code from the file, so it is not read. In a program" in message
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.ones(1)}, "no state dicts of optimizers: save one"),
        ({key: {"state": {}, "param_groups": []} for key in "ab"}, r"2 state dicts .* \(a, b\)"),
    ],
)
def test_a_file_of_torch_without_one_optimizer(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "run.pt")
    assert re.search(message, run("inspect", tmp_path / "run.pt", code=2))


@pytest.mark.parametrize("kind", ["canonical", "torch", "optax"])
def test_truncated_files_are_refused_and_nothing_is_written(
    saved: Path, tmp_path: Path, kind: str
) -> None:
    whole = tmp_path / "whole"
    run("convert", saved, whole, "--to", kind, "--no-verify")
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) // 2])
    before = sorted(tmp_path.iterdir())
    assert "not a valid file" in run("convert", whole, tmp_path / "out", "--to", "torch", code=2)
    assert sorted(tmp_path.iterdir()) == before


def test_what_optax_cannot_hold(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for state, message in (
        (drawn(SHAPES), r"different numbers of steps, \[1, 2\], and optax has one count"),
        (drawn({"z": ((2,), "complex64")}), "norm of a complex parameter is of the modulus"),
        (drawn({"w": ((2,), "float32")}, step=2**31), r"above 2\*\*31 - 1"),
        (
            drawn(dict.fromkeys(("a", "a.b"), ((2,), "float32")), step=1),
            "a: the name of a parameter",
        ),
    ):
        save(tmp_path / "state", state)
        assert re.search(message, run("convert", tmp_path / "state", out, "--to", "optax", code=2))
        assert not out.exists()


def test_another_dialect_is_converted_on_request(tmp_path: Path) -> None:
    save(tmp_path / "keras", to_dialect(STATE, "eps=outside"))
    out = tmp_path / "out"
    message = run("convert", tmp_path / "keras", out, "--to", "canonical", code=2)
    assert "convert it with --dialect canonical, or pass --no-verify" in message
    printed = run("convert", tmp_path / "keras", out, "--to", "canonical", "--dialect", "canonical")
    assert "from eps=outside to canonical: each norm is at most eps = 1e-06 off" in printed
    assert load(out).dialect == "canonical"
    arguments = ("convert", out, tmp_path / "more", "--to", "canonical", "--dialect")
    assert "1000 eps" in run(*arguments, "eps=in-the-decay", code=2)


def test_nothing_that_a_file_has_itself_is_overridden(saved: Path) -> None:
    """Names of equal shapes would be exchanged without an error, and other steps be taken."""
    message = run("inspect", saved, "--names", "layer.w,layer.c", code=2)
    assert "it has names itself, layer.w, layer.b: leave out the names layer.w, layer.c" in message
    model = torch.nn.Linear(1, 1)
    optimizer = Adamax(model.named_parameters())
    model(torch.ones(1)).sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), saved.with_name("run.pt"))
    message = run("inspect", saved.with_name("run.pt"), "--names", "bias,weight", code=2)
    assert "names has 'bias' where the state dict itself has 'weight': leave names out" in message
    for path in (saved, saved.with_name("run.pt")):
        message = run("inspect", path, "--hyperparameters", "1,0,0,0,0", code=2)
        assert "it has hyperparameters itself, Hyperparameters(lr=0." in message
    assert "parameters: 2" in run("inspect", saved, "--names", "layer.b,layer.w")


def test_a_training_that_has_not_begun(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 1)
    content = {"optimizer": Adamax(model.named_parameters()).state_dict()}
    torch.save(content, tmp_path / "run.pt")
    message = run("inspect", tmp_path / "run.pt", code=2)
    assert "a file needs the model's state_dict beside the optimizer's" in message
    torch.save(content | {"model": model.state_dict()}, tmp_path / "run.pt")
    assert "bias (1,) float32 float32 0" in run("inspect", tmp_path / "run.pt")


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_read(saved: Path) -> None:
    folder = saved.parent
    message = run("convert", saved, folder / "no" / "out", "--to", "torch", code=2)
    assert f"there is no folder {folder / 'no'}: make it" in message
    (folder / "link").symlink_to(saved)
    message = run("convert", saved, folder / "link", "--to", "torch", code=2)
    assert "is the file to read, and what else it has, such as an epoch, would be lost" in message
    (folder / "text").write_text("some notes")
    message = run("convert", folder / "text", folder / "out", "--to", "torch", code=2)
    assert "neither a safetensors file, nor one of torch.save, nor one of Flax's" in message
    assert {path.name for path in folder.iterdir()} == {saved.name, "link", "text"}


def test_a_full_disk_is_told_of_each_kind(saved: Path) -> None:
    """PyTorch hides the error of the file behind one of its own."""
    for kind in ("torch", "optax", "canonical"):
        ran = subprocess.run(
            [sys.executable, "-c", FULL, saved, saved.with_name("out"), kind],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 2, ran.stderr
        assert "File too large), and nothing has changed" in " ".join(ran.stderr.split())
        assert [path.name for path in saved.parent.iterdir()] == [saved.name]


FULL = """
import resource, signal, sys
from adamax_checkpoint.cli import app
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
path, out, kind = sys.argv[1:]
app(["convert", path, out, "--to", kind, "--no-verify"])
"""


def test_states_that_differ_are_told_with_another_exit_code(saved: Path, tmp_path: Path) -> None:
    other = drawn(SHAPES, 1, HP, params=True, step=5)
    save(tmp_path / "other", other)
    message = run("verify", saved, tmp_path / "other", code=1)
    assert "has other bits on the other side: the states differ" in message


def test_recorded_gradients_are_replayed(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "gradients"
    save_file(
        {"0.layer.w": np.ones((2, 3), np.float32), "1.layer.w": np.ones((2, 3), np.float32)}, path
    )
    assert "took 2 steps with gradients recorded" in run("verify", saved, "--gradients", path)
    save_file({"layer.w": np.ones(1)}, path)
    assert "layer.w is not a number of a step" in run("verify", saved, "--gradients", path, code=2)
    path.write_bytes(b"")
    assert "not a valid file" in run("verify", saved, "--gradients", path, code=2)


@pytest.mark.parametrize("package", ["torch", "jax", "flax"])
def test_a_framework_that_is_not_installed_is_named(
    package: str, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = "torch" if package == "torch" else "optax"
    for module in ("torch_file", "optax_file", "optax", "torch"):
        monkeypatch.delitem(sys.modules, f"adamax_checkpoint.{module}", raising=False)
        monkeypatch.delattr(f"adamax_checkpoint.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    message = run("convert", saved, saved.with_name("out"), "--to", kind, code=2)
    assert f"this needs {package}, which is not installed" in message


def test_help_teaches() -> None:
    assert "Move the state of Adamax between PyTorch and optax, with proof" in run("--help")
    for command in ("inspect", "convert", "verify"):
        assert f"Example: adamax-checkpoint {command}" in run(command, "--help")
    assert "No such file" in run("inspect", "nothing", code=2)


def test_changed_hyperparameters_of_a_written_file_are_found(saved: Path, tmp_path: Path) -> None:
    run("convert", saved, tmp_path / "out", "--to", "torch", "--no-verify")
    content = torch.load(tmp_path / "out", weights_only=True)
    content["optimizer"]["param_groups"][0]["lr"] = 0.5
    torch.save(content, tmp_path / "out")
    message = run("inspect", tmp_path / "out", code=2)
    assert "the hyperparameters are not what was saved. Restore the file from a copy, or" in message
    del content["adamax"]
    torch.save(content, tmp_path / "out")
    assert "lr=0.5" in run("inspect", tmp_path / "out")


@pytest.mark.parametrize("kind", ["torch", "optax"])
def test_a_changed_bit_of_a_written_file_is_found(kind: str, saved: Path, tmp_path: Path) -> None:
    run("convert", saved, tmp_path / "out", "--to", kind, "--no-verify")
    data = bytearray((tmp_path / "out").read_bytes())
    at = data.index(STATE.state.exp_avg["layer.w"].tobytes())
    data[at] ^= 1
    (tmp_path / "out").write_bytes(data)
    message = run("inspect", tmp_path / "out", code=2)
    what = {
        "torch": "the checksum of archive/data/1 is wrong",
        "optax": "layer.w.exp_avg is not what was saved",
    }[kind]
    assert f"corrupt: {what}. Restore the file from a copy" in message


def test_a_progress_bar_on_a_terminal(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(cli, "errors", Console(file=shown, force_terminal=True))
    monkeypatch.setattr(cli, "_LARGE", 0)
    run("convert", saved, saved.with_name("out"), "--to", "torch")
    for what in ("reading state.safetensors", "verifying out", "writing out"):
        assert what in shown.getvalue()
