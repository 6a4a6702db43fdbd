"""Trees of one structure, and what their leaves are called in errors."""

from typing import Any

import optree

Tree = Any
"""What optree understands: dicts, lists, tuples, named tuples, or a single array."""


def leaf_names(what: str, tree: Tree) -> list[str]:
    """How each leaf of the tree of this name is reached.

    >>> leaf_names("params", {"w": [1.0, 2.0]})
    ["params['w'][0]", "params['w'][1]"]
    """
    return [accessor.codify(what) for accessor in optree.tree_accessors(tree)]


def flatten_like(params: Tree, treedef: optree.PyTreeSpec, tree: Tree, what: str) -> list[Any]:
    """The leaves of `tree`, which has the structure of `params` but may have None for a leaf.

    Raises:
        ValueError: the structure is another; shows both.
    """
    try:
        return treedef.flatten_up_to(tree)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{what} does not have the structure of params: {error}\n"
            f"  params: {optree.tree_structure(params)}\n"
            f"  {what}: {optree.tree_structure(tree, none_is_leaf=True)}"
        ) from error
