"""What the judge needs of a backend, and the class that ten lines of glue fill in.

Arrays cross this border as NumPy arrays (bfloat16 is that of ml_dtypes), in dicts by name.
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
    """The state of one parameter, as a backend reports it or is asked to load it.

    Attributes:
        step: how many steps the parameter has taken.
        exp_avg: first moment, shape of the parameter.
        exp_inf: infinity norm, shape of the parameter.
    """

    step: int
    exp_avg: Any
    exp_inf: Any


def copied(moments: Mapping[str, Moments]) -> dict[str, Moments]:
    """The same moments in memory of their own."""
    return {
        name: Moments(slot.step, slot.exp_avg.copy(), slot.exp_inf.copy())
        for name, slot in moments.items()
    }


class Steps(NamedTuple):
    """Some steps to differentiate through, by a vector-Jacobian product.

    Attributes:
        params: parameters before the first step.
        grads: one dict a step, complete.
        saved: moments before the first step.
        hp: hyperparameters of all the steps.
        cotangents: what weighs each element of the last parameters.
    """

    params: Arrays
    grads: Sequence[Arrays]
    saved: Mapping[str, Moments]
    hp: Hyperparameters
    cotangents: Arrays


@dataclass(frozen=True)
class SparseGradient:
    """A gradient in coordinate form, which S-10 says is refused.

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
"""What a backend may offer beyond `init`, `step` and `moments`; the rest is unsupported."""

WRT = ("params", "grads", "exp_avg", "exp_inf", "lr", "beta1", "beta2", "eps", "weight_decay")
"""What `Backend.vjp` can be asked to differentiate with respect to."""


class LostError(Exception):
    """A backend raises this where it has refused nothing: it was lost on the way.

    Its process crashed or hung, or what came of it is no answer. A clause that asks for a refusal
    is not fulfilled by it.
    """


class Backend(Protocol):
    """An implementation under judgement.

    One that is told a whole run at once, and not a step at a time, has a method ``trajectory(run)``
    as well, which gives what `adamax_conformance.judging.judge.follow` gives.

    Attributes:
        name: how reports call it.
        dtypes: names of the dtypes of parameters that it takes (`adamax_conformance.DTYPES`).
        features: those of `FEATURES` that it offers.
        deviations: clauses, cases or ``case[dtype]`` that are known to fail, with the reason. A
            known deviation that does not show is a failure.
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
        """The state before the first step. `hp` may be out of its domain, to see it refused."""
        ...

    def step(
        self, params: Arrays, grads: Arrays, state: Any, hp: Hyperparameters
    ) -> tuple[Arrays, Any]:
        """New parameters and state; a missing gradient is a missing key."""
        ...

    def moments(self, state: Any) -> Mapping[str, Moments] | None:
        """What the state holds, a parameter each; None when it cannot be seen."""
        ...

    def load(self, params: Arrays, hp: Hyperparameters, saved: Mapping[str, Arrays]) -> Any:
        """The state that ``{parameter: {"step": ..., "exp_avg": ..., ...}}`` describes."""
        ...

    def vjp(self, wrt: str, steps: Steps) -> Any:
        """The derivative of ``sum(cotangents * parameters after the steps)``.

        With respect to one of `WRT`: a dict of arrays for ``params``, ``exp_avg`` and ``exp_inf``,
        a list of them, a step each, for ``grads``, a number for a hyperparameter.
        """
        ...


def _absent(what: str) -> Callable[..., Any]:
    def call(*_args: Any, **_kwargs: Any) -> Any:
        raise LookupError(f"this backend was made without `{what}`")

    return call


_ABSENT = {name: _absent(name) for name in ("load", "vjp")}


@dataclass(frozen=True)
class FunctionalBackend:
    """A backend made of functions; see `Backend` for what each takes and gives.

    ``init(params, hp) -> state`` and ``step(params, grads, state, hp) -> (params, state)`` are
    enough; with ``moments(state) -> {name: (step, exp_avg, exp_inf)}`` the judge sees which line of
    the rule is wrong, without it only that one is.

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
    deviations: Mapping[str, str] = field(kw_only=True, default_factory=dict)
    load: Callable[..., Any] = field(kw_only=True, default=_ABSENT["load"])
    vjp: Callable[..., Any] = field(kw_only=True, default=_ABSENT["vjp"])

    def __post_init__(self) -> None:
        unknown = sorted(set(self.features) - set(FEATURES))
        if unknown:
            raise ValueError(f"unknown features {unknown}: choose among {sorted(FEATURES)}")
        if unknown := sorted(set(self.dtypes) - set(DTYPES)):
            raise ValueError(f"unknown dtypes {unknown}: choose among {list(DTYPES)}")
        for name, absent in _ABSENT.items():
            if name in self.features and getattr(self, name) is absent:
                raise ValueError(
                    f"the feature {name} needs the function {name}, which is not given"
                )


def unvalidated(hp: Hyperparameters, **changes: Any) -> Hyperparameters:
    """Hyperparameters that were never checked, to see whether a backend checks them."""
    unchecked = copy.copy(hp)
    for name, value in changes.items():
        object.__setattr__(unchecked, name, value)
    return unchecked


FARTHEST = 2**63
"""No count of steps gets there."""


def slots(params: Arrays, moments: Mapping[str, Any] | None) -> Mapping[str, Moments] | None:
    """The reported moments, checked: one for each parameter, of its shape, steps whole numbers.

    Raises:
        ValueError: names the parameter and what does not fit.
    """
    if moments is None:
        return None
    if set(moments) != set(params):
        raise ValueError(f"moments of {sorted(moments)} for parameters {sorted(params)}")
    checked = {}
    for name, slot in moments.items():
        if not isinstance(slot, tuple | list) or len(slot) != len(Moments._fields):
            raise ValueError(
                f"{name}: moments gives (step, exp_avg, exp_inf), and gave {slot!r:.60}"
            )
        step, exp_avg, exp_inf = slot
        if int(step) != step:
            raise ValueError(f"{name}: step {step!r} is not a whole number")
        if abs(step) >= FARTHEST:
            raise ValueError(f"{name}: step {step:.3g} is beyond what can be counted to")
        checked[name] = Moments(int(step), np.asarray(exp_avg), np.asarray(exp_inf))
        param = params[name]
        for field_ in ("exp_avg", "exp_inf"):
            array = getattr(checked[name], field_)
            if array.shape != param.shape:
                raise ValueError(
                    f"{name}: {field_} has shape {array.shape}, the parameter {param.shape}"
                )
            # A complex parameter has complex moments, pairs of reals or not: A-9 says which.
            if array.dtype.name not in DTYPES or (array.dtype.kind == "c") != (
                param.dtype.kind == "c"
            ):
                raise ValueError(
                    f"{name}: {field_} has dtype {array.dtype}, the parameter {param.dtype}"
                )
    return checked
