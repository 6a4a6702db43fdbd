"""Flattening trees of one structure, and naming their leaves in errors."""

from typing import Any

import optree

Tree = Any
"""Any optree pytree: dicts, lists, tuples, named tuples, or a single array."""


def leaf_names(what: str, tree: Tree) -> list[str]:
    """The path of each leaf, as an expression that begins with `what`.

    >>> leaf_names("params", {"w": [1.0, 2.0]})
    ["params['w'][0]", "params['w'][1]"]
    """
    return [accessor.codify(what) for accessor in optree.tree_accessors(tree)]


def flatten_like(params: Tree, treedef: optree.PyTreeSpec, tree: Tree, what: str) -> list[Any]:
    """The leaves of `tree`, which must have the structure of `params`; a leaf may be None.

    Raises:
        ValueError: the structures differ; shows both.
    """
    try:
        return treedef.flatten_up_to(tree)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{what} does not have the structure of params: {error}\n"
            f"  params: {optree.tree_structure(params)}\n"
            f"  {what}: {optree.tree_structure(tree, none_is_leaf=True)}"
        ) from error
