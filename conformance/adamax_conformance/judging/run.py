"""Runs and how to judge them, as plain data.

`Run` is a trajectory of steps; `Trial` is a run with the quantities to judge.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from adamax_conformance.bounds.oracle import QUANTITIES
from adamax_conformance.spec.formats import dtype_of
from adamax_conformance.subject.backend import Arrays, Moments, copied
from adamax_conformance.subject.watched import Watched
from adamax_core import Hyperparameters

EVERYTHING = ("step", *QUANTITIES)


@dataclass(frozen=True)
class Run:
    """The data of a trajectory.

    Attributes:
        params: initial parameters by name.
        grads: one dict for each step; a missing key is a missing gradient.
        hp: hyperparameters of all steps, or a sequence, one for each step.
        saved: moments to load before the first step; those of `init` when None.
        state_dtype: requested dtype of the state; the backend's choice when None.
        undecayed: names of parameters that are exempt from weight decay.
    """

    params: Arrays
    grads: Sequence[Arrays]
    hp: Hyperparameters | Sequence[Hyperparameters]
    saved: Mapping[str, Moments] | None = None
    state_dtype: str | None = None
    undecayed: Collection[str] = ()

    def at(self, index: int) -> Hyperparameters:
        """Return the hyperparameters of the step with this index, from zero."""
        return self.hp if isinstance(self.hp, Hyperparameters) else self.hp[index]

    def kept(self) -> "Run":
        """Return the run with copies of the saved moments, which a backend cannot change."""
        return self if self.saved is None else replace(self, saved=copied(self.saved))

    def start(self, backend: Watched) -> Any:
        """Return the backend's state before the first step."""
        if self.saved is not None:
            return backend.load(
                self.params, self.at(0), {k: v._asdict() for k, v in self.saved.items()}
            )
        options: dict[str, Any] = {}
        if self.state_dtype is not None:
            options["state_dtype"] = self.state_dtype
        if self.undecayed:
            options["undecayed"] = tuple(self.undecayed)
        return backend.init(self.params, self.at(0), **options)


@dataclass(frozen=True)
class Trial:
    """A run and how to judge it.

    Attributes:
        run: the run.
        judged: which of ``step``, ``exp_avg``, ``exp_inf`` and ``param`` to compare. If the state
            is not accessible, ``param`` is always compared.
        accurate_correction: judge the bias correction to the last places (N-3).
        only: the steps to judge, from one; all if empty, or if the state is not accessible.
    """

    run: Run
    judged: Collection[str] = EVERYTHING
    accurate_correction: bool = False
    only: Collection[int] = ()


def initial(run: Run) -> dict[str, Moments]:
    """Return the moments before the first step: the saved ones, or zeros (S-1)."""
    if run.saved is not None:
        return dict(run.saved)
    dtype = None if run.state_dtype is None else dtype_of(run.state_dtype)
    zeros = {name: np.zeros_like(param, dtype=dtype) for name, param in run.params.items()}
    return {name: Moments(0, zero, zero) for name, zero in zeros.items()}
