"""`Backend`, the protocol that the judge calls, and `FunctionalBackend`, which wraps functions.

Arrays are passed as NumPy arrays (bfloat16 is that of ml_dtypes), in dicts by parameter name.
"""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from adamax_conformance.spec.formats import DTYPES
from adamax_core import Hyperparameters

Arrays = Mapping[str, Any]
"""``{parameter name: NumPy array}``."""


class Moments(NamedTuple):
    """The state of one parameter, as a backend reports or loads it.

    Attributes:
        step: number of steps that the parameter has taken.
        exp_avg: first moment, shape of the parameter.
        exp_inf: infinity norm, shape of the parameter.
    """

    step: int
    exp_avg: Any
    exp_inf: Any


def copied(moments: Mapping[str, Moments]) -> dict[str, Moments]:
    """Return copies of the moments."""
    return {
        name: Moments(slot.step, slot.exp_avg.copy(), slot.exp_inf.copy())
        for name, slot in moments.items()
    }


class Steps(NamedTuple):
    """Steps to differentiate through, by a vector-Jacobian product.

    Attributes:
        params: parameters before the first step.
        grads: one dict for each step; no gradient is missing.
        saved: moments before the first step.
        hp: hyperparameters of all the steps.
        cotangents: weight of each element of the final parameters.
    """

    params: Arrays
    grads: Sequence[Arrays]
    saved: Mapping[str, Moments]
    hp: Hyperparameters
    cotangents: Arrays


@dataclass(frozen=True)
class SparseGradient:
    """A gradient in coordinate form, which a backend must refuse (S-10).

    Attributes:
        indices: int64 array ``(nonzeros,)`` into the first axis.
        values: array ``(nonzeros, ...)``.
        shape: shape of the dense gradient.
    """

    indices: Any
    values: Any
    shape: tuple[int, ...]


FEATURES: Mapping[str, str] = {
    "maximize": "`hp.maximize` is honoured (A-1)",
    "weight_decay": "coupled weight decay is honoured (A-2)",
    "decoupled_weight_decay": "`hp.decoupled_weight_decay` is honoured (A-8)",
    "undecayed": "`init` takes `undecayed`, names of parameters without weight decay (A-10)",
    "state_dtype": "`init` takes `state_dtype`, the name of a dtype (S-6)",
    "load": "`load` builds a state from saved moments, or refuses (S-7, S-8)",
    "sparse": "`step` turns a `SparseGradient` into the framework's own (S-10)",
    "vjp": "`vjp` differentiates the parameters after some steps (D-1 to D-4)",
}
"""Features that a backend may offer beyond `init`, `step` and `moments`, and their meaning.

Cases of a feature that a backend does not offer are unsupported.
"""

LIMITS: Mapping[str, str] = {
    "no_missing_gradients": "a parameter without a gradient",
    "fixed_hyperparameters": "hyperparameters that change after `init`",
    "positive_lr": "an lr of zero",
    "positive_eps": "an eps of zero",
    "fitting_gradients": "a gradient that does not fit its parameter",
}
"""Limits that a backend may declare, each with what the judge then does not ask for.

A case that needs it is not offered, and the clause need not run. If it passes all the same, the
declaration is false, which is a failure.
"""

HYPERPARAMETER_DTYPES = ("float32", "float64")
"""Formats that a backend may hold hyperparameters in; it is judged by the rounded values."""

WRT = ("params", "grads", "exp_avg", "exp_inf", "lr", "beta1", "beta2", "eps", "weight_decay")
"""The inputs that `Backend.vjp` may be asked to differentiate with respect to."""


class LostError(Exception):
    """A backend failed without refusing: its process crashed, hung, or sent no valid answer.

    A clause that asks for a refusal is not fulfilled by this error.
    """


class Backend(Protocol):
    """An implementation under judgement.

    A backend that takes a whole run at once, instead of one step at a time, also has a method
    ``trajectory(run)``: parameters and moments before the first step and after each. One that
    cannot do all that the specification asks for also has the attributes ``limits``, names of
    `LIMITS`, or ``hyperparameter_dtype``, one of `HYPERPARAMETER_DTYPES`. For reports, one may have
    ``language``, that its rule is written in, ``packages``, versions by name, and ``default_eps``,
    the eps where its user names none.

    Attributes:
        name: its name in reports.
        dtypes: names of the parameter dtypes that it takes (`adamax_conformance.DTYPES`).
        features: the features of `FEATURES` that it offers.
        deviations: clauses, cases or ``case[dtype]`` that are known to fail, with the reason. A
            known deviation that passes is a failure.
    """

    # Properties, so that frozen classes may implement the protocol; their meaning is above.
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def dtypes(self) -> Collection[str]: ...  # noqa: D102
    @property
    def features(self) -> Collection[str]: ...  # noqa: D102
    @property
    def deviations(self) -> Mapping[str, str]: ...  # noqa: D102

    def init(self, params: Arrays, hp: Hyperparameters, **options: Any) -> Any:
        """Return the state before the first step. The judge also passes invalid `hp`: refuse it."""
        ...

    def step(
        self, params: Arrays, grads: Arrays, state: Any, hp: Hyperparameters
    ) -> tuple[Arrays, Any]:
        """Return new parameters and state; a missing gradient is a missing key."""
        ...

    def moments(self, state: Any) -> Mapping[str, Moments] | None:
        """Return the moments of each parameter; None if the state is not accessible."""
        ...

    def load(self, params: Arrays, hp: Hyperparameters, saved: Mapping[str, Arrays]) -> Any:
        """Build the state from ``{parameter: {"step": ..., "exp_avg": ..., ...}}``."""
        ...

    def vjp(self, wrt: str, steps: Steps) -> Any:
        """Return the derivative of ``sum(cotangents * parameters after the steps)``.

        With respect to one of `WRT`: a dict of arrays for ``params``, ``exp_avg`` and ``exp_inf``,
        a list of such dicts, one for each step, for ``grads``, a number for a hyperparameter.
        Complex numbers are pairs of reals: real parts are weighted with real parts, imaginary parts
        with imaginary ones, and the derivative is a pair again (PyTorch's convention; JAX's is the
        conjugate).
        """
        ...


def _absent(what: str) -> Callable[..., Any]:
    def call(*_args: Any, **_kwargs: Any) -> Any:
        raise LookupError(f"this backend was created without `{what}`")

    return call


_ABSENT = {name: _absent(name) for name in ("load", "vjp")}


@dataclass(frozen=True)
class FunctionalBackend:
    """A backend made of functions; `Backend` describes their arguments and results.

    ``init(params, hp) -> state`` and ``step(params, grads, state, hp) -> (params, state)`` are
    required. With ``moments(state) -> {name: (step, exp_avg, exp_inf)}`` the judge can say which
    line of the rule is wrong; without it, only that some line is.

    >>> import adamax_core
    >>> def init(params, hp):
    ...     hp.validate()
    ...     return adamax_core.init(dict(params))
    >>> mine = FunctionalBackend(
    ...     "mine",
    ...     init=init,
    ...     step=lambda p, g, s, hp: adamax_core.step(p, {k: g.get(k) for k in p}, s, hp),
    ...     moments=lambda s: {k: (s.step[k], s.exp_avg[k], s.exp_inf[k]) for k in s.step},
    ... )
    >>> sorted(mine.features)
    []
    """

    name: str
    init: Callable[..., Any] = field(kw_only=True)
    step: Callable[..., tuple[Arrays, Any]] = field(kw_only=True)
    moments: Callable[[Any], Mapping[str, Any] | None] = field(
        kw_only=True, default=lambda _state: None
    )
    dtypes: Collection[str] = field(kw_only=True, default=("float32",))
    features: Collection[str] = field(kw_only=True, default=())
    limits: Collection[str] = field(kw_only=True, default=())
    hyperparameter_dtype: str = field(kw_only=True, default="float64")
    language: str = field(kw_only=True, default="")
    packages: Mapping[str, str] = field(kw_only=True, default_factory=dict)
    default_eps: float | None = field(kw_only=True, default=None)
    deviations: Mapping[str, str] = field(kw_only=True, default_factory=dict)
    load: Callable[..., Any] = field(kw_only=True, default=_ABSENT["load"])
    vjp: Callable[..., Any] = field(kw_only=True, default=_ABSENT["vjp"])

    def __post_init__(self) -> None:
        for what, given, known in (
            ("features", self.features, sorted(FEATURES)),
            ("limits", self.limits, sorted(LIMITS)),
            ("dtypes", self.dtypes, list(DTYPES)),
            ("hyperparameter_dtype", [self.hyperparameter_dtype], list(HYPERPARAMETER_DTYPES)),
        ):
            if unknown := sorted(set(given) - set(known)):
                raise ValueError(f"unknown {what} {unknown}: choose among {known}")
        for name, absent in _ABSENT.items():
            if name in self.features and getattr(self, name) is absent:
                raise ValueError(f"the feature {name} needs the function {name}: pass {name}=...")


def unvalidated(hp: Hyperparameters, **changes: Any) -> Hyperparameters:
    """Return hyperparameters with unchecked changes, to test that a backend checks them."""
    unchecked = copy.copy(hp)
    for name, value in changes.items():
        object.__setattr__(unchecked, name, value)
    return unchecked


FARTHEST = 2**63
"""A count of steps must be below this."""


def mixed_up(params: Arrays, given: Arrays) -> str:
    """Return " (the names of ... are mixed up)" if shapes are those of other parameters, else "".

    >>> one, two = np.zeros(3), np.zeros((2, 2))
    >>> mixed_up({"w": one, "b": two}, {"w": two, "b": one})
    ' (the names of w, b are mixed up: each has the shape of another)'
    """
    wrong = [name for name, param in params.items() if given[name].shape != param.shape]
    shapes = (sorted(arrays[name].shape for name in wrong) for arrays in (params, given))
    if len(wrong) > 1 and next(shapes) == next(shapes):
        return f" (the names of {', '.join(wrong)} are mixed up: each has the shape of another)"
    return ""


def slots(params: Arrays, moments: Mapping[str, Any] | None) -> Mapping[str, Moments] | None:
    """Return the reported moments, checked: a triple for each parameter, of its shape and kind.

    Raises:
        ValueError: a name, count, shape or dtype does not fit; the message names the parameter.
    """
    if moments is None:
        return None
    if set(moments) != set(params):
        raise ValueError(
            f"moments has the keys {sorted(moments)}, the parameters have {sorted(params)}"
        )
    checked = {}
    for name, slot in moments.items():
        if not isinstance(slot, tuple | list) or len(slot) != len(Moments._fields):
            raise ValueError(
                f"{name}: moments must be (step, exp_avg, exp_inf), but is {slot!r:.60}"
            )
        step, exp_avg, exp_inf = slot
        if int(step) != step:
            raise ValueError(f"{name}: step {step!r} is not a whole number")
        if abs(step) >= FARTHEST:
            raise ValueError(f"{name}: step {step:.3g} must be below 2**63")
        checked[name] = Moments(int(step), np.asarray(exp_avg), np.asarray(exp_inf))
        param = params[name]
        for field_ in ("exp_avg", "exp_inf"):
            array = getattr(checked[name], field_)
            if array.shape != param.shape:
                at = Moments._fields.index(field_)
                given = {key: np.asarray(each[at]) for key, each in moments.items()}
                raise ValueError(
                    f"{name}: {field_} has shape {array.shape}, the parameter {param.shape}"
                    f"{mixed_up(params, given)}"
                )
            # A complex parameter has complex moments; A-9 defines them.
            if array.dtype.name not in DTYPES or (array.dtype.kind == "c") != (
                param.dtype.kind == "c"
            ):
                raise ValueError(
                    f"{name}: {field_} has dtype {array.dtype}, the parameter {param.dtype}"
                )
    return checked
