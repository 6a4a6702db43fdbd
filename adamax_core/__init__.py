"""The Adamax optimizer as an executable specification: pure functions, NumPy arrays, no framework.

The rule is in `adamax_core.rule`, one step on whole pytrees in `adamax_core.transform`, its
derivative in `adamax_core.vjp`. The clause numbers in this package (A-5, S-2, ...) refer to
``docs/spec.md``.
"""

from adamax_core.hyperparameters import Hyperparameters
from adamax_core.rule import CANONICAL, Rule
from adamax_core.transform import State, init, step, update
from adamax_core.vjp import Cotangents, Derivatives, step_vjp

__version__ = "0.1.0"
"""Version of the distribution ``adamax-spec``, shared by all its packages."""

__all__ = [
    "CANONICAL",
    "Cotangents",
    "Derivatives",
    "Hyperparameters",
    "Rule",
    "State",
    "__version__",
    "init",
    "step",
    "step_vjp",
    "update",
]
