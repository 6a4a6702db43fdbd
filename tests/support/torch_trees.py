"""Trees of tensors."""

from typing import Any

import optree
import torch
from torch import Tensor


def leaves(*trees: Any) -> list[Tensor]:
    return [leaf for tree in trees for leaf in optree.tree_leaves(tree)]


def random_tree(seed: int, *batch: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn((*batch, *shape), generator=generator, dtype=torch.float64)
        for name, shape in {"w": (3, 2), "b": ()}.items()
    }
