"""Files that reproduce a failing run: write, read, explain in numbers, and judge again.

``fuzz`` writes such files, ``replay`` judges them. `adamax_conformance.exchange.wire` encodes the
run; the schema is ``repro.schema.json``.
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from adamax_conformance.bounds.oracle import pairs
from adamax_conformance.exchange.schemas import require
from adamax_conformance.exchange.wire import (
    decode_divergence,
    decode_trial,
    encode_divergence,
    encode_trial,
)
from adamax_conformance.judging.finding import Divergence, Violation, in_bounds
from adamax_conformance.judging.judge import judge
from adamax_conformance.judging.run import Run, Trial
from adamax_conformance.registry import FRAMEWORKS
from adamax_conformance.reports.failure import folded
from adamax_conformance.subject.backend import Arrays
from adamax_conformance.subject.memory import layout_of
from adamax_conformance.subject.printable import printable
from adamax_conformance.subject.watched import BackendError, Watched
from adamax_core import Hyperparameters

VERSION = 1
_FEW = 8
_PACKAGES = ("adamax-spec", "hypothesis", "numpy", *FRAMEWORKS)


class ReproError(ValueError):
    """The file does not have this format; the message says what does not fit, and where."""


@dataclass(frozen=True)
class Failure:
    """The fault of a run.

    Attributes:
        message: the fault in a sentence.
        divergence: the first wrong value; None if the fault is not a wrong value.
    """

    message: str
    divergence: Divergence | None = None


@dataclass(frozen=True)
class Repro:
    """A run that fails on a backend.

    Attributes:
        backend: name of the backend, as on the command line.
        trial: the run, and how to judge it.
        failure: the fault.
        command: the command that found it.
        versions: versions of Python and of the packages involved.
    """

    backend: str
    trial: Trial
    failure: Failure
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def failure_of(backend: Watched, trial: Trial) -> Failure | None:
    """Judge a run; return its fault, or None. Changing the arrays of a loaded state is one too.

    >>> from adamax_conformance.registry import find
    >>> run = Run({"w": np.zeros(2)}, [{"w": np.ones(2)}], Hyperparameters())
    >>> failure_of(Watched(find("numpy")), Trial(run))
    """
    before = _bits(trial.run)
    try:
        # The judge computes with infinities on purpose.
        with np.errstate(all="ignore"):
            judge(backend, trial)
    except Violation as violation:
        return Failure(str(violation), violation.divergence)
    except BackendError as error:
        return Failure(str(error))
    if _bits(trial.run) != before:
        return Failure("the steps after a load changed the loaded arrays (S-4)")
    return None


def _bits(run: Run) -> list[bytes]:
    return [part.tobytes() for slot in (run.saved or {}).values() for part in slot[1:]]


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages involved, if imported."""
    found = {"python": sys.version.partition(" ")[0]}
    for package in _PACKAGES:
        if package not in FRAMEWORKS or package in sys.modules:
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                continue
    return found


def save(repro: Repro, path: Path) -> None:
    """Write the file.

    Raises:
        OSError: it cannot be written.
    """
    document = {
        "version": VERSION,
        "backend": repro.backend,
        "trial": encode_trial(repro.trial),
        "found": {
            "message": repro.failure.message,
            "divergence": encode_divergence(repro.failure.divergence),
        },
        "command": repro.command,
        "versions": dict(repro.versions),
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> Repro:
    """Read the file.

    Raises:
        ReproError: it is not JSON, not of the schema, or its arrays do not fit.
        OSError: it cannot be read.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        require("repro", document)
        trial = decode_trial(document["trial"])
    except ValueError as error:
        raise ReproError(f"{path}: {error}") from error
    found = document["found"]
    return Repro(
        document["backend"],
        trial,
        Failure(found["message"], decode_divergence(found["divergence"])),
        document["command"],
        document["versions"],
    )


def explained(trial: Trial, failure: Failure) -> Iterator[str]:
    """Yield lines that explain a failure: the fault, then the numbers of the run, also exactly."""
    found = failure.divergence
    if found is None:
        yield printable(failure.message)
    else:
        yield printable(found.where)
        bits = f" ({found.bits})" if found.bits else ""
        yield f"  got       {printable(found.got)}{bits}"
        yield f"  allowed   {printable(found.allowed)}"
        if found.exact:
            yield f"  exactly   {found.exact}"
        yield f"  distance  {in_bounds(found.distance)}"
    run = trial.run
    yield "params"
    yield from _arrays(run.params)
    for name, slot in (run.saved or {}).items():
        yield f"loaded state of {printable(name)}, step {slot.step}"
        yield from _arrays({"exp_avg": slot.exp_avg, "exp_inf": slot.exp_inf})
    if run.state_dtype is not None:
        yield f"state in {run.state_dtype}"
    if run.undecayed:
        yield f"without decay: {', '.join(map(printable, run.undecayed))}"
    before: tuple[str, ...] = ()
    for which, (hyperparameters, grads) in folded(
        (tuple(_hyperparameters(run.at(index))), tuple(_gradients(run, grads)))
        for index, grads in enumerate(run.grads)
    ):
        if hyperparameters != before:
            yield from hyperparameters
            before = hyperparameters
        yield f"{which}, grads"
        yield from grads


def _gradients(run: Run, grads: Arrays) -> Iterator[str]:
    yield from _arrays(grads)
    if missing := ", ".join(printable(name) for name in run.params if name not in grads):
        yield f"  none for {missing}"


def _hyperparameters(hp: Hyperparameters) -> Iterator[str]:
    beta1, beta2 = hp.betas
    numbers = {"lr": hp.lr, "beta1": beta1, "beta2": beta2, "eps": hp.eps}
    numbers["weight_decay"] = hp.weight_decay
    modes = [mode for mode in ("maximize", "decoupled_weight_decay") if getattr(hp, mode)]
    yield "hyperparameters" + "".join(f", {mode}" for mode in modes)
    for name, number in numbers.items():
        yield f"  {name:<12} {_number(number)}"


def _arrays(arrays: Arrays) -> Iterator[str]:
    for name, array in arrays.items():
        reals = np.ravel(pairs(array)).astype(np.float64)
        shape, layout = array.shape, layout_of(array)
        laid = "" if layout == "C" else f", {layout}"
        yield f"  {printable(name)}: {array.dtype.name} {shape}{laid}"
        yield from (f"    {_number(real)}" for real in reals[:_FEW])
        if reals.size > _FEW:
            yield f"    and {reals.size - _FEW} more"


def _number(number: Any) -> str:
    """Format a number in decimal digits that round-trip, and exactly in hexadecimal."""
    number = float(number)
    return f"{number!r} = {number.hex()}" if math.isfinite(number) else f"{number!r}"
