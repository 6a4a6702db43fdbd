"""A killed process leaves a readable file, and a corrupt file is refused or the same."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from adamax_checkpoint import Checkpoint, CheckpointError, load, optax_file, save, torch_file
from adamax_checkpoint.kinds import Kind, write
from checkpoints import assert_same, drawn

LOOP = """
import sys
from adamax_checkpoint import save
from checkpoints import drawn
states = [drawn({"w": ((200, 500), "float32"), "b": ((), "float64")}, n) for n in range(2)]
print("ready", flush=True)
while True:
    for state in states:
        save(sys.argv[1], state)
"""


def kills(times: int, path: Path) -> None:
    """Kill a loop of savings so many times, at moments drawn from a seed, and read its file."""
    rng = random.Random(times)  # noqa: S311 - moments, no secrets
    states = [drawn({"w": ((200, 500), "float32"), "b": ((), "float64")}, n) for n in range(2)]
    save(path, states[0])
    for _ in range(times):
        with subprocess.Popen(
            [sys.executable, "-c", LOOP, path],
            env={"PYTHONPATH": ":".join(sys.path)},
            stdout=subprocess.PIPE,
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(rng.uniform(0, 0.05))
            child.kill()
        found = load(path)
        one = next(each for each in states if each.state.exp_avg["b"] == found.state.exp_avg["b"])
        assert_same(found, one)
        for left in path.parent.glob(f".{path.name}.*.partial"):
            left.unlink()
        assert list(path.parent.iterdir()) == [path]


def test_a_kill_leaves_a_readable_file(tmp_path: Path) -> None:
    kills(3, tmp_path / "state")


@pytest.mark.slow
def test_two_hundred_kills_leave_a_readable_file(tmp_path: Path) -> None:
    kills(200, tmp_path / "state")


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Flip bits, overwrite, cut, insert, repeat or exchange parts."""
    new, size = bytearray(data), rng.choice([1, 1, 4, 64])
    one, other = sorted(rng.randrange(len(data)) for _ in range(2))
    match rng.randrange(6):
        case 0:
            for _ in range(size):
                new[rng.randrange(len(new))] ^= 1 << rng.randrange(8)
        case 1:
            new[one : one + size] = rng.randbytes(size)
        case 2:
            del new[one:other]
        case 3:
            new[one:one] = rng.randbytes(size)
        case 4:
            new[one:one] = new[other : other + size]
        case _:
            new[one : one + size], new[other : other + size] = (
                new[other : other + size],
                new[one : one + size],
            )
    return bytes(new)


READERS: dict[Kind, Callable[[Path], Checkpoint]] = {
    Kind.torch: torch_file.read,
    Kind.optax: optax_file.read,
    Kind.canonical: load,
}
SHAPES = {"w": ((5, 4), "float32"), "b": ((), "bfloat16")}


def corruptions(times: int, path: Path, kind: Kind = Kind.canonical) -> None:
    """Damage a file so many times; each is refused by an error of ours, or is what was saved."""
    rng = random.Random(times)  # noqa: S311 - as above
    others = {"z": ((3,), "complex64")} if kind is Kind.canonical else {}
    state = drawn(SHAPES | others, params=True, step=3)
    write(path, kind, state)
    data, refused = path.read_bytes(), 0
    for _ in range(times):
        path.write_bytes(damaged(rng, data))
        try:
            found = READERS[kind](path)
        except CheckpointError:
            refused += 1
        else:
            assert_same(found, state)
    assert refused > times * 0.8  # else nothing was corrupted


def test_corruptions_are_refused_or_harmless(tmp_path: Path) -> None:
    corruptions(300, tmp_path / "state")


@pytest.mark.parametrize("kind", [Kind.torch, Kind.optax])
def test_corruptions_of_the_files_of_frameworks_are_too(kind: Kind, tmp_path: Path) -> None:
    corruptions(100, tmp_path / "state", kind)


@pytest.mark.slow
def test_ten_thousand_corruptions_are_refused_or_harmless(tmp_path: Path) -> None:
    corruptions(10_000, tmp_path / "state")
