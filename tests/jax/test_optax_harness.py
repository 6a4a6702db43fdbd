"""optax's own tests of optimizers, which ship in its wheel, with ours in the place of adamax."""

import functools
import importlib.util
import os
import unittest
import warnings
from contextlib import ExitStack
from types import ModuleType
from typing import Any
from unittest import mock

import jax
import optax
import pytest
from optax._src import alias, transform

from adamax_jax import adamax_transform

adamaxw = functools.partial(adamax_transform, weight_decay=1e-4, decoupled_weight_decay=True)


def scale_by_adamax(b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8) -> Any:
    return optax.chain(adamax_transform(1.0, b1, b2, eps), optax.scale(-1.0))


def in_place_of_adamax() -> ExitStack:
    stack = ExitStack()
    for module in (optax, alias):
        stack.enter_context(mock.patch.object(module, "adamax", adamax_transform))
        stack.enter_context(mock.patch.object(module, "adamaxw", adamaxw))
    for module in (optax, transform):
        stack.enter_context(mock.patch.object(module, "scale_by_adamax", scale_by_adamax))
    # They compare versions as strings, where 0.10 is before 0.7, and would skip what it can do.
    stack.enter_context(mock.patch.object(jax, "__version__", "0.9.9"))
    # One of the modules sets the number of devices when it is imported.
    stack.enter_context(mock.patch.dict(os.environ))
    return stack


def load(name: str) -> ModuleType:
    """The module of tests anew: its tables of optimizers are made when it is imported."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with in_place_of_adamax(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the other optimizers, which are made here too
        spec.loader.exec_module(module)
    return module


def cases(name: str) -> list[Any]:
    """The tests of a module whose parameters name adamax or adamaxw."""
    return [
        pytest.param(kind, test, id=f"{kind.__name__}-{test}")
        for kind in vars(load(name)).values()
        if isinstance(kind, type) and issubclass(kind, unittest.TestCase)
        for test in unittest.TestLoader().getTestCaseNames(kind)
        if name.endswith("_state_utils_test")
        or "adamax" in test + getattr(kind, "_test_params_reprs", {}).get(test, "")
    ]


CASES = [
    case
    for name in (
        "optax._src.alias_test",
        "optax._src.sharding_test",
        "optax._src.transform_test",
        "optax.contrib._common_test",
        "optax.tree_utils._state_utils_test",
    )
    for case in cases(name)
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "test"), CASES)
def test_the_tests_of_optax_pass(kind: type[unittest.TestCase], test: str) -> None:
    result = unittest.TestResult()
    with in_place_of_adamax():
        kind(test).run(result)
    problems = [text for _, text in result.errors + result.failures]
    assert not problems, problems[0]
    assert result.testsRun == 1
    assert not result.skipped


def test_the_state_tools_of_optax_find_our_state() -> None:
    """Of the tests of these tools, the one that does not spell out the class of Adam's state."""

    def adamw(learning_rate: Any) -> optax.GradientTransformation:
        return optax.chain(adamaxw(learning_rate))

    with mock.patch.object(alias, "adamw", adamw):
        kind = load("optax.tree_utils._state_utils_test").StateUtilsTest
        test_the_tests_of_optax_pass(kind, "test_inject_hparams")
