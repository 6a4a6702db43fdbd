"""A checkpoint of a gigabyte, saved and loaded, beside `dd` on the same disk, flushed alike.

Prints the speed of each in turn, and the largest memory beyond the state. `dd` writes from memory
with ``conv=fsync``; before each reading the pages of the file are dropped from the cache.
"""

import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from adamax_checkpoint import Checkpoint, Group, load, save
from adamax_core import Hyperparameters, State

MIB = 1 << 20


def state(megabytes: int, tensors: int) -> Checkpoint:
    """A checkpoint of random float32 moments."""
    rng = np.random.default_rng(0)
    size = megabytes * MIB // (8 * tensors)
    names = [f"layers.{index}.weight" for index in range(tensors)]
    first, second = (
        {name: rng.random(size, np.float32) for name in names} for _ in ("exp_avg", "exp_inf")
    )
    counts = dict.fromkeys(names, 1)
    return Checkpoint(State(counts, first, second), (Group(tuple(names), Hyperparameters()),))


def timed(function: Callable[[], object]) -> float:
    """The seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def dropped(path: Path) -> None:
    """Drop the pages of a file, which is on disk already, from the cache."""
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def dd(source: str, target: str, megabytes: int, *options: str) -> float:
    """The seconds that `dd` takes."""
    command = ["dd", f"if={source}", f"of={target}", "bs=1M", f"count={megabytes}", *options]
    return timed(lambda: subprocess.run(command, check=True, capture_output=True))  # noqa: S603 - dd


def peak() -> int:
    """The largest memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(
    folder: Annotated[Path | None, typer.Option(help="On the disk to measure.")] = None,
    megabytes: Annotated[int, typer.Option(min=1)] = 1024,
    tensors: Annotated[int, typer.Option(min=1)] = 16,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Time saving and loading a checkpoint against dd, in turn, and print the medians."""
    checkpoint = state(megabytes, tensors)
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        file, copy = Path(place, "state.safetensors"), Path(place, "dd")
        base = peak()
        save(file, checkpoint)
        saved = peak()
        load(file)
        loaded = peak()
        for index in range(rounds):
            turns: list[tuple[str, Callable[[], float]]] = [
                ("save", lambda: timed(lambda: save(file, checkpoint))),
                ("dd, writing", lambda: dd("/dev/zero", str(copy), megabytes, "conv=fsync")),
                ("load", lambda: timed(lambda: load(file))),
                ("dd, reading", lambda: dd(str(copy), "/dev/null", megabytes)),
            ]
            # What comes first waits for the disk to finish, so the order alternates.
            for pair in (turns[:2], turns[2:]):
                for what, run in pair[:: -1 if index % 2 else 1]:
                    dropped(file)
                    if copy.exists():
                        dropped(copy)
                    times.setdefault(what, []).append(run())
    median = {what: statistics.median(each) for what, each in times.items()}
    for what in ("save", "dd, writing", "load", "dd, reading"):
        seconds = median[what]
        print(f"{what:12} {megabytes / 1024 / seconds:6.2f} GiB/s   {seconds:6.2f} s")
    print(f"save / dd: {median['dd, writing'] / median['save']:.2f} of its speed")
    print(f"load / dd: {median['dd, reading'] / median['load']:.2f} of its speed")
    print(f"memory beyond the state: {(saved - base) / MIB:.0f} MiB to save it")
    print(f"memory beyond a second one: {(loaded - saved) / MIB - megabytes:.0f} MiB to load it")
    print(f"a tensor has {megabytes / (2 * tensors):.0f} MiB")


if __name__ == "__main__":
    typer.run(main)
