"""The glue of each third party shows that party's own rule: three steps by exact fractions.

Each subject that is not in .venv, or takes it over, runs in a process of its own. Those of an
environment of the scoreboard run where it is: `.venv-NAME/bin/python -m pytest` with this file.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from gmpy2 import mpq

from adamax_conformance import diagnose
from adamax_conformance.bounds.carried import Carried
from adamax_conformance.bounds.oracle import Allowed
from adamax_conformance.bounds.special import Special
from adamax_conformance.registry import find
from adamax_conformance.spec.formats import format_of
from adamax_core import Hyperparameters

HP = Hyperparameters(lr=0.125, betas=(0.75, 0.875), eps=0.25)
GRADS = ((1.0, -0.5), (0.25, 2.0), (-0.5, 0.0))
PARAMS = (1.0, -3.0)
PREFIX = "py:adamax_conformance.subjects."
ROOT = Path(__file__).parents[3]
TFJS = ROOT / "scoreboard" / "tfjs"


class Moved(NamedTuple):
    """A parameter and its moments after a step."""

    p: Any
    m: Any
    u: Any


def inside(p: Any, g: Any, m: Any, u: Any, t: int, hp: Any, top: Any) -> Moved:
    b1, b2 = hp.betas
    m, u = b1 * m + (1 - b1) * g, top(b2 * u, abs(g) + hp.eps)
    return Moved(p - hp.lr / (1 - b1**t) * m / u, m, u)


def outside(p: Any, g: Any, m: Any, u: Any, t: int, hp: Any, top: Any) -> Moved:
    b1, b2 = hp.betas
    m, u = b1 * m + (1 - b1) * g, top(b2 * u, abs(g))
    return Moved(p - hp.lr / (1 - b1**t) * m / (u + hp.eps), m, u)


def in_the_decay(p: Any, g: Any, m: Any, u: Any, t: int, hp: Any, top: Any) -> Moved:
    b1, b2 = hp.betas
    m, u = b1 * m + (1 - b1) * g, top(b2 * u + hp.eps, abs(g))
    return Moved(p - hp.lr / (1 - b1**t) * m / u, m, u)


def without(p: Any, g: Any, m: Any, u: Any, t: int, hp: Any, top: Any) -> Moved:
    b1, b2 = hp.betas
    m, u = b1 * m + (1 - b1) * g, top(b2 * u, abs(g))
    return Moved(p - hp.lr / (1 - b1**t) * m / u, m, u)


def uncorrected(p: Any, g: Any, m: Any, u: Any, t: int, hp: Any, top: Any) -> Moved:
    del t
    b1, b2 = hp.betas
    m, u = b1 * m + (1 - b1) * g, top(b2 * u, abs(g))
    return Moved(p - hp.lr * m / (u + hp.eps), m, u)


Rule = Callable[..., Moved]
NOT = "not offered"
PLAIN = {
    "eps": "inside", "bias correction": "yes", "initial state": "zero", "maximize": NOT,
    "weight decay": NOT, "decoupled weight decay": NOT, "step scope": "global",
    "missing gradient": "untouched", "complex": NOT, "NaN gradient": "sticks",
}  # fmt: skip
"""The axes, and what an optimizer without options does on them."""

OUTSIDE = PLAIN | {"eps": "outside"}
HERE: dict[str, tuple[Rule, dict[str, str]]] = {
    "torch_optim:backend": (inside, PLAIN | {
        "maximize": "honoured", "weight decay": "coupled", "step scope": "parameter",
        "complex": "pairs",
    }),
    "optax:backend": (inside, PLAIN | {
        "weight decay": "coupled", "decoupled weight decay": "decoupled",
        "missing gradient": "raises", "complex": "modulus",
    }),
    "jax_example_libraries:backend": (outside, OUTSIDE | {
        "missing gradient": NOT, "complex": "modulus",
    }),
    "torchopt:backend": (inside, PLAIN | {"weight decay": "coupled", "missing gradient": "other"}),
    "keras:jax": (outside, OUTSIDE | {
        "weight decay": "decoupled", "decoupled weight decay": "decoupled",
    }),
    "keras:torch": (outside, OUTSIDE | {
        "weight decay": "decoupled", "decoupled weight decay": "decoupled",
    }),
}  # fmt: skip
"""The rule and the dialect of each subject whose package is in .venv."""

LIGHT: dict[str, tuple[Rule, dict[str, str]]] = {
    "pytorch_optimizer:backend": (inside, PLAIN | {
        "maximize": "honoured", "weight decay": "coupled", "decoupled weight decay": "decoupled",
        "complex": "pairs",
    }),
    "mlx:backend": (uncorrected, OUTSIDE | {"bias correction": "none"}),
    "pyensmallen:backend": (outside, OUTSIDE | {
        "missing gradient": NOT, "step scope": NOT, "NaN gradient": "not seen",
    }),
    "npdl:backend": (outside, OUTSIDE | {"missing gradient": NOT, "step scope": NOT}),
}  # fmt: skip
"""The same for those that `make light` installs."""

DROPPED = {"NaN gradient": "dropped"}
OPERATION = OUTSIDE | DROPPED | {"step scope": "parameter"}
FULL: dict[str, tuple[Rule, dict[str, str]]] = {
    "tf_raw_ops:backend": (outside, OPERATION),
    "keras:tensorflow": HERE["keras:torch"],
    "tf_keras:backend": HERE["keras:torch"],
    "tf_keras:backend?legacy=true": (outside, OUTSIDE | DROPPED),
    "paddle:backend": (in_the_decay, PLAIN | {
        "eps": "in the decay", "step scope": "parameter", "NaN gradient": "not seen",
    }),
    "pymc:backend": (outside, OUTSIDE | {"missing gradient": NOT, "step scope": NOT}),
    "mindspore:operation": (outside, OPERATION),
    "mindspore:optimizer": (inside, PLAIN | {
        "maximize": "honoured", "weight decay": "coupled", "missing gradient": NOT,
        "step scope": NOT, "NaN gradient": "other",
    }),
}  # fmt: skip
"""The same for those of the full tier, one environment each."""

PROGRAMS: dict[str, tuple[Rule, dict[str, str]]] = {
    # A missing gradient shifts the moments of those after it, which is no way to count.
    "tfjs": (outside, OUTSIDE | {"step scope": "other"}),
    "mxnet": (without, PLAIN | {
        "eps": "none", "step scope": "parameter", "weight decay": "coupled",
    }),
}  # fmt: skip
"""The same for those that speak the protocol."""

COMMANDS = {
    "tfjs": f"node {TFJS / 'tfjs.mjs'}",
    "mxnet": f"{ROOT / '.venv-mxnet/bin/python'} {ROOT / 'scoreboard/mxnet_program.py'}",
}
MADE = {"tfjs": TFJS / "node_modules", "mxnet": ROOT / ".venv-mxnet"}
EXPECTED = {
    "tfjs": TFJS / "expected.toml", "mxnet": ROOT / "scoreboard/mxnet_expected.toml",
}  # fmt: skip

ELSEWHERE = LIGHT | FULL | PROGRAMS
NEEDS = {"tf_raw_ops": "tensorflow", "keras": "tensorflow"}
"""The package of a subject elsewhere, where it has another name."""


def named(name: str) -> str:
    """Return the name of a subject on the command line."""
    return f"cmd:{COMMANDS[name]}" if name in PROGRAMS else PREFIX + name


def subject(name: str) -> Any:
    serve = f"cmd:{sys.executable} -m adamax_conformance serve "
    alone = name not in PROGRAMS and (name in ELSEWHERE or name.startswith("keras"))
    # Keras and PyTorch take long to import.
    return find(f"{serve if alone else ''}{named(name)}", timeout=120)


def numbers(number: Callable[[float], Any]) -> Any:
    """Return the hyperparameters as exact numbers."""
    betas = tuple(map(number, HP.betas))
    return Hyperparameters(lr=number(HP.lr), betas=betas, eps=number(HP.eps))


def judged(name: str, rule: Rule) -> None:
    backend = subject(name)
    dtype = np.dtype(np.float32 if "float32" in backend.dtypes else np.float64)
    params: Any = {"w": np.array(PARAMS, dtype)}
    state = backend.init(params, HP)
    zero = np.zeros(len(PARAMS), dtype)
    bounds = Moved(*(Carried.of(each, format_of(dtype)) for each in (params["w"], zero, zero)))
    exact = [Moved(Fraction(p), Fraction(0), Fraction(0)) for p in PARAMS]
    for t, row in enumerate(GRADS, 1):
        grads = {"w": np.array(row, dtype)}
        params, state = backend.step(params, grads, state, HP)
        carried = Carried.of(grads["w"], format_of(dtype))
        bounds = rule(bounds.p, carried, bounds.m, bounds.u, t, numbers(mpq), Carried.maximum)
        exact = [
            rule(at.p, Fraction(g), at.m, at.u, t, numbers(Fraction), max)
            for at, g in zip(exact, row, strict=True)
        ]
        assert [Fraction(str(value)) for value in bounds.p.value] == [at.p for at in exact]
        assert_allowed(params["w"], bounds.p)
        if (shown := backend.moments(state)) is not None:
            assert shown["w"][0] == t
            for got, bound in zip(shown["w"][1:], bounds[1:], strict=True):
                assert_allowed(got, bound)


def assert_allowed(got: Any, bound: Carried) -> None:
    assert np.all(Allowed(bound, Special.of(bound.value.astype(float))).excess(got) <= 1)


def require(name: str) -> None:
    """Skip the test unless the package of this subject is installed."""
    if name in PROGRAMS:
        if not shutil.which(COMMANDS[name].split()[0]) or not MADE[name].exists():
            pytest.skip(f"{MADE[name]} is not there: see scoreboard/")
        return
    base = name.partition(":")[0]
    package = NEEDS.get(base, base)
    if find_spec(package) is None:
        pytest.skip(f"{package} is not in this environment: see scoreboard/")


@pytest.mark.parametrize("name", HERE)
def test_three_steps_are_those_of_the_rule_in_fractions(name: str) -> None:
    judged(name, HERE[name][0])


@pytest.mark.parametrize("name", HERE)
def test_dialect_on_every_axis(name: str) -> None:
    found = {axis.axis: axis.found for axis in diagnose(subject(name)).axes}
    assert found == HERE[name][1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ELSEWHERE)
def test_three_steps_of_those_elsewhere(name: str) -> None:
    require(name)
    judged(name, ELSEWHERE[name][0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ELSEWHERE)
def test_dialect_of_those_elsewhere(name: str) -> None:
    require(name)
    found = {axis.axis: axis.found for axis in diagnose(subject(name)).axes}
    assert found == ELSEWHERE[name][1]


DEFAULT_EPS = {
    "keras:jax": 1e-7, "keras:torch": 1e-7, "keras:tensorflow": 1e-7, "tf_keras:backend": 1e-7,
    "tf_keras:backend?legacy=true": 1e-7, "tfjs": 1e-7, "torchopt:backend": 1e-6,
    "tf_raw_ops:backend": None, "mindspore:operation": None, "mxnet": None,
}  # fmt: skip
"""The eps where its user names none, of those that differ from the specification."""


@pytest.mark.parametrize(
    "name", [*HERE, *(pytest.param(each, marks=pytest.mark.slow) for each in ELSEWHERE)]
)
def test_the_default_eps_is_declared(name: str) -> None:
    if name in ELSEWHERE:
        require(name)
    assert subject(name).default_eps == DEFAULT_EPS.get(name, 1e-8)


def test_a_wrong_rule_is_seen() -> None:
    with pytest.raises(AssertionError):
        judged("torch_optim:backend", outside)


SHORT = ("--dtype", "float32")
"""What is compiled for each shape takes minutes in every dtype."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("jax_example_libraries:backend", SHORT),
        ("keras:jax", SHORT),
        *((name, ("--expect", str(file), "--timeout", "60")) for name, file in EXPECTED.items()),
        *((name, ()) for name in ("keras:torch", "torchopt:backend", *LIGHT, *FULL)),
    ],
)
def test_each_deviates_in_its_dialect_exactly_as_documented(
    name: str, options: tuple[str, ...]
) -> None:
    """Strict: a failure that is not listed fails, and so does a listed case that passes."""
    if name in ELSEWHERE:
        require(name)
    command = [sys.executable, "-m", "adamax_conformance", "check", named(name), *options]
    ran = subprocess.run(
        [*command, "--dialect", "found"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "deviates as documented" in ran.stdout
