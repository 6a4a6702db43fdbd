"""Domains of hyperparameters: bad values accepted, or refused in a bad way (H-1 to H-4)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from adamax_conformance.variants.variant import BASE, Family

FAMILY = Family("domains", "domains of hyperparameters", ("float32",))
"""One dtype is enough, since hyperparameters are checked before any array is read."""


def _taken(hp: Any, **change: Callable[[Any], Any]) -> Any:
    """Replace the given values by valid ones, so that bad values are accepted."""
    return replace(hp, **{name: to(getattr(hp, name)) for name, to in change.items()})


def _sizes(betas: Any) -> Any:
    return tuple(0.5 if beta == 1 else abs(beta) for beta in betas)


@FAMILY.wrong_one("lr-checked-at-init-alone", "H-1")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """PyTorch: a schedule may set an lr that the constructor would have refused."""
    return BASE.step(p, g, s, _taken(hp, lr=abs))


@FAMILY.wrong_one("eps-checked-at-init-alone", "H-2")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """PyTorch: a schedule may set an eps that the constructor would have refused."""
    return BASE.step(p, g, s, _taken(hp, eps=abs))


@FAMILY.wrong_one("betas-checked-at-init-alone", "H-3")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """PyTorch: a schedule may set betas that the constructor would have refused."""
    return BASE.step(p, g, s, _taken(hp, betas=_sizes))


@FAMILY.wrong_one("weight-decay-checked-at-init-alone", "H-4")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """PyTorch: a schedule may set a weight decay that the constructor would have refused."""
    return BASE.step(p, g, s, _taken(hp, weight_decay=abs))


@FAMILY.wrong_one("negative-lr-accepted", "H-1", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Optax: ascends with a negative lr."""
    return BASE.init(p, _taken(hp, lr=abs), **more)


@FAMILY.wrong_one("infinite-lr-accepted", "H-1", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """PyTorch: asks for 0 <= lr, and lets infinity pass."""
    return BASE.init(p, _taken(hp, lr=lambda lr: min(lr, 1.0)), **more)


@FAMILY.wrong_one("nan-lr-accepted", "H-1", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Refuses lr < 0 only, so NaN passes."""
    return BASE.init(p, _taken(hp, lr=_not_nan), **more)


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


@FAMILY.wrong_one("negative-eps-accepted", "H-2", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Does not check the sign of eps."""
    return BASE.init(p, _taken(hp, eps=abs), **more)


@FAMILY.wrong_one("nan-eps-accepted", "H-2", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Refuses eps < 0 only, so NaN passes."""
    return BASE.init(p, _taken(hp, eps=_not_nan), **more)


@FAMILY.wrong_one("beta-of-one-accepted", "H-3", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Accepts b1 = 1, the open end of the domain: the step is then 0 / 0."""
    return BASE.init(
        p, _taken(hp, betas=lambda betas: tuple(0.5 if b == 1 else b for b in betas)), **more
    )


@FAMILY.wrong_one("second-beta-not-checked", "H-3", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Checks the first beta, twice."""
    return BASE.init(p, _taken(hp, betas=lambda betas: (betas[0], 0.5)), **more)


@FAMILY.wrong_one("negative-betas-accepted", "H-3", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Checks only the upper end of the betas."""
    return BASE.init(p, _taken(hp, betas=lambda betas: tuple(map(abs, betas))), **more)


@FAMILY.wrong_one("negative-weight-decay-accepted", "H-4", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Does not check the sign of the weight decay, which then makes parameters grow."""
    return BASE.init(p, _taken(hp, weight_decay=abs), **more)


@FAMILY.wrong_one("infinite-weight-decay-accepted", "H-4", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Lets an infinite weight decay pass."""
    return BASE.init(p, _taken(hp, weight_decay=lambda wd: min(wd, 1.0)), **more)
