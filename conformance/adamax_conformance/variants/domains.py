"""Domains of hyperparameters: bad values accepted, or refused in a bad way (H-1 to H-4)."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from adamax_conformance.variants.variant import BASE, Family

FAMILY = Family("domains", "domains of hyperparameters", ("float32",))
"""One dtype is enough, since hyperparameters are checked before any array is read."""


def _taken(hp: Any, **change: Callable[[Any], Any]) -> Any:
    """Replace the given values by valid ones, so that bad values are accepted."""
    return replace(hp, **{name: to(getattr(hp, name)) for name, to in change.items()})


def _accepts(variant_id: str, clause: str) -> Callable[[Callable[[Any], Any]], None]:
    """Decorate a function that makes bad hyperparameters valid, before `init` and each step."""

    def register(taken: Callable[[Any], Any]) -> None:
        def init(p: Any, hp: Any, **more: Any) -> Any:
            return BASE.init(p, taken(hp), **more)

        init.__doc__ = taken.__doc__
        FAMILY.wrong_one(variant_id, clause, "init", step=_stepping(taken))(init)

    return register


def _accepts_later(variant_id: str, clause: str) -> Callable[[Callable[[Any], Any]], None]:
    """Decorate a function that makes bad hyperparameters valid, before each step alone."""

    def register(taken: Callable[[Any], Any]) -> None:
        step = _stepping(taken)
        step.__doc__ = taken.__doc__
        FAMILY.wrong_one(variant_id, clause)(step)

    return register


def _stepping(taken: Callable[[Any], Any]) -> Callable[..., Any]:
    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        return BASE.step(p, g, s, taken(hp))

    return step


def _sizes(betas: Any) -> Any:
    return tuple(0.5 if beta == 1 else abs(beta) for beta in betas)


@_accepts_later("lr-checked-at-init-alone", "H-1")
def _(hp: Any) -> Any:
    """PyTorch: a schedule may set an lr that the constructor would have refused."""
    return _taken(hp, lr=abs)


@_accepts_later("eps-checked-at-init-alone", "H-2")
def _(hp: Any) -> Any:
    """PyTorch: a schedule may set an eps that the constructor would have refused."""
    return _taken(hp, eps=abs)


@_accepts_later("betas-checked-at-init-alone", "H-3")
def _(hp: Any) -> Any:
    """PyTorch: a schedule may set betas that the constructor would have refused."""
    return _taken(hp, betas=_sizes)


@_accepts_later("weight-decay-checked-at-init-alone", "H-4")
def _(hp: Any) -> Any:
    """PyTorch: a schedule may set a weight decay that the constructor would have refused."""
    return _taken(hp, weight_decay=abs)


@_accepts("negative-lr-accepted", "H-1")
def _(hp: Any) -> Any:
    """Optax: ascends with a negative lr."""
    return _taken(hp, lr=abs)


@_accepts("infinite-lr-accepted", "H-1")
def _(hp: Any) -> Any:
    """PyTorch: asks for 0 <= lr, and lets infinity pass."""
    return _taken(hp, lr=_finite)


@_accepts("nan-lr-accepted", "H-1")
def _(hp: Any) -> Any:
    """Refuses lr < 0 only, so NaN passes."""
    return _taken(hp, lr=_not_nan)


def _finite(value: float) -> float:
    return 1.0 if value == math.inf else value


def _not_nan(value: float) -> float:
    return 0.0 if value != value else value  # noqa: PLR0124 - NaN alone differs from itself


@FAMILY.wrong_one("refused-with-a-type-error", "H-1", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Raises TypeError for a bad value."""
    return _refusing(TypeError, "{}", p, hp, **more)


@FAMILY.wrong_one("refused-without-the-value", "H-1", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Refuses with a message that names neither argument nor value."""
    return _refusing(ValueError, "invalid hyperparameters", p, hp, **more)


@FAMILY.wrong_one("refused-by-an-assertion", "H-2", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Checks its domains with assert, which python -O removes."""
    return _refusing(AssertionError, "{}", p, hp, **more)


def _refusing(kind: type[Exception], text: str, p: Any, hp: Any, **more: Any) -> Any:
    try:
        return BASE.init(p, hp, **more)
    except ValueError as error:
        raise kind(text.format(error)) from error


@_accepts("negative-eps-accepted", "H-2")
def _(hp: Any) -> Any:
    """Does not check the sign of eps."""
    return _taken(hp, eps=abs)


@_accepts("nan-eps-accepted", "H-2")
def _(hp: Any) -> Any:
    """Refuses eps < 0 only, so NaN passes."""
    return _taken(hp, eps=_not_nan)


@_accepts("beta-of-one-accepted", "H-3")
def _(hp: Any) -> Any:
    """Accepts b1 = 1, the open end of the domain: the step is then 0 / 0."""
    return _taken(hp, betas=lambda betas: tuple(0.5 if b == 1 else b for b in betas))


@_accepts("second-beta-not-checked", "H-3")
def _(hp: Any) -> Any:
    """Checks the first beta, twice."""
    return _taken(hp, betas=lambda betas: (betas[0], betas[1] if 0 <= betas[1] < 1 else 0.5))


@_accepts("negative-betas-accepted", "H-3")
def _(hp: Any) -> Any:
    """Checks only the upper end of the betas."""
    return _taken(hp, betas=lambda betas: tuple(map(abs, betas)))


@_accepts("negative-weight-decay-accepted", "H-4")
def _(hp: Any) -> Any:
    """Does not check the sign of the weight decay, which then makes parameters grow."""
    return _taken(hp, weight_decay=abs)


@_accepts("infinite-weight-decay-accepted", "H-4")
def _(hp: Any) -> Any:
    """Lets an infinite weight decay pass."""
    return _taken(hp, weight_decay=_finite)


@_accepts_later("nan-lr-accepted-between-steps", "H-1")
def _(hp: Any) -> Any:
    """A schedule may set an lr of NaN: each step refuses lr < 0 only."""
    return _taken(hp, lr=_not_nan)


@_accepts_later("infinite-eps-accepted-between-steps", "H-2")
def _(hp: Any) -> Any:
    """A schedule may set an infinite eps."""
    return _taken(hp, eps=lambda eps: min(eps, 1.0))


@_accepts_later("beta1-of-one-accepted-between-steps", "H-3")
def _(hp: Any) -> Any:
    """A schedule may set a b1 of one; b2 is checked."""
    return _taken(hp, betas=lambda b: (0.5 if b[0] == 1 else b[0], b[1]))


@_accepts_later("nan-weight-decay-accepted-between-steps", "H-4")
def _(hp: Any) -> Any:
    """A schedule may set a weight decay of NaN."""
    return _taken(hp, weight_decay=_not_nan)


_TOLERANCE = 1e-12


def _not_barely(value: float) -> float:
    """Return zero for a value within a tolerance below it."""
    return 0.0 if -_TOLERANCE <= value < 0 else value


@_accepts("lr-within-a-tolerance-accepted", "H-1")
def _(hp: Any) -> Any:
    """Takes an lr of -1e-12 for zero, as a comparison with a tolerance does."""
    return _taken(hp, lr=_not_barely)


@_accepts("eps-within-a-tolerance-accepted", "H-2")
def _(hp: Any) -> Any:
    """Takes an eps of -1e-12 for zero."""
    return _taken(hp, eps=_not_barely)


@_accepts("betas-within-a-tolerance-accepted", "H-3")
def _(hp: Any) -> Any:
    """Takes a beta of -1e-12 for zero."""
    return _taken(hp, betas=lambda betas: tuple(map(_not_barely, betas)))


@_accepts("weight-decay-within-a-tolerance-accepted", "H-4")
def _(hp: Any) -> Any:
    """Takes a weight decay of -1e-12 for zero."""
    return _taken(hp, weight_decay=_not_barely)
