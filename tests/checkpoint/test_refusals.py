"""Each fault of a file, a folder or a state is one error, and nothing is written or changed."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from adamax_checkpoint import Checkpoint, CheckpointError, Group, load, save
from adamax_checkpoint.kinds import kind_of
from adamax_checkpoint.metadata import KEY, crc32
from adamax_checkpoint.trees import from_state
from adamax_core import Hyperparameters, State
from checkpoints import assert_same, drawn

ONE = drawn({"w": ((2, 3), "float32"), "b": ((3,), "float64")}, params=True)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "state.safetensors"
    save(path, ONE)
    return path


def header(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def rewrite(path: Path, head: Any, data: bytes) -> None:
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def with_metadata(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the metadata, with right checksums."""
    head, data = header(path)
    content = json.loads(head["__metadata__"][KEY])
    del content["crc32"]
    change(content)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    content["crc32"] = crc32(text.encode())
    head["__metadata__"][KEY] = json.dumps(content)
    rewrite(path, head, data)


@pytest.mark.parametrize("keep", [0, 7, 8, 100, -1], ids=str)
def test_a_truncated_file(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(
        CheckpointError, match=r"state\.safetensors: not a valid file .*from a copy"
    ):
        load(saved)


def test_a_flipped_bit_of_a_tensor_is_found_by_its_name(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1  # the last tensor: the smallest elements, and the last name
    saved.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"corrupt: the checksum of w\.param is wrong"):
        load(saved)


def test_changed_metadata(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes().replace(b"0.002", b"0.003"))
    with pytest.raises(CheckpointError, match="corrupt: the checksum of the metadata is wrong"):
        load(saved)


@pytest.mark.parametrize("length", [2**63, 2**40, 10**8], ids=str)
def test_an_absurd_size_of_the_header(saved: Path, length: int) -> None:
    saved.write_bytes(struct.pack("<Q", length) + saved.read_bytes()[8:])
    with pytest.raises(CheckpointError, match="not a valid file"):
        load(saved)


@pytest.mark.parametrize("shape", [[2**62], [2**32, 2**32], [2**40, 3]], ids=str)
def test_an_absurd_shape_takes_no_memory(saved: Path, shape: list[int]) -> None:
    head, data = header(saved)
    head["w.exp_avg"]["shape"] = shape
    rewrite(saved, head, data)
    with pytest.raises(CheckpointError, match="not a valid file"):
        load(saved)


def test_a_shape_of_as_many_elements_that_is_not_that_of_the_metadata(saved: Path) -> None:
    head, data = header(saved)
    head["w.exp_avg"]["shape"] = [3, 2]
    rewrite(saved, head, data)
    with pytest.raises(CheckpointError, match=r"w\.exp_avg is F32 of shape \[3, 2\]"):
        load(saved)


def test_metadata_that_is_deep(saved: Path) -> None:
    head, data = header(saved)
    head["__metadata__"][KEY] = "[" * 100_000
    rewrite(saved, head, data)
    with pytest.raises(CheckpointError, match="the metadata is not JSON"):
        load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(version=2), "version 2 of the format; this program reads version 1"),
        (lambda c: c.update(format="other"), "its format is not 'adamax-checkpoint'"),
        (lambda c: c.update(dialect="eps=twice"), "the dialect 'eps=twice' is not one of"),
        (lambda c: c["groups"][0].update(lr=-1.0), "lr = -1.0 is outside its domain"),
        (lambda c: c["groups"][0].pop("eps"), "eps of a group is missing; it must be a number"),
        (
            lambda c: c["groups"][0].update(names=["w"]),
            "different parameters; only in the state: b",
        ),
        (lambda c: c["groups"][0].update(names="w"), "names of a group is text; it must be a list"),
        (lambda c: c["groups"][0].update(maximize="no"), "maximize of a group is text; it must be"),
        (lambda c: c["groups"][0].update(lr=10**400), "the groups are not valid: int too large"),
        (lambda c: c["groups"][0].update(lr=True), "lr of a group is true or false; it must be a"),
        (lambda c: c["groups"][0].update(rho=1.0), "rho of a group is a number; it must be left"),
        (lambda c: c["groups"][0].update(betas=[0.9]), "1 of betas is missing; it must be a num"),
        (lambda c: c["groups"].append(None), "a group is None; it must be an object"),
        (lambda c: c["tensors"].update({"w.step": 1}), "w.step is 1; it must be an object"),
        (lambda c: c["tensors"]["w.step"].update(more=1), "more of w.step is a number; it must be"),
        (lambda c: c["tensors"]["w.step"].update(dtype="float32"), "which it cannot have"),
        (lambda c: c["tensors"]["w.param"].update(dtype="int64"), "which it cannot have"),
        (lambda c: c.update(version=True), "version True of the format"),
        (lambda c: c.update(verified="yes\nverified: twice"), "is not one line of text"),
        (lambda c: c.update(verified=3), "verified of the metadata is a number; it must be text"),
        (lambda c: c.update(more=""), "more of the metadata is text; it must be left out"),
        (lambda c: c["groups"][0].update(names=["w", "w", "b"]), "w: in more than one group"),
        (lambda c: c["tensors"].pop("w.step"), r"missing or left over: \['w.step'\]"),
        (lambda c: c.pop("tensors"), "malformed"),
        (lambda c: c.update(tensors=[]), "tensors of the metadata is a list; it must be an object"),
        (lambda c: c["tensors"]["w.step"].pop("shape"), "shape of w.step is missing; it must be"),
    ],
)
def test_metadata_that_are_not_valid(
    saved: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with_metadata(saved, change)
    with pytest.raises(CheckpointError, match=message):
        load(saved)


def test_the_file_of_another_program(tmp_path: Path) -> None:
    save_file({"w": np.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="not an Adamax checkpoint: its metadata has no"):
        load(tmp_path / "model.safetensors")


def test_the_state_of_adam(saved: Path) -> None:
    head, data = header(saved)
    head["w.exp_avg_sq"] = head.pop("w.exp_inf")
    rewrite(saved, head, data)
    with_metadata(
        saved, lambda c: c["tensors"].update({"w.exp_avg_sq": c["tensors"].pop("w.exp_inf")})
    )
    with pytest.raises(CheckpointError, match="which has step, exp_avg and exp_inf: it looks like"):
        load(saved)


def test_a_file_that_is_not_there_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        load(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)
    with pytest.raises(OSError, match=r"cannot save .* and nothing has changed"):
        save(tmp_path, ONE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["../w", "/etc/w", "a/../b", "a//b", "..", "a\\..\\b", "", "a\0b", "a\nb", 3], ids=repr
)
def test_a_name_with_a_path_part_or_that_cannot_be_printed(name: Any) -> None:
    array = np.ones(1)
    state = State({name: 1}, {name: array}, {name: array})
    with pytest.raises(CheckpointError, match=r"^the parameter name .*: rename the parameter$"):
        Checkpoint(state, (Group((name,), Hyperparameters()),))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exp_avg": {"w": np.ones(3)}}, r"w: exp_inf has shape \(2,\), exp_avg has \(3,\)"),
        ({"exp_inf": {"w": np.ones(2, complex)}}, "a complex parameter has complex moments"),
        ({"exp_inf": {"w": np.ones(2, int)}}, "w: exp_inf is int64; it must be a NumPy array of"),
        ({"exp_inf": {"w": [1.0, 2.0]}}, "w: exp_inf is list; it must be"),
        ({"exp_inf": {}}, "the groups and exp_inf have different .* only in the groups: w"),
        ({"step": {"w": 1, "v": 2}}, "only in the state: v"),
        ({"step": {"w": -1}}, r"w: step = -1 is outside its domain 0 <= step < 2\*\*63"),
        ({"step": {"w": 2**63}}, r"outside its domain"),
        ({"step": {"w": 1.0}}, "w: step = 1.0 is not an integer"),
        ({"exp_inf": {"w": np.array([np.nan, -1])}}, "w: exp_inf has elements below zero"),
    ],
)
def test_a_state_that_does_not_fit(change: dict[str, Any], message: str) -> None:
    state = State({"w": 1}, {"w": np.ones(2)}, {"w": np.ones(2)})
    with pytest.raises(CheckpointError, match=message):
        Checkpoint(state._replace(**change), (Group(("w",), Hyperparameters()),))


def test_nan_of_either_sign_and_zero_are_norms() -> None:
    norm = np.array([np.nan, -np.nan, -0.0, np.inf])
    state = State({"w": 1}, {"w": norm}, {"w": norm})
    assert Checkpoint(state, (Group(("w",), Hyperparameters()),)).state is state


def test_a_file_that_is_replaced_keeps_its_mode(saved: Path) -> None:
    for mode in (0o600, 0o664):
        saved.chmod(mode)
        save(saved, ONE)
        assert saved.stat().st_mode & 0o777 == mode


def test_a_name_may_be_as_long_as_the_folder_allows(tmp_path: Path) -> None:
    save(tmp_path / ("x" * 255), ONE)
    with pytest.raises(OSError, match=r"cannot save .*x \(File name too long\), and nothing has"):
        save(tmp_path / ("x" * 256), ONE)
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]


@pytest.mark.parametrize("step", [2.7, np.array([1, 2]), np.inf, "three"], ids=repr)
def test_a_count_that_is_no_integer(step: Any) -> None:
    with pytest.raises(CheckpointError, match=r"w: step = .* is not an integer"):
        from_state(State({"w": step}, {"w": np.ones(2)}, {"w": np.ones(2)}), Hyperparameters())


def test_what_is_loaded_is_equal_to_what_was_made(tmp_path: Path) -> None:
    """Names and betas as lists, and numbers of NumPy, are what a file gives back."""
    hp = Hyperparameters(np.float32(0.25), [0.5, np.float64(0.75)], Fraction(1, 4))  # type: ignore[arg-type]  # a list
    made = Checkpoint(ONE.state, [Group(["w", "b"], hp)])  # type: ignore[arg-type]  # lists
    assert made.groups == (Group(("w", "b"), Hyperparameters(0.25, (0.5, 0.75), 0.25)),)
    save(tmp_path / "state", made)
    assert_same(load(tmp_path / "state"), made)


def test_names_that_no_header_can_hold(tmp_path: Path) -> None:
    shapes = {f"{index}{'x' * 999_999}": ((1,), "float32") for index in range(16)}
    with pytest.raises(CheckpointError, match=r"the header of the file would have 1.*,.* bytes"):
        save(tmp_path / "state", drawn(shapes))
    assert not list(tmp_path.iterdir())


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "loop", Path("/")):
        with pytest.raises(OSError, match=r"cannot save .* and nothing has changed"):
            save(path, ONE)
    os.mkfifo(tmp_path / "pipe")
    for reader in (load, kind_of):
        with pytest.raises(OSError, match="pipe is not a regular file: copy it to one"):
            reader(tmp_path / "pipe")


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"cannot save .*pipe \(not a regular file\), and nothing"):
        save(tmp_path / "pipe", ONE)
    assert (tmp_path / "pipe").is_fifo()


FULL = """
import resource, signal, sys
from adamax_checkpoint import save
from checkpoints import drawn
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
save(sys.argv[1], drawn({"w": ((100_000,), "float64")}))
"""


def test_a_disk_without_space_leaves_the_old_file_and_no_other(saved: Path) -> None:
    """A limit for the size of files stops the writing halfway, as a full disk does."""
    ran = subprocess.run(
        [sys.executable, "-c", FULL, saved],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    last = ran.stderr.splitlines()[-1]
    assert "cannot save" in last
    assert "(File too large), and nothing has changed: choose a file" in last
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    assert_same(load(saved), ONE)


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="no folder that root cannot write")
def test_a_folder_that_cannot_be_written() -> None:
    with pytest.raises(
        PermissionError, match=r"cannot save /sys/kernel/state.*nothing has changed"
    ):
        save("/sys/kernel/state", ONE)


def test_an_interrupt_leaves_the_old_file_and_no_other(saved: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(saved, replace(ONE, params=None), tick=stop)
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    assert_same(load(saved), ONE)
