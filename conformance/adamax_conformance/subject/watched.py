"""A guarded backend: what it raises, or returns in a wrong form, becomes an error of the case."""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

import adamax_conformance_supervisor as supervisor
from adamax_conformance.spec.alteration import UNALTERED, Alteration
from adamax_conformance.subject.backend import (
    Arrays,
    Backend,
    LostError,
    Moments,
    Steps,
    copied,
    mixed_up,
    slots,
)
from adamax_conformance.subject.blame import blamed, first_line
from adamax_conformance.subject.limits import Limits
from adamax_conformance.subject.memory import copies
from adamax_core import Hyperparameters


class BackendError(Exception):
    """A backend raised, or returned something that violates its protocol.

    Attributes:
        operation: ``init``, ``step``, ``moments``, ``load``, ``vjp``, ``trajectory`` or
            ``deviations``.
        cause: the exception.
    """

    def __init__(self, operation: str, cause: BaseException) -> None:
        # The judge's own client raises LostError, with a complete sentence as its message.
        lost = isinstance(cause, LostError)
        raised = "" if lost else f"{operation} raised {type(cause).__name__}: "
        super().__init__(f"{raised}{first_line(cause)}{'' if lost else blamed(cause)}")
        self.operation = operation
        self.cause = cause


class MalformedError(BackendError):
    """A backend did not raise, but returned something of a wrong form."""


class _Made(NamedTuple):
    """A state, and the hyperparameters that it was made with."""

    state: Any
    hp: Hyperparameters


class Watched:
    """The operations of a backend; each of their faults is raised as a `BackendError`.

    The backend gets copies of the parameters, so that it cannot change those of the judge, and
    hyperparameters as it holds them. What it declares that it cannot do raises a `NotOfferedError`.
    Its warnings are ignored.

    Attributes:
        backend: the backend itself.
        alteration: what the rule is altered by before the backend is judged by it.
        features: the features that it offers.
        limits: the limits that it declares.
        visible: True once it has reported moments.
        blind: True if its moments are not read.
    """

    def __init__(self, backend: Backend, alteration: Alteration = UNALTERED) -> None:
        self.backend = backend
        self.alteration = alteration
        self.features = frozenset(backend.features)
        self.limits = Limits.of(backend)
        self.visible = False
        self.blind = False

    @property
    def deviations(self) -> dict[str, str]:
        """The reasons of the known deviations, by id."""
        try:
            declared = {**self.backend.deviations}
            if wrong := [
                each for pair in declared.items() for each in pair if type(each) is not str
            ]:
                raise TypeError(f"ids and reasons must be text, but one is {wrong[0]!r:.60}")  # noqa: TRY301 - malformed
        except Exception as error:
            raise BackendError("deviations", error) from error
        return declared

    def unlimited(self) -> "Watched":
        """Return the backend without its limits, to see whether it has them."""
        other = copy.copy(self)
        other.limits = Limits()
        return other

    def blinded(self) -> "Watched":
        """Return the backend without its moments, where these are not valid."""
        other = copy.copy(self)
        other.blind = True
        return other

    def altered(self, alteration: Alteration) -> "Watched":
        """Return the backend, to be judged by the rule with this alteration."""
        other = copy.copy(self)
        other.alteration = alteration
        return other

    # Each method calls the operation of the same name of `Backend`.

    def init(self, params: Arrays, hp: Hyperparameters, **options: Any) -> Any:  # noqa: D102
        self.limits.require(hp)
        state = self._call("init", copies(params), self.limits.held(hp), **options)
        return _Made(state, hp)

    def step(
        self, params: Arrays, grads: Arrays, state: Any, hp: Hyperparameters
    ) -> tuple[dict[str, Any], Any]:
        """One step; the parameters returned have the names, shapes and dtypes of those given."""
        state, made_with = state
        self.limits.require(hp, made_with)
        self.limits.require_gradients(params, grads)
        result = self._call("step", copies(params), grads, state, self.limits.held(hp))
        try:
            if not isinstance(result, tuple | list) or len(result) != 2:  # noqa: PLR2004 - a pair has two
                raise TypeError(  # noqa: TRY301 - malformed
                    f"a step must return (params, state), but returned {type(result).__name__}"
                )
            stepped, state = result
            return _like(params, stepped), _Made(state, made_with)
        except Exception as error:
            raise MalformedError("step", error) from error

    def moments(self, params: Arrays, state: Any) -> dict[str, Moments] | None:
        """Return the moments of the present state, checked and copied; None if not accessible."""
        return None if self.blind else self._checked(params, self._call("moments", state.state))

    @property
    def takes_runs(self) -> bool:
        """Does the backend take a whole run at once (`trajectory`)?"""
        return hasattr(self.backend, "trajectory")

    def trajectory(self, run: Any) -> list[tuple[dict[str, Any], dict[str, Moments] | None]]:
        """Return parameters and moments before the first step of a `Run` and after each."""
        for index, grads in enumerate(run.grads):
            self.limits.require(run.at(index), run.at(0))
            self.limits.require_gradients(run.params, grads)
        if not self.limits.exact:
            steps = range(max(len(run.grads), 1))
            run = replace(run, hp=[self.limits.held(run.at(index)) for index in steps])
        reported = self._call("trajectory", run)
        shown = []
        for params, moments in reported:
            try:
                stepped = _like(run.params, params)
            except Exception as error:
                raise MalformedError("trajectory", error) from error
            shown.append((stepped, self._checked(run.params, moments)))
        return shown

    def _checked(self, params: Arrays, reported: Any) -> dict[str, Moments] | None:
        try:
            checked = slots(params, reported)
        except Exception as error:
            raise MalformedError("moments", error) from error
        self.visible |= checked is not None
        if checked is None:
            if self.visible:
                raise MalformedError("moments", ValueError("returned None after reporting moments"))
            return None
        return {
            name: slot._replace(exp_inf=self.alteration.norms(slot.exp_inf))
            for name, slot in copied(checked).items()
        }

    def load(  # noqa: D102
        self, params: Arrays, hp: Hyperparameters, saved: Mapping[str, Arrays]
    ) -> Any:
        self.limits.require(hp)
        slots_ = {k: dict(v) for k, v in saved.items()}
        return _Made(self._call("load", copies(params), self.limits.held(hp), slots_), hp)

    def vjp(self, wrt: str, steps: Steps) -> Any:  # noqa: D102
        self.limits.require(steps.hp)
        # A backend that changes its arguments must not change the expected result.
        given = steps._replace(
            hp=self.limits.held(steps.hp),
            params=copies(steps.params),
            grads=[copies(each) for each in steps.grads],
            saved=copied(steps.saved),
            cotangents=copies(steps.cotangents),
        )
        slopes = self._call("vjp", wrt, given)
        try:
            if wrt == "grads":
                if len(slopes) != len(steps.grads):
                    raise ValueError(f"{len(slopes)} slopes for {len(steps.grads)} steps")  # noqa: TRY301 - malformed
                return [_slopes(steps.params, each) for each in slopes]
            if wrt in ("params", "exp_avg", "exp_inf"):
                return _slopes(steps.params, slopes)
            return np.asarray(slopes, float)
        except Exception as error:
            raise MalformedError("vjp", error) from error

    def _call(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        supervisor.begin(operation)
        try:
            # The verdict must not depend on whether the program makes errors of warnings.
            with warnings.catch_warnings(action="ignore"):
                return getattr(self.backend, operation)(*args, **kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise BackendError(operation, error) from error
        finally:
            supervisor.end()


def _slopes(params: Arrays, slopes: Any) -> dict[str, Any]:
    """Return the derivatives in float64, or complex128 for a complex parameter."""
    return {
        name: np.asarray(slopes[name], complex if param.dtype.kind == "c" else float)
        for name, param in params.items()
    }


def _like(params: Arrays, stepped: Arrays) -> dict[str, Any]:
    """Return the new parameters if they have the names, shapes and dtypes of the old."""
    arrays = {name: np.array(stepped[name]) for name in params}
    for name, param in params.items():
        got = arrays[name]
        if (got.shape, got.dtype) != (param.shape, param.dtype):
            raise ValueError(
                f"{name} came back as {got.dtype} {got.shape}, but was {param.dtype} {param.shape}"
                f"{mixed_up(params, arrays)}"
            )
    return arrays
