"""The hyperparameters, and the one place that checks their domains (H-1 to H-4)."""

import math
import sys
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any


def require(name: str, value: Any, *, below: float = math.inf) -> None:
    """Raise unless ``0 <= value < below``; NaN is never inside.

    Raises:
        ValueError: names the hyperparameter, its value and its domain; or an array has dimensions.
        TypeError: the value cannot be compared with a number.

    >>> require("beta1", 1.0, below=1)
    Traceback (most recent call last):
    ValueError: beta1 = 1.0 is outside its domain 0 <= beta1 < 1
    """
    number = known(name, value)
    try:
        inside = bool(0 <= number < below)
    except TypeError as error:
        raise TypeError(f"{name} = {number!r} is not a number") from error
    if not inside:
        raise ValueError(f"{name} = {number!r} is outside its domain 0 <= {name} < {below}")


def as_float(name: str, value: Any, *, below: float = math.inf) -> float:
    """The value as a float, checked after rounding, which can leave the domain.

    Raises:
        ValueError: the float is outside ``0 <= value < below``, as for `require`.

    >>> as_float("lr", 10**400)
    Traceback (most recent call last):
    ValueError: lr = inf is outside its domain 0 <= lr < inf
    """
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    require(name, number, below=below)
    return number


def known(name: str, value: Any) -> Any:
    """The number to check: the value itself, or that of a zero-dimensional array.

    Returns zero, which is inside every domain, for an array whose value cannot be read.

    Raises:
        ValueError: an array has dimensions; names the hyperparameter and its shape.
    """
    # A number that changes has no attributes that torch.compile can ask for.
    if type(value) in (float, int) or not hasattr(value, "ndim"):
        return value
    if value.ndim:
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}; pass a number or a zero-dimensional array"
        )
    if _captured() or getattr(getattr(value, "device", None), "type", "cpu") != "cpu":
        return 0.0  # reading it would break the graph, or wait for the device
    try:
        return _number(value)
    except (RuntimeError, TypeError):
        return 0.0  # a tracer, a batch under vmap, or a tensor without memory


def _captured() -> bool:
    """Return whether torch.compile traces this call; it cannot trace past a tensor that is read."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.compiler.is_compiling()


def _number(value: Any) -> Any:
    """The value of a zero-dimensional array; returns anything else unchanged."""
    if not hasattr(value, "ndim"):
        return value
    return value.item() if hasattr(value, "item") else float(value)


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

    Numbers may be floats, `fractions.Fraction` for exact arithmetic, or zero-dimensional arrays and
    tensors of any framework, to be differentiated. A value that cannot be read (a tracer, under
    ``vmap``, or on a device other than the CPU) passes unchecked.

    Raises:
        ValueError: a value outside its domain, NaN and infinity included; an array that has
            dimensions; or `betas` that are not a pair.
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
        require("lr", self.lr)
        require("eps", self.eps)
        pair = isinstance(self.betas, (tuple, list)) and len(self.betas) == 2  # noqa: PLR2004 - a pair has two
        if not pair:
            raise ValueError(f"betas = {self.betas!r} is not a pair (beta1, beta2)")
        for name, beta in zip(("beta1", "beta2"), self.betas, strict=True):
            require(name, beta, below=1)
        require("weight_decay", self.weight_decay)

    def numbers(self) -> "Hyperparameters":
        """The same hyperparameters with zero-dimensional arrays converted to Python numbers.

        If an array cannot be read, its framework's error propagates.
        """
        lr, beta1, beta2, eps, decay = map(
            _number, (self.lr, *self.betas, self.eps, self.weight_decay)
        )
        return replace(self, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=decay)
