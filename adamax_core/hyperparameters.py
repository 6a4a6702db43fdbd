"""The numbers that a user sets, and the one place where their domains are checked (H-1 to H-4)."""

import math
from dataclasses import KW_ONLY, dataclass
from typing import Any


def require(name: str, value: Any, *, below: float = math.inf) -> None:
    """Raise unless ``0 <= value < below``; NaN is never inside.

    Raises:
        ValueError: names the hyperparameter, its value and its domain.
        TypeError: the value cannot be compared with a number.

    >>> require("beta1", 1.0, below=1)
    Traceback (most recent call last):
    ValueError: beta1 = 1.0 is outside its domain 0 <= beta1 < 1
    """
    if getattr(value, "ndim", 0):
        raise TypeError(f"{name} = {value!r} is not a number")
    try:
        inside = bool(0 <= value < below)
    except TypeError as error:
        raise TypeError(f"{name} = {value!r} is not a number") from error
    if not inside:
        raise ValueError(f"{name} = {value!r} is outside its domain 0 <= {name} < {below}")


def require_all(lr: Any, betas: Any, eps: Any, weight_decay: Any) -> None:
    """Raise unless every hyperparameter is inside its domain (see `require`).

    Raises:
        ValueError: a value is outside its domain, or `betas` is not a pair.
        TypeError: a value is not a number.

    >>> require_all(lr=2e-3, betas=(0.9, 0.999), eps=0.0, weight_decay=float("nan"))
    Traceback (most recent call last):
    ValueError: weight_decay = nan is outside its domain 0 <= weight_decay < inf
    """
    require("lr", lr)
    require("eps", eps)
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:  # noqa: PLR2004 - a pair has two
        raise ValueError(f"betas = {betas!r} is not a pair (beta1, beta2)")
    for name, beta in zip(("beta1", "beta2"), betas, strict=True):
        require(name, beta, below=1)
    require("weight_decay", weight_decay)


@dataclass(frozen=True)
class Hyperparameters:
    """The hyperparameters of one step, validated.

    Attributes:
        lr: learning rate, ``0 <= lr < inf``; in units of the parameter (a step is about ``lr``).
        betas: decay rates of the first moment and of the infinity norm, each ``0 <= beta < 1``.
        eps: added to ``|g|`` inside the maximum, ``0 <= eps < inf``; in units of the gradient.
        weight_decay: ``0 <= weight_decay < inf``; with coupled decay in units of gradient over
            parameter, with decoupled decay a pure number that ``lr`` multiplies.
        maximize: ascend instead of descend (A-1).
        decoupled_weight_decay: shrink the parameter (A-8) instead of adding to the gradient (A-2).

    Numbers may be floats, or `fractions.Fraction` for exact arithmetic.

    Raises:
        ValueError: a value outside its domain, NaN and infinity included.
        TypeError: a value that is not a number.

    >>> Hyperparameters().betas
    (0.9, 0.999)
    >>> Hyperparameters(lr=-0.1)
    Traceback (most recent call last):
    ValueError: lr = -0.1 is outside its domain 0 <= lr < inf
    """

    lr: Any = 2e-3
    betas: tuple[Any, Any] = (0.9, 0.999)
    eps: Any = 1e-8
    weight_decay: Any = 0.0
    _: KW_ONLY
    maximize: bool = False
    decoupled_weight_decay: bool = False

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Raise unless every value is inside its domain, as the constructor does."""
        require_all(self.lr, self.betas, self.eps, self.weight_decay)
