"""A guarded backend: what it raises, or returns in a wrong form, becomes an error of the case."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from adamax_conformance.subject.backend import (
    Arrays,
    Backend,
    LostError,
    Moments,
    Steps,
    copied,
    slots,
)
from adamax_conformance.subject.blame import blamed, first_line
from adamax_conformance.subject.memory import copies
from adamax_core import Hyperparameters


class BackendError(Exception):
    """A backend raised, or returned something that violates its protocol.

    Attributes:
        operation: ``init``, ``step``, ``moments``, ``load``, ``vjp`` or ``trajectory``.
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


class Watched:
    """The operations of a backend; each of their faults is raised as a `BackendError`.

    The backend gets copies of the parameters, so that it cannot change those of the judge.

    Attributes:
        backend: the backend itself.
        features: the features that it offers.
        visible: True once it has reported moments.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.features = frozenset(backend.features)
        self.visible = False

    # Each method calls the operation of the same name of `Backend`.

    def init(self, params: Arrays, hp: Hyperparameters, **options: Any) -> Any:  # noqa: D102
        return self._call("init", copies(params), hp, **options)

    def step(
        self, params: Arrays, grads: Arrays, state: Any, hp: Hyperparameters
    ) -> tuple[dict[str, Any], Any]:
        """One step; the parameters returned have the names, shapes and dtypes of those given."""
        result = self._call("step", copies(params), grads, state, hp)
        try:
            if not isinstance(result, tuple | list) or len(result) != 2:  # noqa: PLR2004 - a pair has two
                raise TypeError(  # noqa: TRY301 - malformed
                    f"a step must return (params, state), but returned {type(result).__name__}"
                )
            stepped, state = result
            return _like(params, stepped), state
        except Exception as error:
            raise MalformedError("step", error) from error

    def moments(self, params: Arrays, state: Any) -> dict[str, Moments] | None:
        """Return the moments of the present state, checked and copied; None if not accessible."""
        return self._checked(params, self._call("moments", state))

    @property
    def takes_runs(self) -> bool:
        """Does the backend take a whole run at once (`trajectory`)?"""
        return hasattr(self.backend, "trajectory")

    def trajectory(self, run: Any) -> list[tuple[dict[str, Any], dict[str, Moments] | None]]:
        """Return parameters and moments before the first step of a `Run` and after each."""
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
        return copied(checked)

    def load(  # noqa: D102
        self, params: Arrays, hp: Hyperparameters, saved: Mapping[str, Arrays]
    ) -> Any:
        return self._call("load", copies(params), hp, {k: dict(v) for k, v in saved.items()})

    def vjp(self, wrt: str, steps: Steps) -> Any:  # noqa: D102
        # A backend that changes its arguments must not change the expected result.
        given = steps._replace(
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
                return [{k: np.asarray(s[k], float) for k in steps.params} for s in slopes]
            if wrt in ("params", "exp_avg", "exp_inf"):
                return {key: np.asarray(slopes[key], float) for key in steps.params}
            return np.asarray(slopes, float)
        except Exception as error:
            raise MalformedError("vjp", error) from error

    def _call(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return getattr(self.backend, operation)(*args, **kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise BackendError(operation, error) from error


def _like(params: Arrays, stepped: Arrays) -> dict[str, Any]:
    """Return the new parameters if they have the names, shapes and dtypes of the old."""
    arrays = {name: np.array(stepped[name]) for name in params}
    for name, param in params.items():
        got = arrays[name]
        if (got.shape, got.dtype) != (param.shape, param.dtype):
            raise ValueError(
                f"{name} came back as {got.dtype} {got.shape}, but was {param.dtype} {param.shape}"
            )
    return arrays
