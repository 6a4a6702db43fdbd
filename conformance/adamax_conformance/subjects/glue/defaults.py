"""The default eps of an implementation, read from its signature."""

import inspect
from collections.abc import Callable
from typing import Any


def default_eps(make: Callable[..., Any]) -> float:
    """Return the default of the parameter ``eps`` or ``epsilon``.

    >>> default_eps(lambda lr, epsilon=1e-7: lr / epsilon)
    1e-07
    """
    given = inspect.signature(make).parameters
    (eps,) = (given[name].default for name in ("eps", "epsilon") if name in given)
    return float(eps)
