"""Backends by name: an entry point of the group ``adamax.backends``, or your own backend.

Name your own as ``py:module:attribute`` or ``cmd:./program arguments``. A name that does not begin
with ``cmd:`` may end in options, ``torch?foreach=true&capturable=false``. They become keyword
arguments of the function behind the name: true, false, none, numbers, or text.
"""

import importlib
import importlib.util
import inspect
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from typing import Any
from urllib.parse import parse_qsl

from adamax_conformance.protocol import TIMEOUT
from adamax_conformance.protocol.client import CommandError, ProgramBackend
from adamax_conformance.subject.backend import Backend
from adamax_conformance.subject.blame import blamed, first_line

GROUP = "adamax.backends"

FRAMEWORKS = {
    "jax": "jax", "jaxlib": "jax", "optax": "jax", "torch": "torch", "numba": "fused",
    "keras": "bench", "torchopt": "bench",
}  # fmt: skip
"""The extra of this distribution that installs each framework."""

ENVIRONMENTS = {
    **dict.fromkeys(("pytorch_optimizer", "mlx", "pyensmallen", "npdl"), "light"),
    "tensorflow": "tensorflow", "tf_keras": "tensorflow", "paddle": "paddle", "pymc": "pymc",
    "mindspore": "mindspore",
}  # fmt: skip
"""The environment of the scoreboard that has each framework that .venv has not."""

_DISTRIBUTIONS = {"tensorflow": "tensorflow-cpu", "paddle": "paddlepaddle"}
"""The distribution of a framework, where it has another name."""

_NEEDS = {
    "jax": ("jax", "optax"), "optax": ("jax", "optax"), "fused": ("numba",), "torch": ("torch",),
    "torch.functional": ("torch",), "torch.optim": ("torch",),
    "jax.example_libraries": ("jax",), "torchopt": ("torch", "torchopt"),
    "keras.jax": ("jax", "keras"), "keras.torch": ("torch", "keras"),
    "pytorch_optimizer": ("torch", "pytorch_optimizer"), "mlx": ("mlx",),
    "pyensmallen": ("pyensmallen",), "npdl": ("npdl",),
    "tf.raw_ops": ("tensorflow",), "tf_keras": ("tensorflow", "tf_keras"),
    "keras.tensorflow": ("tensorflow", "keras"), "paddle": ("paddle",), "pymc": ("pymc",),
    "mindspore.ops": ("mindspore",), "mindspore.experimental": ("mindspore",),
}  # fmt: skip
"""The frameworks that the backends of this distribution need."""


class BackendNotFoundError(LookupError):
    """No backend has this name here; the message lists the known names or how to install one."""


class BackendBrokenError(RuntimeError):
    """A backend has this name, but importing or creating it failed."""


def available() -> tuple[str, ...]:
    """Return the names of the registered backends, also those whose frameworks are missing.

    >>> {"numpy", "jax", "torch", "torch.optim", "optax"} <= set(available())
    True
    """
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def missing(name: str) -> str:
    """Return a framework that the backend needs and that is not installed; empty if none.

    >>> missing("numpy"), missing("a backend of another package")
    ('', '')
    """
    absent = (each for each in _NEEDS.get(name, ()) if not _installed(each))
    return next(absent, "")


def find(name: str, *, timeout: float = TIMEOUT) -> Backend:
    """Return the backend of this name, created with its options.

    Args:
        name: a name of one of the three kinds.
        timeout: seconds that a program has for each answer.

    Raises:
        BackendNotFoundError: the name is unknown, its framework is not installed, or it does not
            take these options.
        BackendBrokenError: it cannot be imported or created, or is not a backend.

    >>> find("numpy").name
    'numpy'
    """
    if name.startswith("cmd:"):
        return _from_command(name, timeout)
    base, _, query = name.partition("?")
    options = {key: _value(text) for key, text in parse_qsl(query, keep_blank_values=True)}
    if blank := [key for key, value in options.items() if value == ""]:
        raise BackendNotFoundError(
            f"backend {name!r}: {blank[0]} has no value; write {blank[0]}=true"
        )
    if base.startswith("py:"):
        return _from_python(name, base, options)
    points = entry_points(group=GROUP, name=base)
    if not points:
        raise BackendNotFoundError(
            f"unknown backend {base!r}: choose from {', '.join(available())}, or name your own: "
            "py:module:attribute or 'cmd:./program arguments'"
        )
    with _importing(name):
        target = next(iter(points)).load()
    return _made(name, target, options)


def _from_command(name: str, timeout: float) -> Backend:
    try:
        return ProgramBackend.of(name, timeout)
    except CommandError as error:
        raise BackendNotFoundError(f"backend {name!r}: {error}") from error


def _value(text: str) -> Any:
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


@contextmanager
def _importing(name: str) -> Iterator[None]:
    """Turn any error of an import into one whose message names the backend."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in (*FRAMEWORKS, *ENVIRONMENTS) and not _installed(package):
            raise BackendNotFoundError(
                f"backend {name!r} needs {package}, which is not installed; {install(package)}"
            ) from error
        raise BackendBrokenError(
            f"backend {name!r} cannot be imported: {error}{blamed(error)}"
        ) from error
    except (Exception, SystemExit) as error:
        raise BackendBrokenError(
            f"backend {name!r} cannot be imported: {type(error).__name__}: {error}{blamed(error)}"
        ) from error


def install(package: str) -> str:
    """Return the command that installs a framework."""
    if name := ENVIRONMENTS.get(package):
        return (
            f"from a checkout: make .venv-{name}/installed, and run the judge as "
            f".venv-{name}/bin/python -m adamax_conformance"
        )
    return f"from a checkout: pip install -c constraints.txt '.[{FRAMEWORKS[package]}]'"


def _installed(package: str) -> bool:
    try:
        distribution(_DISTRIBUTIONS.get(package, package))
    except PackageNotFoundError:
        return False
    return True


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _from_python(name: str, base: str, options: dict[str, Any]) -> Backend:
    _, _, path = base.partition(":")
    module, _, attribute = path.partition(":")
    if not module or not attribute:
        raise BackendNotFoundError(f"{name!r} is not of the form py:module:attribute")
    with _importing(name):
        found = importlib.import_module(module) if _is_there(module) else None
    if found is None:
        raise BackendNotFoundError(
            f"backend {name!r}: no module {module!r} on the path; "
            "run from its folder, or install it"
        )
    if not hasattr(found, attribute):
        raise BackendNotFoundError(f"backend {name!r}: {module} has no {attribute!r}")
    return _made(name, getattr(found, attribute), options)


def _require_options(name: str, target: Any, options: dict[str, Any]) -> None:
    """Raise unless the function takes these options, and each value has its option's type."""
    try:
        parameters = inspect.signature(target, eval_str=True).parameters
    except (TypeError, ValueError, NameError):
        return
    for key, value in options.items():
        if key not in parameters:
            known = ", ".join(parameters) or "none"
            raise BackendNotFoundError(
                f"backend {name!r} has no option {key!r}: its options are {known}"
            )
        kind = parameters[key].annotation
        if kind in (bool, bool | None) and not isinstance(value, kind):
            raise BackendNotFoundError(f"backend {name!r}: {key} = {value!r} must be true or false")


def _made(name: str, target: Any, options: dict[str, Any]) -> Backend:
    """Return the target if it is a backend, or the backend that it makes with the options."""
    if hasattr(target, "step") and not isinstance(target, type):
        if options:
            raise BackendNotFoundError(f"backend {name!r} takes no options")
        backend = target
    else:
        if not callable(target):
            raise BackendBrokenError(
                f"backend {name!r} is {type(target).__name__}: it must be a backend, such as a "
                "FunctionalBackend, or a function that returns one"
            )
        _require_options(name, target, options)
        try:
            backend = target(**options)
        except (Exception, SystemExit) as error:
            raise BackendBrokenError(
                f"creating backend {name!r} failed: {type(error).__name__}: {error}{blamed(error)}"
            ) from error
    try:
        return require_backend(backend)
    except TypeError as error:
        raise BackendBrokenError(f"backend {name!r}: {error}") from error


def require_backend(backend: Any) -> Backend:
    """Return the object if it has all attributes of a `Backend`.

    `deviations` that raise are a fault of a backend, which the judge reports.

    Raises:
        TypeError: an attribute is missing, or reading one raises; the message names it.
    """
    parts = ("name", "dtypes", "features", "init", "step", "moments")
    try:
        missing = [part for part in parts if not hasattr(backend, part)]
        with suppress(Exception):
            missing += [] if hasattr(backend, "deviations") else ["deviations"]
        if not missing:
            # A property may raise anything.
            str(backend.name), set(backend.dtypes), set(backend.features)
    except Exception as error:
        raise TypeError(f"{type(error).__name__}: {first_line(error)}{blamed(error)}") from error
    if missing:
        raise TypeError(f"{backend!r} is not a backend: it lacks {', '.join(missing)}")
    found: Backend = backend
    return found
