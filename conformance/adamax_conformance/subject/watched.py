"""A backend behind glass: what it raises and what it returns wrong become errors of the case."""

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
from adamax_conformance.subject.blame import blamed, said
from adamax_conformance.subject.memory import copies
from adamax_core import Hyperparameters


class BackendError(Exception):
    """A backend raised, or returned something that is not what its protocol says.

    Attributes:
        operation: ``init``, ``step``, ``moments``, ``load`` or ``vjp``.
        cause: what it raised.
    """

    def __init__(self, operation: str, cause: BaseException) -> None:
        # One that was lost raised nothing itself, and its message is a sentence.
        lost = isinstance(cause, LostError)
        raised = "" if lost else f"{operation} raised {type(cause).__name__}: "
        super().__init__(f"{raised}{said(cause)}{'' if lost else blamed(cause)}")
        self.operation = operation
        self.cause = cause


class MalformedError(BackendError):
    """A backend did not raise, but what it returned is not of the form that it has to be."""


class Watched:
    """The same operations as the backend; every fault of theirs is a `BackendError`.

    Parameters are copied on the way in, so that nothing a backend does to them reaches the judge.

    Attributes:
        backend: what is watched.
        features: what it offers.
        visible: whether it has shown its state so far.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.features = frozenset(backend.features)
        self.visible = False

    # Each is the operation of the same name of `Backend`.

    def init(self, params: Arrays, hp: Hyperparameters, **options: Any) -> Any:  # noqa: D102
        return self._call("init", copies(params), hp, **options)

    def step(
        self, params: Arrays, grads: Arrays, state: Any, hp: Hyperparameters
    ) -> tuple[dict[str, Any], Any]:
        """One step; the parameters returned have the names, shapes and dtypes of those given."""
        result = self._call("step", copies(params), grads, state, hp)
        try:
            if not isinstance(result, tuple | list) or len(result) != 2:  # noqa: PLR2004 - a pair has two
                raise TypeError(  # noqa: TRY301 - out of form
                    f"a step gives (params, state), and gave {type(result).__name__}"
                )
            stepped, state = result
            return _like(params, stepped), state
        except Exception as error:
            raise MalformedError("step", error) from error

    def moments(self, params: Arrays, state: Any) -> dict[str, Moments] | None:
        """The state as it is now, checked and copied, or None where it cannot be seen."""
        return self._checked(params, self._call("moments", state))

    @property
    def takes_runs(self) -> bool:
        """Whether the backend is told a whole run at once (`trajectory`)."""
        return hasattr(self.backend, "trajectory")

    def trajectory(self, run: Any) -> list[tuple[dict[str, Any], dict[str, Moments] | None]]:
        """Parameters and moments before the first step of a `Run` and after each, checked."""
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
                raise MalformedError("moments", ValueError("shown before, and now None"))
            return None
        return copied(checked)

    def load(  # noqa: D102
        self, params: Arrays, hp: Hyperparameters, saved: Mapping[str, Arrays]
    ) -> Any:
        return self._call("load", copies(params), hp, {k: dict(v) for k, v in saved.items()})

    def vjp(self, wrt: str, steps: Steps) -> Any:  # noqa: D102
        # What it does to its arguments must not become what is expected of it.
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
                    raise ValueError(f"{len(slopes)} slopes for {len(steps.grads)} steps")  # noqa: TRY301 - out of form
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
    """New parameters, if they have the names, shapes and dtypes of the old."""
    arrays = {name: np.array(stepped[name]) for name in params}
    for name, param in params.items():
        got = arrays[name]
        if (got.shape, got.dtype) != (param.shape, param.dtype):
            raise ValueError(
                f"{name} came back as {got.dtype} {got.shape}, was {param.dtype} {param.shape}"
            )
    return arrays
