"""Domains of hyperparameters: what is let through, and what is refused badly (H-1 to H-4)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from adamax_conformance.variants.variant import BASE, Family

FAMILY = Family("domains", "domains of hyperparameters", ("float32",))
"""Hyperparameters are refused before any array is looked at, so that dtypes play no part."""


def _letting(**change: Callable[[Any], Any]) -> Callable[..., Any]:
    """An `init` that sees other values than it is given, and so lets through what it should not."""

    def init(p: Any, hp: Any, **more: Any) -> Any:
        seen = {name: to(getattr(hp, name)) for name, to in change.items()}
        return BASE.init(p, replace(hp, **seen), **more)

    return init


def _letting_later(**change: Callable[[Any], Any]) -> Callable[..., Any]:
    """A `step` that does the same, where `init` refuses as it should."""

    def step(p: Any, g: Any, s: Any, hp: Any) -> Any:
        seen = {name: to(getattr(hp, name)) for name, to in change.items()}
        return BASE.step(p, g, s, replace(hp, **seen))

    return step


def _sizes(betas: Any) -> Any:
    return tuple(0.5 if beta == 1 else abs(beta) for beta in betas)


@FAMILY.wrong_one("lr-checked-at-init-alone", "H-1")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """PyTorch: a schedule may set an lr that the constructor would have refused."""
    return _letting_later(lr=abs)(p, g, s, hp)


@FAMILY.wrong_one("eps-checked-at-init-alone", "H-2")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The same for eps."""
    return _letting_later(eps=abs)(p, g, s, hp)


@FAMILY.wrong_one("betas-checked-at-init-alone", "H-3")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The same for the betas."""
    return _letting_later(betas=_sizes)(p, g, s, hp)


@FAMILY.wrong_one("weight-decay-checked-at-init-alone", "H-4")
def _(p: Any, g: Any, s: Any, hp: Any) -> Any:
    """The same for the weight decay."""
    return _letting_later(weight_decay=abs)(p, g, s, hp)


@FAMILY.wrong_one("negative-lr-accepted", "H-1", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Optax: ascends with a negative lr."""
    return _letting(lr=abs)(p, hp, **more)


@FAMILY.wrong_one("infinite-lr-accepted", "H-1", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """PyTorch: asks for 0 <= lr, and lets infinity pass."""
    return _letting(lr=lambda lr: min(lr, 1.0))(p, hp, **more)


@FAMILY.wrong_one("nan-lr-accepted", "H-1", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Refuses where lr < 0, which NaN is not."""
    return _letting(lr=_not_nan)(p, hp, **more)


def _not_nan(value: float) -> float:
    return 0.0 if value != value else value  # noqa: PLR0124 - NaN alone differs from itself


@FAMILY.wrong_one("refused-with-a-type-error", "H-1", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Raises TypeError for a bad value."""
    return _refusing(TypeError, "{}", p, hp, **more)


@FAMILY.wrong_one("refused-without-the-value", "H-1", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Says that something is invalid, and not what."""
    return _refusing(ValueError, "invalid hyperparameters", p, hp, **more)


@FAMILY.wrong_one("refused-by-an-assertion", "H-2", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Asserts its domains, which python -O takes away."""
    return _refusing(AssertionError, "{}", p, hp, **more)


def _refusing(kind: type[Exception], text: str, p: Any, hp: Any, **more: Any) -> Any:
    try:
        return BASE.init(p, hp, **more)
    except ValueError as error:
        raise kind(text.format(error)) from error


@FAMILY.wrong_one("negative-eps-accepted", "H-2", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Does not look at the sign of eps."""
    return _letting(eps=abs)(p, hp, **more)


@FAMILY.wrong_one("nan-eps-accepted", "H-2", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Refuses where eps < 0, which NaN is not."""
    return _letting(eps=_not_nan)(p, hp, **more)


@FAMILY.wrong_one("beta-of-one-accepted", "H-3", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Takes the domain of the betas for closed: b1 = 1 then gives 0 / 0."""
    return _letting(betas=lambda betas: tuple(0.5 if b == 1 else b for b in betas))(p, hp, **more)


@FAMILY.wrong_one("second-beta-not-checked", "H-3", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Checks the first beta, twice."""
    return _letting(betas=lambda betas: (betas[0], 0.5))(p, hp, **more)


@FAMILY.wrong_one("negative-betas-accepted", "H-3", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Checks the betas from above alone."""
    return _letting(betas=lambda betas: tuple(map(abs, betas)))(p, hp, **more)


@FAMILY.wrong_one("negative-weight-decay-accepted", "H-4", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Does not look at the sign of the weight decay, which then makes parameters grow."""
    return _letting(weight_decay=abs)(p, hp, **more)


@FAMILY.wrong_one("infinite-weight-decay-accepted", "H-4", "init")
def _(p: Any, hp: Any, **more: Any) -> Any:
    """Lets an infinite weight decay pass."""
    return _letting(weight_decay=lambda wd: min(wd, 1.0))(p, hp, **more)
