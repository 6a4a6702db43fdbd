"""What is saved is loaded to the last bit, by the library too, and nothing is larger than said."""

import json
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file

from adamax_checkpoint import Checkpoint, Group, file, load, save
from adamax_checkpoint.checkpoint import DTYPES
from adamax_core import Hyperparameters, State
from checkpoints import assert_same, drawn

HP = Hyperparameters(0.1, (0.8, 0.99), 1e-7, 0.25, maximize=True)


@st.composite
def arrays(draw: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    """Any bits at all, NaN with a payload too."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    data = draw(st.binary(min_size=size, max_size=size))
    return np.frombuffer(data, dtype).reshape(shape).copy()


@st.composite
def checkpoints(draw: Any) -> Checkpoint:
    names = draw(st.lists(st.sampled_from(["w", "a.b", "a/b", "ü", "x.step"]), unique=True))
    step: dict[str, int] = {}
    first: dict[str, Any] = {}
    second: dict[str, Any] = {}
    params: dict[str, Any] = {}
    for name in names:
        shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
        kinds = draw(st.sampled_from([[d for d in DTYPES if d.kind == k] for k in "cf"]))
        kinds = kinds if kinds[0].kind == "c" else [*kinds, np.dtype(ml_dtypes.bfloat16)]
        step[name] = draw(st.integers(0, 2**63 - 1))
        for tree in (first, second, params):
            tree[name] = draw(arrays(draw(st.sampled_from(kinds)), shape))
        norm = second[name].reshape(-1).view(second[name].real.dtype)
        with np.errstate(invalid="ignore"):
            norm[norm < 0] *= -1  # NaN of either sign stays, and -0.0
    cut = draw(st.integers(0, len(names)))
    groups = (Group(tuple(names[:cut]), HP), Group(tuple(names[cut:]), Hyperparameters()))
    with_params = params if names and draw(st.booleans()) else None
    return Checkpoint(State(step, first, second), groups, with_params, "eps=outside", "so")


@settings(max_examples=50, deadline=None)
@given(checkpoint=checkpoints())
def test_what_is_saved_is_loaded_to_the_last_bit(
    checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("saved") / "state.safetensors"
    save(path, checkpoint)
    assert_same(load(path), checkpoint)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_each_dtype_with_no_dimension_with_none_inside_and_strided(
    dtype: np.dtype[Any], tmp_path: Path
) -> None:
    whole = np.arange(24).reshape(2, 3, 4).astype(dtype)
    arrays = {"0-d": whole[1, 1, 1].reshape(()), "empty": whole[:0], "strided": whole.T[::-1, ::2]}
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    state = State(dict.fromkeys(arrays, 1), arrays, arrays)
    checkpoint = Checkpoint(state, (Group(tuple(arrays), HP),), arrays)
    save(tmp_path / "state", checkpoint)
    assert_same(load(tmp_path / "state"), checkpoint)


def test_the_library_reads_the_file_and_complex_numbers_are_pairs(tmp_path: Path) -> None:
    checkpoint = drawn({"w": ((2, 3), "float32"), "z": ((2,), "complex128")}, seed=1)
    save(tmp_path / "state", checkpoint)
    found = load_file(tmp_path / "state")
    assert set(found) == {f"{name}.{f}" for name in "wz" for f in ("exp_avg", "exp_inf", "step")}
    np.testing.assert_array_equal(found["w.exp_inf"], checkpoint.state.exp_inf["w"])
    pairs = found["z.exp_avg"]
    assert pairs.dtype == np.float64
    np.testing.assert_array_equal(pairs @ [1, 1j], checkpoint.state.exp_avg["z"])
    assert found["w.step"].dtype == np.int64


def test_the_same_state_has_the_same_bytes_and_tensors_are_aligned(tmp_path: Path) -> None:
    checkpoint = drawn({"b": ((3,), "float16"), "a": ((3,), "float64"), "c": ((), "float32")})
    for name in ("one", "other"):
        save(tmp_path / name, checkpoint)
    one = (tmp_path / "one").read_bytes()
    assert one == (tmp_path / "other").read_bytes()
    (length,) = struct.unpack("<Q", one[:8])
    sizes = {"F16": 2, "F32": 4, "F64": 8, "I64": 8}
    header = json.loads(one[8 : 8 + length])
    del header["__metadata__"]
    assert all(part["data_offsets"][0] % sizes[part["dtype"]] == 0 for part in header.values())


def test_a_file_is_replaced_through_a_link_with_the_rights_of_a_new_file(tmp_path: Path) -> None:
    first, second = drawn({"w": ((2,), "float32")}, seed=1), drawn({"v": ((3,), "float64")}, seed=2)
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    save(tmp_path / "link", first)
    save(tmp_path / "link", second)
    assert (tmp_path / "link").is_symlink()
    assert_same(load(tmp_path / "real"), second)
    (tmp_path / "new").touch()
    assert (tmp_path / "real").stat().st_mode == (tmp_path / "new").stat().st_mode
    assert {path.name for path in tmp_path.iterdir()} == {"real", "link", "new"}


def test_progress_is_told_of_every_byte(tmp_path: Path) -> None:
    checkpoint = drawn({"w": ((300, 700), "float64"), "b": ((), "float32")})
    total = sum(array.nbytes for array in checkpoint.arrays().values())
    told: list[int] = []
    save(tmp_path / "state", checkpoint, tick=told.append)
    assert sum(told) == total
    told.clear()
    load(tmp_path / "state", tick=told.append)
    assert sum(told) == total


def test_a_file_that_is_replaced_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its metadata and its tensors: the file is not corrupt, but another."""
    path = tmp_path / "state.safetensors"
    old, new = (drawn({"w": ((4, 3), "float32")}, seed, params=True) for seed in range(2))
    save(path, old)
    left, starts = [new], file._starts

    def replaced_once(given: Path) -> dict[str, int]:
        if left:
            save(path, left.pop())
        return starts(given)

    monkeypatch.setattr(file, "_starts", replaced_once)
    assert_same(load(path), new)
