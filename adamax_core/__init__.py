"""The Adamax optimizer as an executable specification: pure functions, NumPy arrays, no framework.

The rule is in `adamax_core.rule`, one step on whole pytrees in `adamax_core.transform`, its
derivative in `adamax_core.vjp`. The words that go with it are in ``docs/spec.md``; the clause
numbers in this package (A-5, S-2, ...) are its.
"""

from adamax_core.hyperparameters import Hyperparameters
from adamax_core.rule import CANONICAL, Rule
from adamax_core.transform import State, init, step, update
from adamax_core.vjp import Cotangents, Derivatives, step_vjp

__version__ = "0.1.0"
"""Of the distribution ``adamax-spec``: one for all packages."""

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
