"""The JSON Schemas of all documents that the judge reads or writes, one file each.

The others refer to ``run.schema.json``, which defines arrays, hyperparameters, runs and trials.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource

_SUFFIX = ".schema.json"


class SchemaError(ValueError):
    """A document violates its schema; the message says where and why."""


@cache
def schema(name: str) -> Any:
    """Return the schema of this name, such as ``"run"``."""
    return json.loads((files(__name__) / f"{name}{_SUFFIX}").read_text(encoding="utf-8"))


@cache
def _validator(name: str, part: str) -> Draft202012Validator:
    every = (path.name for path in files(__name__).iterdir() if path.name.endswith(_SUFFIX))
    schemas = [schema(each.removesuffix(_SUFFIX)) for each in every]
    registry: Registry[Any] = Registry().with_resources(
        (each["$id"], Resource.from_contents(each)) for each in schemas
    )
    where = {"$ref": f"{name}{_SUFFIX}" + (f"#/$defs/{part}" if part else "")}
    return Draft202012Validator(where, registry=registry)


def require(name: str, document: Any, part: str = "") -> None:
    """Raise unless the document satisfies the schema of this name, or this part of its ``$defs``.

    Raises:
        SchemaError: the document violates it; the message gives the most relevant violation.

    >>> require("run", {})
    Traceback (most recent call last):
    adamax_conformance.exchange.schemas.SchemaError: $: 'run' is a required property
    """
    try:
        if (problem := best_match(_validator(name, part).iter_errors(document))) is not None:
            raise SchemaError(f"{problem.json_path}: {problem.message}")
    except RecursionError as error:
        raise SchemaError("it is nested too deeply") from error
