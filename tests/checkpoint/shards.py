"""One process of `test_distributed.py`: ``python shards.py RANK WORLD FOLDER``.

A sharded training is gathered into a checkpoint, which must be that of one process, and loaded into
a new sharded training, which must go on as the first.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from adamax_checkpoint.torch import from_state_dict, to_state_dict
from adamax_checkpoint.verify import require_same_state
from adamax_torch import Adamax


def training(seed: int, world: int) -> tuple[nn.Module, Adamax]:
    """A model of uneven shards, sharded if there are processes."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    if world:
        fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
    return model, Adamax(model.parameters(), lr=0.1)


def step(model: nn.Module, optimizer: Adamax) -> None:
    optimizer.zero_grad()
    model(torch.arange(6.0).reshape(2, 3)).sum().backward()
    optimizer.step()


def main(rank: int, world: int, folder: Path) -> None:
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    alone, sharded = training(0, 0), training(0, world)
    for each in (alone, sharded):
        step(*each)
    expected = from_state_dict(get_optimizer_state_dict(*alone))
    found = from_state_dict(get_optimizer_state_dict(*sharded))
    require_same_state(found, expected)

    model, optimizer = training(1, world)
    model.load_state_dict(sharded[0].state_dict())
    whole = to_state_dict(found, get_optimizer_state_dict(model, optimizer))
    full = StateDictOptions(full_state_dict=True)
    set_optimizer_state_dict(model, optimizer, whole, options=full)
    assert all(isinstance(slot["exp_avg"], DTensor) for slot in optimizer.state.values())
    for each in (alone, (model, optimizer)):
        step(*each)
    expected = from_state_dict(get_optimizer_state_dict(*alone))
    require_same_state(from_state_dict(get_optimizer_state_dict(model, optimizer)), expected)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
